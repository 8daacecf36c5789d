"""The campaigns in their short forms."""

import json
import pathlib
import subprocess
import sys
import tarfile

import hypothesis
import hypothesis.strategies as st
import pytest
from stress import fuzz

CAMPAIGN = pathlib.Path(__file__).with_name("campaign.py")


@pytest.mark.whole
def test_short_campaign():
    result = subprocess.run([sys.executable, str(CAMPAIGN), "--short"], text=True,
                            capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "kills: the bits of an undisturbed run",
        "full disk: reported, nothing lost",
        "read-only folder: reported, nothing written",
        "signals: saved, the bits of an undisturbed run"]


@pytest.fixture(scope="module", params=fuzz.READERS)
def reader(request, tmp_path_factory):
    return request.param, fuzz.READERS[request.param](tmp_path_factory.mktemp("fuzz"))


@hypothesis.settings(max_examples=4, deadline=None, derandomize=True, database=None)
@hypothesis.given(number=st.integers(0, 10 ** 6))
def test_fuzz_raises_documented_errors_only(reader, number):
    """A few examples of each reader. `python tests/stress/fuzz.py` runs many more."""
    name, files = reader
    assert fuzz.one(files, name, number) in ("read", "UserError", "Failure")


def test_fuzz_reads_what_is_not_damaged(reader, monkeypatch):
    """Intact files are accepted, so the damage is the only reason to refuse an example."""
    monkeypatch.setattr(fuzz, "damaged", lambda rng, content, tokens=(): content)
    monkeypatch.setattr(fuzz, "damaged_json", lambda rng, content: json.dumps(content).encode())
    monkeypatch.setattr(fuzz.MetaGraphs, "structured", lambda self, rng, content: content)
    monkeypatch.setattr(fuzz.Tarballs, "member", lambda self, tar, rng, name: tar.addfile(
        tarfile.TarInfo(f"cifar-10-batches-py/{name}")))
    name, files = reader
    assert any(fuzz.one(files, name, number) == "read" for number in range(12))
