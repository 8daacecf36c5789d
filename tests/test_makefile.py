"""The Makefile refuses a Python that cannot work in one line, and leaves nothing half-made."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# A stand-in for Python: the answers of its three questions, and what its venv module does.
FAKE = """#!/bin/sh
case "$*" in
  *version_info*) {version} ;;
  *ensurepip*) {ensurepip} ;;
  "-m venv .venv") mkdir -p .venv/bin; {venv} ;;
  *) echo "$0 $*"; {pip} ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """Function (**answers) that runs `make .venv/runtime` with a stand-in for python3."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").touch()

    def run(python="python3", **answers):
        fake = tmp_path / "bin/python3"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(FAKE.format(**{
            "version": "echo 3.12", "ensurepip": "echo 1", "pip": ":",
            "venv": "cp bin/python3 .venv/bin/python", **answers}))
        fake.chmod(0o755)
        return subprocess.run(
            ["make", "--no-print-directory", ".venv/runtime", f"PYTHON={python}"], cwd=tmp_path,
            text=True, capture_output=True, check=False,
            env={"PATH": f"{fake.parent}:/usr/bin:/bin"})
    return run


@pytest.mark.parametrize("answers, words", [
    ({"python": "python3.99"}, ("python3.99 does not run", "apt install python3")),
    ({"version": "exit 127"}, ("python3 does not run", "Python 3.10 to 3.13")),
    ({"version": "echo 3.9"}, ("python3 is Python 3.9,", "PYTHON=python3.12")),
    ({"version": "echo 3.14"}, ("python3 is Python 3.14,", "Python 3.10 to 3.13")),
    ({"ensurepip": "exit 1"}, ("cannot make a virtual environment", "apt install python3-venv"))])
def test_runtime_refuses_a_python_that_cannot_work(answers, words, make, tmp_path):
    result = make(**answers)
    assert result.returncode and result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_runtime_leaves_no_half_made_environment(make, tmp_path):
    assert make(venv="exit 1").returncode
    assert not (tmp_path / ".venv").exists()
    (tmp_path / ".venv").mkdir()  # somebody else's
    assert make(venv="exit 1").returncode
    assert (tmp_path / ".venv").exists()


def test_runtime_tells_of_the_download_and_goes_on_after_a_failed_one(make, tmp_path):
    failed = make(pip="exit 1")
    assert failed.returncode and not (tmp_path / ".venv/runtime").exists()
    result = make(venv="cp bin/python3 .venv/bin/python")
    assert result.returncode == 0, result.stderr
    assert "600 MB" in result.stdout and "-m pip install" in result.stdout
    assert "--quiet" not in result.stdout and "-q" not in result.stdout.split()
    assert (tmp_path / ".venv/runtime").exists()


@pytest.mark.parametrize("old", ["echo 3.9", "exit 127"])
def test_runtime_names_an_environment_of_another_python(old, make, tmp_path):
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE.format(version=old, ensurepip=":", venv=":", pip=":"))
    python.chmod(0o755)
    result = make()
    assert result.returncode and result.stderr.count("\n") == 1
    assert ".venv/bin/python" in result.stderr and "rm -r .venv" in result.stderr
    assert python.exists()
