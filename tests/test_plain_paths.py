"""plain_paths.py: paths as TensorFlow can take them."""

import os
import tempfile

import pytest

from tf1cifar import errors
from tf1cifar.plain_paths import plain, real


@pytest.mark.parametrize("name", ["lr[0.1]", "g?", "a*", "a\\b", os.fsdecode(b"b\xffd")])
def test_plain_gives_a_folder_a_second_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_text("x")
    found = plain(folder / "file")
    assert open(found).read() == "x" and not set("[]*?\\") & set(found)
    found.encode("utf-8")
    assert plain(folder / "other") == os.path.join(os.path.dirname(found), "other")


def test_plain_makes_one_link_for_all_folders_below(tmp_path):
    """Scratch folders come and go, and TensorFlow's messages name the person's path."""
    for name in ("a", "b"):
        (tmp_path / "g?" / name).mkdir(parents=True)
    one, two = (plain(tmp_path / "g?" / name / "x.index") for name in ("a", "b"))
    assert one[:-len("a/x.index")] == two[:-len("b/x.index")]
    assert real(f"{one}: no space") == f"{tmp_path}/g?/a/x.index: no space"


def test_plain_tells_of_a_temporary_folder_that_is_a_pattern_too(tmp_path, monkeypatch):
    (tmp_path / "[t]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[t]"))
    with pytest.raises(errors.UserError, match="TMPDIR"):
        plain(tmp_path / "[run]/x")
    assert not list((tmp_path / "[t]").iterdir())


def test_plain_leaves_other_paths_alone(tmp_path):
    for path in (tmp_path / "two words", "ünï/x", "$HOME/%d"):
        assert plain(path) == str(path)
