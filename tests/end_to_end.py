"""The slow checks of the whole project, which .ci/run calls after `make test`.

The environment variable CIFAR10_DIR names the folder of CIFAR-10. If it is not set, the checks use
the built-in shapes and the accuracy expected on them.
"""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(*command, cwd=ROOT, **environment):
    """The output of a command, which must exit with status 0."""
    result = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True,
                            check=False, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def data():
    """(arguments that name the data set, lowest test accuracy after ten epochs)."""
    if os.environ.get("CIFAR10_DIR"):
        return ("--dataset", "cifar10"), 0.68  # also on pixels softened by JPEG
    return ("--dataset", "shapes"), 0.90


def test_ten_epochs_reach_what_the_documents_claim(data, tmp_path):
    arguments, least = data
    folder = tmp_path / "run"
    printed = run(sys.executable, "cnn_train.py", *arguments, "--run-dir", folder, "--epochs", 10)
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    assert float(line.split()[2]) >= least
    for via in ("saver", "meta_graph", "saved_model"):
        assert line in run(sys.executable, "restore_model.py", folder, "--via", via).splitlines()
    run(sys.executable, "conv_visuals.py", "--run", folder)
    pictures = sorted((folder / "pictures").glob("*.png"))
    assert len(pictures) >= 10
    assert f"{pictures[0]}: " in run(sys.executable, "restore_model.py", folder, *pictures)


def test_make_train_on_a_machine_without_data_and_network(tmp_path):
    """`make train` in a fresh clone. Only the packages are downloaded."""
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", ROOT, clone)
    printed = run("make", "train", cwd=clone, XDG_CACHE_HOME=str(tmp_path / "cache"),
                  CIFAR10_URL="http://127.0.0.1:9/nothing.tar.gz", CIFAR10_DIR="")
    assert "on shapes" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    assert float(line.split()[2]) >= 0.85
    assert (clone / "runs/lrn_cnn-shapes/learning_curve.png").exists()
