"""plain_paths.py: paths as TensorFlow can take them."""

import os

import pytest

from tf1cifar.plain_paths import plain


@pytest.mark.parametrize("name", ["lr[0.1]", "g?", "a*", "a\\b", os.fsdecode(b"b\xffd")])
def test_plain_gives_a_folder_a_second_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "file").write_text("x")
    found = plain(folder / "file")
    assert open(found).read() == "x" and not set("[]*?\\") & set(found)
    found.encode("utf-8")
    assert plain(folder / "other") == os.path.join(os.path.dirname(found), "other")


def test_plain_leaves_other_paths_alone(tmp_path):
    for path in (tmp_path / "two words", "ünï/x", "$HOME/%d"):
        assert plain(path) == str(path)
