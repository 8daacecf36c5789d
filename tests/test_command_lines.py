"""The scripts as a person runs them: in a process of their own."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from datasets import shapes
from training.run_folder import RunFolder

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = ("cnn_train.py", "restore_model.py", "conv_visuals.py")


@pytest.fixture
def script(tmp_path):
    """Runs a script in an empty folder, with no data set, no cache and no network in reach."""
    def run(name, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / name), *map(str, arguments)], cwd=tmp_path, text=True,
            capture_output=True, timeout=120, check=False, env={
                "PATH": os.environ["PATH"], "HOME": str(tmp_path), "COLUMNS": "80",
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "CIFAR10_URL": "http://127.0.0.1:9/cifar-10-python.tar.gz", **environment})
    return run


def told(result, status, *words):
    """The one line of an error that a person is shown."""
    assert result.returncode == status, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def run_dir(tiny_cifar, tmp_path_factory):
    """A finished run, and what training it printed."""
    path = tmp_path_factory.mktemp("runs") / "run"
    result = subprocess.run(
        [sys.executable, str(ROOT / "cnn_train.py"), "--data-dir", str(tiny_cifar), "--run-dir",
         str(path), "--epochs", "2", "--batch-size", "30"], text=True, capture_output=True,
        timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return path, result.stdout


def test_training_prints_what_a_person_wants_to_know(run_dir):
    path, printed = run_dir
    assert printed.count("\n") == 6
    for words in ("recipe lrn_cnn on cifar10", "180 training, 20 held-out and 40 test images",
                  "2,474,698 parameters", "epoch 1/2", "epoch 2/2", str(path)):
        assert words in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    correct = int(line.split("(")[1].split("/")[0])
    assert line == f"test accuracy {correct / 40:.4f} ({correct}/40)"


def test_a_finished_run_says_so_and_trains_on(run_dir, tiny_cifar, script, tmp_path):
    path, _ = run_dir
    settings = ("--data-dir", tiny_cifar, "--run-dir", path, "--batch-size", 30)
    again = script("cnn_train.py", *settings, "--epochs", 2)
    assert again.returncode == 0
    assert "is finished: 12 steps (2 epochs)" in again.stdout and "--epochs 4" in again.stdout
    told(script("cnn_train.py", *settings, "--epochs", 2, "--seed", 8), 2,
         "seed: 0 before, 8 now", "--overwrite")
    on = script("cnn_train.py", *settings, "--epochs", 3)
    assert on.returncode == 0
    assert "resuming from step 12 of 18" in on.stdout and "epoch 3/3" in on.stdout
    anew = script("cnn_train.py", *settings, "--epochs", 2, "--overwrite")
    assert anew.returncode == 0
    assert "resuming" not in anew.stdout and "epoch 1/2" in anew.stdout


def test_restored_prints_the_same_line(run_dir, tiny_cifar, script):
    path, printed = run_dir
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    for via in ("saver", "saved_model"):
        result = script("restore_model.py", path, "--via", via)
        assert (result.returncode, result.stderr) == (0, "")
        assert line in result.stdout.splitlines()
        assert result.stdout.count("(") >= 12 and "airplane" in result.stdout
    with Image.open(path / "confusion_matrix.png") as picture:
        assert picture.width > 600


def test_own_pictures(run_dir, script, tmp_path):
    path, _ = run_dir
    rng = np.random.default_rng(0)
    pictures = {
        "gray.png": Image.fromarray(rng.integers(0, 256, (50, 40)).astype(np.uint8)),
        "colour.jpg": Image.fromarray(rng.integers(0, 256, (31, 90, 3)).astype(np.uint8)),
        "alpha.png": Image.new("RGBA", (200, 100), (250, 0, 0, 100)),
        "palette.png": Image.new("RGB", (7, 7), "blue").convert("P"),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
    result = script("restore_model.py", path, *pictures)
    assert (result.returncode, result.stderr) == (0, "")
    for name in pictures:
        (line,) = [line for line in result.stdout.splitlines() if line.startswith(name)]
        probabilities = [float(part.split()[-1]) for part in line.split(": ")[1].split(", ")]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 3 and 0 < sum(probabilities) <= 1.002
    with Image.open(path / "predictions.png") as picture:
        assert picture.width > 600
    (tmp_path / "text.png").write_text("no picture")
    told(script("restore_model.py", path, "text.png"), 2, "text.png", "not a PNG or JPEG")


def test_without_data_and_network_shapes_take_over(script, tmp_path):
    result = script("cnn_train.py", "--steps", 2)
    assert result.returncode == 0
    tried, shapes, how = result.stderr.splitlines()
    assert "NO CIFAR-10" in tried and "127.0.0.1:9" in tried
    assert "shapes" in shapes and "no figure" in shapes
    assert "--data-dir" in how and "CIFAR10_DIR" in how
    assert "on shapes" in result.stdout
    assert '"name": "shapes"' in (tmp_path / "runs/lrn_cnn/recipe.json").read_text()


def test_drawing_without_a_run(tiny_cifar, script, tmp_path):
    result = script("conv_visuals.py", "--data-dir", tiny_cifar, "--filters", 6)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("cifar_examples", "input_image", "step0_weights", "step1_convs",
                 "step2_conv_outs", "step3_maxpool"):
        assert (tmp_path / "pictures" / f"{name}.png").exists()


def test_drawing_a_run(run_dir, tiny_cifar, script, tmp_path):
    result = script("conv_visuals.py", "--run", run_dir[0], "--out", "here", "--image-index", 3)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("conv1_weights", "conv1_relu", "conv2_weights", "conv2_lrn", "conv2_max_pool"):
        assert (tmp_path / "here" / f"{name}.png").exists()


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_answers_in_a_blink(name, script):
    """And never imports TensorFlow, which alone takes seconds."""
    start = time.monotonic()
    result = script(name, "--help")
    assert result.returncode == 0 and result.stdout.startswith("usage: ")
    assert time.monotonic() - start < 2.0  # 0.2 s alone; this machine is shared


MISTAKES = [
    ("cnn_train.py --epochs 0", ["--epochs is 0, expected at least 1"]),
    ("cnn_train.py --epochs ten", ["--epochs", "'ten'"]),
    ("cnn_train.py --nonsense", ["--nonsense", "--help"]),
    ("cnn_train.py --recipe alexnet", ["alexnet", "lrn_cnn"]),
    ("cnn_train.py --dataset imagenet", ["imagenet", "cifar10"]),
    ("cnn_train.py --dataset cifar10", ["127.0.0.1:9", "--data-dir", "CIFAR10_DIR"]),
    ("cnn_train.py --data-dir nowhere", ["nowhere", "no CIFAR-10 there"]),
    ("cnn_train.py --dataset shapes --held-out 0.99999", ["--held-out 0.99999", "no image"]),
    ("restore_model.py", ["RUN"]),
    ("restore_model.py nowhere", ["nowhere", "no such file"]),
    ("restore_model.py nowhere --via magic", ["magic", "saver"]),
    ("conv_visuals.py --filters 0", ["--filters"]),
    ("conv_visuals.py --run nowhere", ["nowhere"]),
]


@pytest.mark.parametrize("line, words", MISTAKES)
def test_mistakes_are_one_line(line, words, script, tmp_path):
    result = script(*line.split())
    told(result, 2, line.split(".py")[0] + ".py: error: ", *words)
    left = {item.name for item in tmp_path.iterdir()} - {"cache"}
    assert left == set(), "a mistake left something behind"


def test_a_data_set_of_another_name_is_refused(script, tmp_path):
    shapes.write(tmp_path / "drawn")
    told(script("cnn_train.py", "--data-dir", "drawn"), 2, "batches.meta",
         "expected those of cifar10")


def start_training(tiny_cifar, path, *arguments):
    """A training process that has printed its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "cnn_train.py"), "--data-dir", str(tiny_cifar),
         "--run-dir", str(path), "--batch-size", "30", *arguments],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            return process
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143),
                                            (signal.SIGKILL, -signal.SIGKILL)])
