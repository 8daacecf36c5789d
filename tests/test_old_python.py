"""A Python that is too old gets one line from every script, before it meets newer syntax."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = ("cnn_train.py", "restore_model.py", "conv_visuals.py", "compare_runs.py")


@pytest.mark.parametrize("name", [*SCRIPTS, "cifar_tools.py", "tf1cifar/__init__.py"])
def test_script_can_be_read_by_python_3_6(name):
    """An older Python would stop at the syntax before it comes to the check."""
    ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_refuses_an_old_python_in_one_line(name):
    """The stand-in for Python 3.6 lacks `dataclasses` too."""
    code = ("import runpy, sys\nsys.version_info = (3, 6, 9)\nsys.modules['dataclasses'] = None\n"
            f"sys.argv = [{name!r}]\nrunpy.run_path({name!r}, run_name='__main__')")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True,
                            capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line == (f"error: {sys.executable} is Python 3.6, and TensorFlow needs Python 3.10 to "
                    "3.13; run this with one of those, for example python3.13")
