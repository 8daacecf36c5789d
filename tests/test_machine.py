"""The machine's description."""

import pathlib

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
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: text)
    monkeypatch.setattr(machine, "cores", lambda: cores)
    assert machine.describe().endswith(expected)


def test_describe_without_proc(monkeypatch):
    def missing(path):
        raise FileNotFoundError

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    assert machine.describe().endswith((" core", " cores"))
