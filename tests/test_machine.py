"""The machine's description, its GPU, and the command of this Python."""

import os
import pathlib
import subprocess
import sys

import pytest

from tf1cifar import machine

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
"""


@pytest.mark.parametrize("text, cores, expected", [
    (CPUINFO, 2, "AMD EPYC (family 26, model 2), 2 cores"), (CPUINFO, 1, "1 core")])
def test_describe(text, cores, expected, monkeypatch):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path, errors=None: text)
    monkeypatch.setattr(machine, "cores", lambda: cores)
    assert machine.describe().endswith(expected)


def test_describe_without_proc(monkeypatch):
    def missing(path, errors=None):
        raise FileNotFoundError

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    assert machine.describe().endswith((" core", " cores"))


@pytest.mark.parametrize("value, recorded", [
    (None, "1"), ("1", "1"), ("True", "1"), ("0", "0"), ("false", "0"), ("x", "x")])
def test_record_knows_the_two_ways_to_say_the_same(value, recorded, monkeypatch):
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if value:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
    monkeypatch.setattr(machine, "cores", lambda: 3)
    record = machine.record()
    assert record["TF_ENABLE_ONEDNN_OPTS"] == recorded
    assert machine.describe() == f"{record['processor']}, {record['cores']} cores"


def test_starts_threads():
    assert machine.starts_threads()


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Function (shell code) that puts a stand-in for nvidia-smi on the path, which is empty."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "NVIDIA_FILES", (str(tmp_path / "nvidia0"),))

    def make(code):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    return make


@pytest.mark.parametrize("code, expected", [
    ("echo 'GPU 0: NVIDIA H100 (UUID: GPU-8a)'; echo 'GPU 1: other'", ("NVIDIA H100", "")),
    ("echo 'NVIDIA-SMI has failed' >&2; exit 9", ("", "nvidia-smi fails (NVIDIA-SMI has failed)")),
    ("exit 6", ("", "nvidia-smi fails (it prints nothing)"))])
def test_nvidia_gpu_is_what_nvidia_smi_names(code, expected, nvidia_smi):
    nvidia_smi(code)
    assert machine.nvidia_gpu() == expected


def test_nvidia_gpu_without_nvidia_smi(nvidia_smi, tmp_path):
    assert machine.nvidia_gpu() == ("", "")
    (tmp_path / "nvidia0").touch()
    name, fault = machine.nvidia_gpu()
    assert not name and "docker run --gpus all" in fault


def test_command_starts_this_python(tmp_path, monkeypatch):
    """Whatever the path says: the python on it may be another one."""
    folder = os.path.dirname(sys.executable)
    for path in (folder, "/nowhere"):
        monkeypatch.setenv("PATH", path)
        words = machine.command("-c", "import sys; print(sys.executable)")
        assert path != folder or words.startswith("python ")
        done = subprocess.run(["/bin/sh", "-c", words], text=True, capture_output=True, check=True)
        assert os.path.samefile(done.stdout.strip(), sys.executable)
    assert machine.command("a b", "c").endswith(" 'a b' c")
    monkeypatch.chdir(folder)
    assert machine.command() == os.path.basename(sys.executable)
    monkeypatch.setattr(sys, "executable", None)
    assert machine.command("x") == "python x"


def test_shown_path_is_short_inside_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert machine.shown_path(tmp_path / "a/b") == os.path.join("a", "b")
    assert machine.shown_path(tmp_path.parent / "b") == str(tmp_path.parent / "b")


def test_command_names_no_path_that_looks_like_an_option():
    assert machine.command("script.py", "--run", pathlib.Path("-x")).endswith(" --run ./-x")