def test_stopped_by_a_signal_or_killed_and_taken_up(number, status, tiny_cifar, script, tmp_path):
    path = tmp_path / "run"
    process = start_training(tiny_cifar, path, "--epochs", "2000")
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    stopped = RunFolder(path).saved()[-1][0]
    if number != signal.SIGKILL:
        (line,) = error.splitlines()
        assert f"stopped and saved at step {stopped}; the same command goes on" in line
    settings = ("--data-dir", tiny_cifar, "--run-dir", path, "--batch-size", 30)
    told(script("cnn_train.py", *settings, "--steps", 3), 2, "trained for", "larger")
    if number != signal.SIGTERM:
        on = script("cnn_train.py", *settings, "--steps", stopped + 5)
        assert f"resuming from step {stopped} of {stopped + 5}" in on.stdout
        assert "test accuracy" in on.stdout


def test_nothing_is_deleted_by_mistake(run_dir, tiny_cifar, script, tmp_path):
    path, _ = run_dir
    before = {item: item.stat().st_mtime_ns for item in path.rglob("*") if item.is_file()}
    told(script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", path, "--overwrite",
                "--device", "gpu", CUDA_VISIBLE_DEVICES=""), 2, "--device gpu")
    told(script("cnn_train.py", "--dataset", "shapes", "--run-dir", path, "--batch-size", 30), 2,
         "dataset: 'cifar10' before, 'shapes' now")
    assert before == {item: item.stat().st_mtime_ns for item in path.rglob("*") if item.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/metrics.csv").write_text("my own")
    told(script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", "mine"), 2, "metrics.csv",
         "--overwrite")
    assert (tmp_path / "mine/metrics.csv").read_text() == "my own"
    told(script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", "mine/metrics.csv"), 2,
         "is not a folder")


def test_other_images_are_no_resume(run_dir, tiny_cifar, script, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_cifar, other)
    shutil.copy(other / "data_batch_1", other / "data_batch_2")
    told(script("cnn_train.py", "--data-dir", other, "--run-dir", run_dir[0], "--batch-size", 30,
                "--epochs", 9), 2, "other images in")
    result = script("restore_model.py", run_dir[0], "--data-dir", other)
    assert result.returncode == 0 and "not comparable" in result.stderr


def test_arguments_are_checked_before_numpy_is_imported():
    """So that mistakes and --help answer at once."""
    code = ("import sys, console, cnn_train, restore_model, conv_visuals\n"
            "for script, line in ((cnn_train, '--epochs 0'), (restore_model, '--via x'), "
            "(conv_visuals, '--filters 0')):\n"
            "    try: script.parse_arguments(line.split())\n"
            "    except console.UserError: pass\n"
            "    else: sys.exit('no complaint')\n"
            "sys.exit(str({'numpy', 'tensorflow', 'matplotlib'} & set(sys.modules) or ''))")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True,
                            capture_output=True, check=False)
    assert result.stderr.strip() == ""
