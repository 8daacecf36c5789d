"""The scripts, run as processes like those that a user starts."""

import ctypes
import importlib
import json
import os
import pathlib
import resource
import shlex
import shutil
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.runs import saved

from tf1cifar import console
from tf1cifar.data import shapes
from tf1cifar.training.run_folder import RunFolder

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = ("cnn_train.py", "restore_model.py", "conv_visuals.py", "compare_runs.py")


def environment_of(folder, **changes):
    """An environment without data set, cache, network and the developer's own variables."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "80",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "CIFAR10_URL": "http://127.0.0.1:9/cifar-10-python.tar.gz",
            "MNIST_URL": "http://127.0.0.1:9/", **changes}


@pytest.fixture
def script(forks, tmp_path):
    """Function (name, *arguments, **environment) that runs a script in an empty folder."""
    def run(name, *arguments, **environment):
        return forks.run(name, arguments, tmp_path, environment_of(tmp_path, **environment))
    return run


def failed(result, status, *words):
    """Check that a script printed one line of error with `words`, and its exit status."""
    assert result.returncode == status, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture(scope="module")
def run_dir(forks, tiny_cifar, tmp_path_factory):
    """(path of a finished run, output of its training)."""
    path = tmp_path_factory.mktemp("runs") / "run"
    result = forks.run("cnn_train.py", ["--data-dir", tiny_cifar, "--run-dir", path, "--epochs", 2,
                                        "--batch-size", 30, "--precision", "float32"], path.parent,
                       environment_of(path.parent))
    assert (result.returncode, result.stderr) == (0, "")
    return path, result.stdout


def test_cnn_train_prints_a_run(run_dir):
    path, printed = run_dir
    assert printed.count("\n") == 17
    for words in ("recipe lrn_cnn on cifar10", "180 training, 20 held-out and 40 test images",
                  "these are not the official", "2,474,698 parameters", "epoch 1/2", "epoch 2/2",
                  f"restore_model.py {path}\n", f"conv_visuals.py --run {path}\n"):
        assert words in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    correct = int(line.split("(")[1].split("/")[0])
    assert line == f"test accuracy {correct / 40:.4f} ({correct}/40)"


def test_cnn_train_times_the_precision_once_and_reports_it(tiny_cifar, script, tmp_path):
    settings = ("--data-dir", tiny_cifar, "--batch-size", 30, "--recipe", "hinge", "--epochs", 1)
    lines = []
    for run in ("one", "two"):
        result = script("cnn_train.py", *settings, "--run-dir", run)
        assert (result.returncode, result.stderr) == (0, "")
        (line,) = [line for line in result.stdout.splitlines() if "computing in" in line]
        precision = json.loads((tmp_path / run / "recipe.json").read_text())["recipe"]["precision"]
        assert line.startswith(f"computing in {precision}: ")
        lines.append(line)
    assert lines[0].replace("timed now", "timed before") == lines[1]


@pytest.mark.slow
def test_cnn_train_reports_a_finished_run_and_trains_on(run_dir, tiny_cifar, script, tmp_path):
    path, _ = run_dir
    settings = ("--data-dir", tiny_cifar, "--run-dir", path, "--batch-size", 30, "--precision",
                "float32")
    again = script("cnn_train.py", *settings, "--epochs", 2)
    assert again.returncode == 0
    assert "is finished: 12 steps (2 epochs)" in again.stdout and "--epochs 4" in again.stdout
    failed(script("cnn_train.py", *settings, "--epochs", 2, "--seed", 8), 2,
         "seed: 0 before, 8 now", "--overwrite")
    on = script("cnn_train.py", *settings, "--epochs", 3)
    assert on.returncode == 0
    assert "resuming from step 12 of 18" in on.stdout and "epoch 3/3" in on.stdout
    anew = script("cnn_train.py", *settings, "--epochs", 2, "--overwrite")
    assert anew.returncode == 0
    assert "resuming" not in anew.stdout and "epoch 1/2" in anew.stdout


@pytest.mark.slow
def test_cnn_train_starts_from_a_run(run_dir, tiny_cifar, script, tmp_path):
    path, printed = run_dir
    (tested,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    shutil.copytree(path, tmp_path / "runs/first")
    settings = ("--data-dir", tiny_cifar, "--init-from", "runs/first", "--batch-size", 30,
                "--precision", "float32", "--freeze", "conv2", "conv1/")
    first = script("cnn_train.py", *settings, "--epochs", 1)
    assert (first.returncode, first.stderr) == (0, "")
    for words in ("  conv1/weights   5x5x1x64      = conv1/weights, frozen\n",
                  "  output/biases   10            = output/biases\n",
                  f"before training: {tested}\n"):
        assert words in first.stdout
    other = script("cnn_train.py", *settings, "--epochs", 2, "--map", "output=new")
    failed(other, 2, "map: none before, output=new now")
    failed(script("cnn_train.py", *settings, "--overwrite", "--map", "conv1=nothing"), 2,
           "--map conv1=nothing", "has no one variable nothing for conv1/weights")
    shutil.rmtree(tmp_path / "runs/first")
    on = script("cnn_train.py", *settings, "--epochs", 2)
    assert (on.returncode, on.stderr) == (0, "")
    assert "resuming from step 6 of 12 in runs/first-tuned" in on.stdout
    failed(script("cnn_train.py", *settings, "--overwrite"), 2, "no longer there, and a new run")


def test_restore_model_prints_the_same_figures(run_dir, tiny_cifar, script):
    path, printed = run_dir
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    for via in ("saver", "saved_model"):
        result = script("restore_model.py", path, "--via", via)
        assert (result.returncode, result.stderr) == (0, "")
        assert line in result.stdout.splitlines()
        assert result.stdout.count("(") >= 12 and "airplane" in result.stdout
    assert "<h1>" in (path / "report.html").read_text(encoding="utf-8")
    with Image.open(path / "confusion_matrix.png") as picture:
        assert picture.width > 600


def test_restore_model_classifies_pictures(run_dir, script, tmp_path):
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
        found = line.removesuffix(" (unsure)").split(": ")[1].split(", ")
        probabilities = [float(part.split()[-1]) for part in found]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len(probabilities) == 3 and 0 < sum(probabilities) <= 1.002
    with Image.open(path / "predictions.png") as picture:
        assert picture.width > 600
    (tmp_path / "text.png").write_text("no picture")
    failed(script("restore_model.py", path, "text.png"), 2, "text.png", "a text file")


@pytest.mark.slow
def test_cnn_train_without_data_and_network_uses_shapes(script, tmp_path):
    result = script("cnn_train.py", "--steps", 2, "--precision", "float32")
    assert result.returncode == 0
    tried, shapes, how = result.stderr.splitlines()
    assert "NO CIFAR-10" in tried and "127.0.0.1:9" in tried
    assert "shapes" in shapes and "no figure" in shapes
    assert "--data-dir" in how and "CIFAR10_DIR" in how
    assert "on shapes" in result.stdout
    assert '"name": "shapes"' in (tmp_path / "runs/lrn_cnn-shapes/recipe.json").read_text()


def test_conv_visuals_draws_random_filters(tiny_cifar, script, tmp_path):
    result = script("conv_visuals.py", "--data-dir", tiny_cifar, "--filters", 6)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("cifar_examples", "input_image", "step0_weights", "step1_convs",
                 "step2_conv_outs", "step3_maxpool"):
        assert (tmp_path / "pictures" / f"{name}.png").exists()


@pytest.mark.slow
def test_conv_visuals_draws_a_run(run_dir, tiny_cifar, script, tmp_path):
    result = script("conv_visuals.py", "--run", run_dir[0], "--out", "here", "--image-index", 3)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("conv1_weights", "conv1_relu", "conv2_weights", "conv2_lrn", "conv2_max_pool"):
        assert (tmp_path / "here" / f"{name}.png").exists()


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_answer_help_without_slow_imports(name, tmp_path):
    """TensorFlow alone takes seconds to import, so --help would be slow."""
    code = ("import runpy, sys\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\n"
            "finally: print({'numpy', 'tensorflow', 'matplotlib'} & set(sys.modules))")
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = [{str(ROOT / name)!r}, '--help']\n{code}"],
        cwd=ROOT, text=True, capture_output=True, check=False, env=environment_of(tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ") and result.stdout.endswith("set()\n")
    assert "examples:" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("line, word", [
    ("cnn_train.py --epochs 0", "--epochs is 0"), ("restore_model.py nowhere", "nowhere"),
    ("conv_visuals.py --filters 0", "--filters")])
def test_scripts_report_a_mistake_as_real_processes(line, word, tmp_path):
    name, *arguments = line.split()
    result = subprocess.run([sys.executable, str(ROOT / name), *arguments], cwd=tmp_path,
                            text=True, capture_output=True, check=False,
                            env=environment_of(tmp_path))
    failed(result, 2, f"{name}: error: ", word)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def place(run_dir, tiny_cifar, tmp_path_factory):
    """A folder with files of every kind that a user may name by mistake, and intact ones."""
    place = tmp_path_factory.mktemp("mistakes") / "place"
    shutil.copytree(tiny_cifar, place / "given")
    shutil.copytree(run_dir[0], place / "run")

    def run_like(name, without=None, **changes):
        """Write a run with a changed recipe.json and without one of its files."""
        shutil.copytree(place / "run", place / name)
        content = json.loads((place / name / "recipe.json").read_text())
        content["recipe"].update(changes.pop("recipe", {}))
        content["dataset"].update(changes)
        (place / name / "recipe.json").write_text(json.dumps(content))
        if without:
            (shutil.rmtree if (place / name / without).is_dir() else os.remove)(
                place / name / without)

    run_like("no-checkpoint", without="checkpoints")
    run_like("no-recipe", without="recipe.json")
    run_like("no-model", without="saved_model")
    run_like("no-mean", recipe={"preparation": "minus_mean"})
    run_like("gone", directory="/gone")
    run_like("large", image_shape=[32, 32, 5000])
    run_like("deeper", recipe={"conv_layers": 3})
    for name, content in (("torn", "{"), ("list", "[1]"), ("nothing", "{}"), ("bytes", "\udcff")):
        run_like(name)
        (place / name / "recipe.json").write_text(content, errors="surrogateescape")

    for name in ("empty", "mine", "half", "holes/test_batch"):
        (place / name).mkdir(parents=True)
    (place / "file").write_text("x")
    (place / "mine/metrics.csv").write_text("my own")
    shutil.copy(place / "given/batches.meta", place / "half")
    for name in set(os.listdir(place / "given")) - {"test_batch"}:
        shutil.copy(place / "given" / name, place / "holes")
    shutil.copytree(place / "given", place / "hostile")
    (place / "hostile/test_batch").write_bytes(b"\x80\x02cos\nsystem\n.")
    shutil.copytree(place / "given", place / "cut")
    (place / "cut/data_batch_3").write_bytes((place / "given/data_batch_3").read_bytes()[:999])

    (place / "digits").mkdir()
    (place / "digits/t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">4I", 0x803, 40, 28, 28) + bytes(40 * 784))
    (place / "digits/t10k-labels-idx1-ubyte").write_bytes(
        struct.pack(">2I", 0x801, 40) + bytes(40))
    (place / "torn-digits").mkdir()
    for name in os.listdir(place / "digits"):
        (place / "torn-digits" / name).write_bytes((place / "digits" / name).read_bytes()[:-1])

    picture = Image.new("RGB", (40, 40))
    picture.save(place / "good.png")
    (place / "text.png").write_text("no picture")
    (place / "cut.png").write_bytes((place / "good.png").read_bytes()[:60])
    Image.new("1", (20_000, 20_000)).save(place / "bomb.png")
    return place


def files_of(place):
    """A dictionary from each path to its size and, for a file, the time of its last change."""
    return {item: (item.is_dir() or item.lstat().st_mtime_ns, item.lstat().st_size)
            for item in place.rglob("*")}


# (command line, *words of its error message). A command line may begin with NAME=VALUE for the
# environment. The words are the thing, the value and the remedy. \n in a name is a line break.
MISTAKES = [
    # numbers
    ("cnn_train.py --epochs 0", "--epochs is 0, expected at least 1"),
    ("cnn_train.py --epochs -3", "--epochs is -3, expected at least 1"),
    ("cnn_train.py --epochs ten", "--epochs", "'ten'", "--help"),
    ("cnn_train.py --epochs 1.5", "--epochs", "'1.5'", "--help"),
    ("cnn_train.py --epochs", "--epochs", "expected one argument", "--help"),
    ("cnn_train.py --epochs 99999999999999999999", "--epochs is 99999999999999999999", "less than"),
    ("cnn_train.py --epochs 3 --steps 5", "--epochs and --steps", "give one"),
    ("cnn_train.py --steps -1", "--steps is -1, expected at least 0"),
    ("cnn_train.py --learning-rate nan", "--learning-rate is nan, expected a finite number"),
    ("cnn_train.py --learning-rate=-inf", "--learning-rate is -inf", "a finite number"),
    ("cnn_train.py --learning-rate 1e999", "--learning-rate is inf, expected a finite number"),
    ("cnn_train.py --learning-rate 0", "--learning-rate is 0.0, expected more than 0"),
    ("cnn_train.py --learning-rate -0.1", "--learning-rate is -0.1, expected more than 0"),
    ("cnn_train.py --learning-rate 0,001", "--learning-rate", "'0,001'", "--help"),
    ("cnn_train.py --learning-rate 1e-3x", "--learning-rate", "'1e-3x'", "--help"),
    ("cnn_train.py --batch-size 0", "--batch-size is 0, expected at least 1"),
    ("cnn_train.py --batch-size 4294967296", "--batch-size is 4294967296, expected less than"),
    ("cnn_train.py --seed -1", "--seed is -1, expected at least 0"),
    ("cnn_train.py --seed 2147483648", "--seed is 2147483648, expected less than 2147483648"),
    ("cnn_train.py --held-out 1", "--held-out is 1.0, expected less than 1"),
    ("cnn_train.py --held-out 10%", "--held-out", "'10%'", "--help"),
    ("cnn_train.py --held-out -0.1", "--held-out is -0.1, expected at least 0"),
    ("cnn_train.py --recipe dropout_cnn --dropout 1", "--dropout is 1.0, expected less than 1"),
    ("cnn_train.py --l2 -1", "--l2 is -1.0, expected at least 0"),
    ("cnn_train.py --l2 nan", "--l2 is nan, expected a finite number"),
    ("cnn_train.py --moving-average 1", "--moving-average is 1.0, expected less than 1"),
    ("cnn_train.py --beta1 1", "--beta1 is 1.0, expected less than 1"),
    ("cnn_train.py --momentum 2", "--momentum is 2.0, expected less than 1"),
    ("cnn_train.py --decay-rate 0", "--decay-rate is 0.0, expected more than 0"),
    ("cnn_train.py --decay-epochs 0", "--decay-epochs is 0, expected at least 1"),
    ("cnn_train.py --recipe batchnorm_cnn --batch-norm-decay 2", "--batch-norm-decay is 2.0",
     "expected at most 1"),
    ("cnn_train.py --conv-layers 1", "--conv-layers is 1, expected at least 2"),
    ("cnn_train.py --conv-layers 1000000", "--conv-layers is 1000000, expected at most 32"),
    ("cnn_train.py --max-to-keep 0", "--max-to-keep is 0, expected at least 1"),
    ("cnn_train.py --checkpoint-every -5", "--checkpoint-every is -5, expected at least 0"),
    ("cnn_train.py --summary-every -5", "--summary-every is -5, expected at least 0"),
    ("cnn_train.py --early-stopping -1", "--early-stopping is -1, expected at least 0"),
    ("conv_visuals.py --filters 0", "--filters: 0, expected 1 to 1024"),
    ("conv_visuals.py --filters many", "--filters", "'many'", "--help"),
    ("conv_visuals.py --filters 9999999", "--filters: 9999999, expected 1 to 1024"),
    ("conv_visuals.py --filter-size 25", "--filter-size: 25, expected 1 to 24"),
    ("conv_visuals.py --seed -1", "--seed: -1, expected 0 to"),
    ("conv_visuals.py --image-index x --data-dir given", "--image-index", "'x'", "--help"),
    ("conv_visuals.py --image-index -1 --data-dir given", "--image-index -1, expected 0 to 199"),
    ("conv_visuals.py --image-index 200 --data-dir given", "--image-index 200, expected 0 to 199"),
    ("conv_visuals.py --run run --image-index 40", "--image-index 40, expected 0 to 39"),

    # names
    ("cnn_train.py --nonsense", "--nonsense", "--help"),
    ("cnn_train.py --epoch 3", "--epoch 3", "--help"),
    ("cnn_train.py data", "data", "--help"),
    ("cnn_train.py --test-every-epoch yes", "yes", "--help"),
    ("cnn_train.py --recipe alexnet", "--recipe", "alexnet", "lrn_cnn"),
    ("cnn_train.py --network alexnet", "--network", "alexnet", "lrn_cnn"),
    ("cnn_train.py --dataset imagenet", "--dataset", "imagenet", "cifar10"),
    ("cnn_train.py --preparation gray", "--preparation", "gray", "gray24"),
    ("cnn_train.py --loss mse", "--loss", "mse", "softmax_cross_entropy"),
    ("cnn_train.py --optimizer sgd", "--optimizer", "sgd", "gradient_descent"),
    ("cnn_train.py --schedule polynomial", "--schedule", "polynomial", "cosine"),
    ("cnn_train.py --order random", "--order", "random", "shuffled"),
    ("cnn_train.py --initialization xavier", "--initialization", "xavier", "normal"),
    ("cnn_train.py --device tpu", "--device", "tpu", "cpu"),
    ("cnn_train.py --augment", "--augment", "at least one", "--help"),
    ("cnn_train.py --augment blur", "--augment", "blur", "flip"),
    ("cnn_train.py --augment crop,flip", "--augment", "crop,flip", "flip"),
    ("restore_model.py run --via magic", "--via", "magic", "saver"),
    ("restore_model.py run --nonsense", "--nonsense", "--help"),
    ("restore_model.py", "RUN", "--help"),
    ("conv_visuals.py runs/lrn_cnn", "runs/lrn_cnn", "--help"),

    # contradictions
    ("cnn_train.py --augment none flip", "--augment none stands alone"),
    ("cnn_train.py --early-stopping 3 --held-out 0", "--early-stopping is 3", "--held-out 0.1"),
    ("cnn_train.py --recipe softmax --conv-layers 3",
     "--conv-layers is 3, but the network linear has no such option; leave it out"),
    ("cnn_train.py --batch-norm-decay 0.5", "--batch-norm-decay is 0.5", "no such option"),
    ("cnn_train.py --data-dir given --held-out 0.999", "--held-out 0.999", "no image"),
    ("cnn_train.py --dataset mnist --data-dir digits --augment hue", "--augment hue", "mnist"),
    ("restore_model.py run --checkpoint best --via saved_model", "--via saved_model",
     "leave out --checkpoint"),
    ("conv_visuals.py --run run --filters 3", "--filters", "leave it out with --run"),
    ("conv_visuals.py --run run --seed 3", "--seed", "leave it out with --run"),
    ("conv_visuals.py --checkpoint best", "--checkpoint", "--run"),
    ("conv_visuals.py --image-index 3 --image good.png", "--image", "--image-index"),

    # data sets
    ("cnn_train.py --data-dir", "--data-dir", "expected one argument"),
    ("cnn_train.py --data-dir nowhere", "--data-dir nowhere: no such file or folder", "download"),
    ("cnn_train.py --data-dir empty", "--data-dir empty", "no CIFAR-10 there", "download"),
    ("cnn_train.py --data-dir file", "--data-dir file", "no CIFAR-10 there", "download"),
    (r"cnn_train.py --data-dir two\nlines", "--data-dir two lines", "no such file or folder"),
    ("cnn_train.py --data-dir ünïcode", "--data-dir ünïcode", "no such file or folder"),
    ("cnn_train.py --data-dir half", "half/data_batch_1", "no such file", "incomplete"),
    ("cnn_train.py --data-dir holes", "holes/test_batch", "cannot be read (Is a directory)"),
    ("cnn_train.py --data-dir cut", "cut/data_batch_3", "cut short after 999 bytes"),
    ("cnn_train.py --data-dir hostile", "hostile/test_batch", "os.system", "refused"),
    ("cnn_train.py --dataset cifar10", "127.0.0.1:9", "--data-dir", "CIFAR10_DIR"),
    ("cnn_train.py --dataset cifar10 --data-dir digits", "--data-dir digits", "no CIFAR-10"),
    ("cnn_train.py --dataset mnist", "127.0.0.1:9", "--data-dir", "MNIST_DIR"),
    ("cnn_train.py --dataset mnist --data-dir given", "--data-dir given", "no MNIST there"),
    ("cnn_train.py --dataset mnist --data-dir torn-digits", "torn-digits/t10k", "expected"),
    ("cnn_train.py --recipe batchnorm_cnn --data-dir empty", "--data-dir empty", "no MNIST"),
    ("cnn_train.py --dataset shapes --data-dir given", "given/batches.meta", "those of shapes"),
    ("cnn_train.py --dataset shapes --data-dir file", "file", "name a folder"),
    ("CIFAR10_DIR=nowhere cnn_train.py", "CIFAR10_DIR nowhere", "no such file or folder"),
    ("CIFAR10_DIR=file cnn_train.py", "CIFAR10_DIR file", "no CIFAR-10 there"),
    ("CIFAR10_DIR=empty conv_visuals.py", "CIFAR10_DIR empty", "no CIFAR-10 there"),
    ("MNIST_DIR=nowhere cnn_train.py --dataset mnist", "MNIST_DIR nowhere", "no such file"),
    ("CIFAR10_URL=nonsense cnn_train.py --dataset cifar10", "nonsense", "--data-dir"),
    ("CIFAR10_URL=http://[ cnn_train.py --dataset cifar10", "http://[", "--data-dir"),
    ("CIFAR10_URL=file:///nowhere cnn_train.py --dataset cifar10", "/nowhere", "--data-dir"),
    ("CIFAR10_URL=http://127.0.0.1:99999999/ cnn_train.py --dataset cifar10", "99999999"),
    ("CIFAR10_URL='http://a b/' cnn_train.py --dataset cifar10", "a b", "--data-dir"),
    ("MNIST_URL=nonsense cnn_train.py --dataset mnist", "nonsense", "--data-dir"),
    ("conv_visuals.py --data-dir nowhere", "--data-dir nowhere", "no such file or folder"),
    ("restore_model.py run --data-dir nowhere", "--data-dir nowhere", "no such file"),
    ("restore_model.py run --data-dir hostile", "hostile/test_batch", "os.system"),
    ("restore_model.py gone", "/gone", "no longer there", "--data-dir"),
    ("conv_visuals.py --run gone", "/gone", "no longer there", "--data-dir"),

    # run folders
    ("cnn_train.py --data-dir given --run-dir file", "--run-dir file", "is not a folder"),
    ("cnn_train.py --data-dir given --run-dir file/run", "--run-dir file/run", "not a folder"),
    ("cnn_train.py --data-dir given --run-dir mine", "mine/metrics.csv", "--overwrite"),
    ("cnn_train.py --data-dir given --run-dir no-recipe", "no recipe.json", "--overwrite"),
    ("cnn_train.py --data-dir given --run-dir run", "batch_size: 30 before, 125 now",
     "another --run-dir"),
    ("cnn_train.py --data-dir given --run-dir run --batch-size 30 --seed 7",
     "seed: 0 before, 7 now", "another --run-dir"),
    ("cnn_train.py --data-dir given --run-dir run --recipe softmax", "network", "--overwrite"),
    ("cnn_train.py --dataset shapes --data-dir {shapes} --run-dir run --batch-size 30",
     "dataset: 'cifar10' before, 'shapes' now", "--overwrite"),
    ("cnn_train.py --data-dir given --run-dir run --batch-size 30 --steps 1", "12 steps", "the 1",
     "larger --epochs", "another --run-dir", "--overwrite"),
    ("cnn_train.py --data-dir given --run-dir torn", "torn/recipe.json", "damaged"),
    ("restore_model.py nowhere", "nowhere/recipe.json", "no such file", "folder of a run?"),
    ("restore_model.py file", "file is a file", "the folder of a run first"),
    ("restore_model.py --run run good.png", "needs no --run", "restore_model.py run good.png"),
    ("restore_model.py empty", "empty/recipe.json", "no such file", "folder of a run?"),
    ("restore_model.py run/checkpoints", "checkpoints/recipe.json", "folder of a run?"),
    ("restore_model.py given", "given/recipe.json", "no such file", "folder of a run?"),
    (r"restore_model.py two\nlines", "two lines/recipe.json", "no such file"),
    ("restore_model.py torn", "torn/recipe.json", "damaged, not JSON"),
    ("restore_model.py list", "list/recipe.json", "damaged, expected a JSON dictionary"),
    ("restore_model.py nothing", "nothing/recipe.json", "no 'name' in it"),
    ("restore_model.py bytes", "bytes/recipe.json", "damaged"),
    ("restore_model.py large", "large/recipe.json", "damaged"),
    ("restore_model.py no-checkpoint", "no-checkpoint/checkpoints", "train longer"),
    ("restore_model.py no-checkpoint --checkpoint latest", "no latest checkpoint", "train longer"),
    ("restore_model.py no-model --via saved_model", "no-model/saved_model", "training ends with"),
    ("restore_model.py no-mean good.png", "no-mean/mean_image.npy", "minus_mean"),
    ("restore_model.py run --checkpoint 7", "--checkpoint 7", "model.ckpt-12"),
    ("restore_model.py run --checkpoint file", "--checkpoint file", "expected best, latest"),
    ("conv_visuals.py --run nowhere", "nowhere/recipe.json", "no such file"),
    ("conv_visuals.py --run file", "file/recipe.json", "no such file"),
    ("conv_visuals.py --run torn", "torn/recipe.json", "damaged"),
    ("conv_visuals.py --run no-checkpoint", "no-checkpoint/checkpoints", "train longer"),
    ("conv_visuals.py --run run --checkpoint nowhere", "--checkpoint nowhere", "model.ckpt-12"),
    ("conv_visuals.py --out file --data-dir given", "--out file", "not a folder"),
    ("conv_visuals.py --out file/deeper --data-dir given", "--out file/deeper", "not a folder"),

    # pictures
    ("restore_model.py run nowhere.png", "nowhere.png", "no such file"),
    ("restore_model.py run text.png", "text.png", "a text file"),
    ("restore_model.py run cut.png", "cut.png", "PNG picture that is cut short"),
    ("restore_model.py run *.webp", "*.webp", "no file has this name or matches"),
    ("restore_model.py run good.png --results r.txt", "--results r.txt", ".csv or .json"),
    ("restore_model.py run --invert", "--invert is for pictures", "IMAGE"),
    ("restore_model.py run bomb.png", "bomb.png", "too many pixels", "make it smaller"),
    ("restore_model.py run empty", "empty", "no pictures in this folder", ".jpeg"),
    ("restore_model.py run file", "file", "a text file"),
    (r"restore_model.py run two\nlines.png", "two lines.png", "no such file"),
    ("conv_visuals.py --image nowhere.png --data-dir given", "nowhere.png", "no such file"),
    ("conv_visuals.py --image text.png --data-dir given", "text.png", "a text file"),
    ("conv_visuals.py --image bomb.png --data-dir given", "bomb.png", "too many pixels"),
    ("conv_visuals.py --image empty --data-dir given", "empty", "is a folder"),

    # empty values, as from an unset variable of the shell
    ("cnn_train.py --data-dir ''", "--data-dir", "''"),
    ("cnn_train.py --data-dir=", "--data-dir", "''"),
    ("cnn_train.py --data-dir given --run-dir ''", "--run-dir", "''"),
    ("cnn_train.py --recipe ''", "--recipe", "''"),
    ("cnn_train.py --epochs ''", "--epochs", "''"),
    ("restore_model.py ''", "''"),
    ("restore_model.py run ''", "''"),
    ("restore_model.py run --checkpoint ''", "--checkpoint", "''"),
    ("conv_visuals.py --run ''", "--run", "''"),
    ("conv_visuals.py --image '' --data-dir given", "--image", "''"),
    ("conv_visuals.py --out '' --data-dir given", "--out", "''"),
]

# Failures of valid command lines, which exit with status 1.
FAILURES = [
    ("cnn_train.py --data-dir given --run-dir /proc/x", "/proc/x", "No such file or directory"),
    ("restore_model.py deeper", "deeper/checkpoints/", "cannot be restored", "conv3"),
]


@pytest.mark.parametrize("status, line, words", [
    *((2, line, words) for line, *words in MISTAKES),
    *((1, line, words) for line, *words in FAILURES)])
def test_scripts_report_a_mistake_in_one_line(status, line, words, place, monkeypatch, capsys):
    """The scripts run in this process, because as many processes would take minutes."""
    monkeypatch.chdir(place)
    for name, value in {"XDG_CACHE_HOME": place.parent / "cache", "TF_CPP_MIN_LOG_LEVEL": "3",
                        "CIFAR10_URL": "http://127.0.0.1:9/x", "MNIST_URL": "http://127.0.0.1:9",
                        "CIFAR10_DIR": "", "MNIST_DIR": ""}.items():
        monkeypatch.setenv(name, str(value))
    arguments = shlex.split(line.format(shapes=place.parent / "shapes").replace(r"\n", "\\\\n"))
    while "=" in arguments[0]:
        monkeypatch.setenv(*arguments.pop(0).split("=", 1))
    monkeypatch.setattr(sys, "argv", [item.replace(r"\n", "\n") for item in arguments])
    before = files_of(place)
    with pytest.raises(SystemExit) as caught:
        console.run(importlib.import_module(arguments[0].removesuffix(".py")).main, arguments[0])
    error = capsys.readouterr().err
    assert caught.value.code == status, error
    assert error.startswith(f"{arguments[0]}: error: ") and error.count("\n") == 1
    for word in words:
        assert word in error
    assert files_of(place) == before, "a mistake left something behind"


def test_cnn_train_refuses_a_data_set_of_another_name(script, tmp_path):
    shapes.write(tmp_path / "drawn")
    failed(script("cnn_train.py", "--data-dir", "drawn"), 2, "batches.meta",
         "10 classes of its own (circle, ring,", "give --dataset folders")


def start_training(tiny_cifar, path, *arguments):
    """A training process that has printed its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "cnn_train.py"), "--data-dir", str(tiny_cifar),
         "--run-dir", str(path), "--batch-size", "30", "--precision", "float32",
         *arguments],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            return process
    raise AssertionError(process.stderr.read())


@pytest.mark.slow
def test_cnn_train_stops_at_a_signal_and_resumes(tiny_cifar, script, tmp_path):
    """Send Ctrl-C. tests/stress/campaign.py has SIGTERM and kills."""
    path = tmp_path / "run"
    process = start_training(tiny_cifar, path, "--epochs", "2000")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    stopped = saved(RunFolder(path))[-1][0]
    assert f"stopped and saved at step {stopped}; the same command goes on" in error
    assert error.count("\n") == 1, error
    settings = ("--data-dir", tiny_cifar, "--run-dir", path, "--batch-size", 30, "--precision",
                "float32")
    failed(script("cnn_train.py", *settings, "--steps", 3), 2, "trained for", "larger")
    on = script("cnn_train.py", *settings, "--steps", stopped + 5)
    assert f"resuming from step {stopped} of {stopped + 5}" in on.stdout
    assert "test accuracy" in on.stdout


def test_cnn_train_deletes_nothing_by_mistake(run_dir, tiny_cifar, script, tmp_path):
    path, _ = run_dir
    before = {item: item.stat().st_mtime_ns for item in path.rglob("*") if item.is_file()}
    failed(script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", path, "--overwrite",
                "--device", "gpu", CUDA_VISIBLE_DEVICES=""), 2, "--device gpu")
    failed(script("cnn_train.py", "--dataset", "shapes", "--run-dir", path, "--batch-size", 30), 2,
         "dataset: 'cifar10' before, 'shapes' now")
    assert before == {item: item.stat().st_mtime_ns for item in path.rglob("*") if item.is_file()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/metrics.csv").write_text("my own")
    failed(script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", "mine"), 2, "metrics.csv",
         "--overwrite")
    assert (tmp_path / "mine/metrics.csv").read_text() == "my own"
    failed(script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", "mine/metrics.csv"), 2,
         "is not a folder")


def test_cnn_train_resumes_on_the_same_images_only(run_dir, tiny_cifar, script, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_cifar, other)
    shutil.copy(other / "data_batch_1", other / "data_batch_2")
    failed(script("cnn_train.py", "--data-dir", other, "--run-dir", run_dir[0], "--batch-size", 30,
                "--epochs", 9), 2, "other images in")
    result = script("restore_model.py", run_dir[0], "--data-dir", other)
    assert result.returncode == 0 and "not comparable" in result.stderr


def test_cnn_train_tells_and_records_what_changed_since_the_run_began(
        run_dir, tiny_cifar, script, tmp_path):
    shutil.copytree(run_dir[0], tmp_path / "run")
    recipe = tmp_path / "run/recipe.json"
    content = json.loads(recipe.read_text())
    assert content["versions"].keys() >= {
        "tensorflow", "processor", "cores", "TF_ENABLE_ONEDNN_OPTS", "device"}
    assert "changes" not in content
    content["versions"]["tensorflow"] = "2.9.0"
    recipe.write_text(json.dumps(content))
    result = script("cnn_train.py", "--data-dir", tiny_cifar, "--run-dir", "run", "--batch-size",
                    30, "--precision", "float32", "--epochs", 3, TF_ENABLE_ONEDNN_OPTS="0")
    assert result.returncode == 0 and "resuming from step 12 of 18" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("tensorflow: 2.9.0 before, ")
    assert lines[1].startswith("TF_ENABLE_ONEDNN_OPTS: 1 before, 0 now: ")
    after = json.loads(recipe.read_text())
    assert after["versions"] == content["versions"]
    assert [(change["step"], change["what"]) for change in after["changes"]] == [
        (12, "tensorflow"), (12, "TF_ENABLE_ONEDNN_OPTS")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.slow
@pytest.mark.parametrize("kind, value", [(resource.RLIMIT_NPROC, 4),
                                         (resource.RLIMIT_AS, 1_500_000_000)])
def test_scripts_tell_why_a_process_without_threads_or_memory_ends(kind, value, tmp_path):
    """TensorFlow's C++ code then ends the process by itself, or its library is not loaded."""
    def limit():
        libc = ctypes.CDLL(None)
        libc.prctl(8, 1)  # PR_SET_KEEPCAPS, so that this Python's files can be read still
        os.setuid(54321)
        read = struct.pack("6I", 6, 6, 6, 0, 0, 0)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if libc.capset(struct.pack("Ii", 0x20080522, 0), read) or any(
                libc.prctl(47, 2, number, 0, 0) for number in (1, 2)):  # PR_CAP_AMBIENT_RAISE
            raise OSError("capset")
        resource.setrlimit(kind, (value, value))

    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 54321, 54321)
    result = subprocess.run(
        [sys.executable, str(ROOT / "cnn_train.py"), "--dataset", "shapes", "--recipe", "softmax",
         "--steps", "2", "--run-dir", "run"], cwd=tmp_path / "home", text=True,
        capture_output=True, check=False, env=environment_of(tmp_path / "home"), preexec_fn=limit)
    assert result.returncode in (1, -signal.SIGABRT)
    assert result.stderr.count("\n") == 1, result.stderr
    line = result.stderr
    assert line.startswith("cnn_train.py: error: ") and "ulimit" in line


def test_parse_arguments_imports_nothing_slow():
    """Slow imports would delay error messages and --help."""
    code = ("import sys, cnn_train, restore_model, conv_visuals\n"
            "from tf1cifar.errors import UserError\n"
            "for script, line in ((cnn_train, '--epochs 0'), (restore_model, '--via x'), "
            "(conv_visuals, '--filters 0')):\n"
            "    try: script.parse_arguments(line.split())\n"
            "    except UserError: pass\n"
            "    else: sys.exit('no complaint')\n"
            "sys.exit(str({'numpy', 'tensorflow', 'matplotlib'} & set(sys.modules) or ''))")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True,
                            capture_output=True, check=False)
    assert result.stderr.strip() == ""
