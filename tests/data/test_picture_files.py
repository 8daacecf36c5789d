"""data/picture_files.py: which files arguments stand for, and their pixels in batches."""

import os

import numpy as np
import pytest
from PIL import Image

from tf1cifar.data import base, own_pictures, picture_files

RGB = (8, 8, 3)


def write(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10), (value, value, value)).save(path, format="PNG")
    return str(path)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder, the working one, with photos/ in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "10.tiff", "deep/c.webp", ".hidden.png", ".hidden/d.png",
                 "IMG_1.HEIC", "Thumbs.db", "notes.txt", "film.mov", "[1].png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("suffix", base.PICTURE_SUFFIXES)
def test_find_knows_every_suffix_in_folders(tmp_path, suffix):
    (tmp_path / f"a{suffix.upper()}").write_bytes(b"x")
    assert picture_files.find([str(tmp_path)]) == ([str(tmp_path / f"a{suffix.upper()}")], [], [])


def test_find_takes_the_pictures_of_folders_sorted(photos):
    paths, notes, mistakes = picture_files.find(["photos/b.png", "photos"])
    assert paths == ["photos/b.png", "photos/10.tiff", "photos/IMG_1.HEIC", "photos/[1].png",
                     "photos/a.JPG", "photos/b.png", "photos/deep/c.webp"]
    assert notes == ["photos: 2 other files left out, such as film.mov"]
    assert mistakes == []


@pytest.mark.parametrize("pattern, expected", [
    ("photos/*.png", ["[1].png", "b.png"]), ("photos/?.png", ["b.png"]),
    ("photos/**/*.webp", ["deep/c.webp"]), ("photos/[ab].*", ["a.JPG", "b.png"]),
    ("photos/[1].png", ["[1].png"]),  # a file of that name is there
    ("photos/d*", ["deep/c.webp"]),  # a folder
    ("$PLACE/*.png", ["[1].png", "b.png"])])
def test_find_replaces_patterns(photos, pattern, expected, monkeypatch):
    monkeypatch.setenv("PLACE", "photos")
    paths, _, mistakes = picture_files.find([pattern])
    assert (paths, mistakes) == ([f"photos/{name}" for name in expected], [])


def test_find_replaces_the_home_folder(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos))
    assert picture_files.find(["~/photos/b.png"])[0] == [str(photos / "photos/b.png")]


def test_find_names_arguments_without_pictures(photos):
    (photos / "empty").mkdir()
    (photos / "texts").mkdir()
    (photos / "texts/a.txt").write_bytes(b"x")
    paths, notes, mistakes = picture_files.find(["empty", "*.gif", "photos/b.png", "texts"])
    assert (paths, notes) == (["photos/b.png"], [])
    assert [path for path, _ in mistakes] == ["empty", "*.gif", "texts"]
    assert mistakes[0][1].startswith("no pictures in this folder; expected names that end with")
    assert mistakes[1][1] == "no file has this name or matches it as a pattern"


@pytest.mark.parametrize("pattern, hint", [
    ("photos/*.jpg", "; upper and lower case are different, as in a.JPG"),
    ("photos/B.PNG*", "; upper and lower case are different, as in b.png"),
    ("photos/x*.jpg", ""), ("photos/[xy]*.jpg", "")])
def test_find_tells_of_files_in_the_other_case(photos, pattern, hint):
    ((path, reason),) = picture_files.find([pattern])[2]
    assert (path, reason) == (pattern, "no file has this name or matches it as a pattern" + hint)


def test_find_names_folders_that_cannot_be_read(photos, monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", "photos/secret"))
        yield "photos", [], ["b.png"]

    monkeypatch.setattr(os, "walk", walk)  # root may read everything
    assert picture_files.find(["photos"]) == (
        ["photos/b.png"], [], [("photos/secret", "cannot be read (Permission denied)")])


@pytest.mark.parametrize("name", ["nowhere.png", "n" * 300, "photos/b.png/x"])
def test_find_leaves_missing_files_to_the_reader(photos, name):
    assert picture_files.find([name]) == ([name], [], [])


def test_read_batches_reads_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "BATCH_SIZE", 3)
    paths = [write(tmp_path / f"{number}.png", number) for number in range(8)]
    for number in (1, 3, 4, 5):
        (tmp_path / f"{number}.png").write_bytes(b"")
    batches = list(picture_files.read_batches(paths, RGB))
    assert [names for names, _, _ in batches] == [[paths[0], paths[2]], [], paths[6:]]
    for names, images, _ in batches:
        assert images.dtype == np.uint8 and images.shape == (len(names), *RGB)
        assert [paths.index(name) for name in names] == images[:, 0, 0, 0].tolist()
    assert [len(mistakes) for _, _, mistakes in batches] == [1, 3, 0]
    assert batches[0][2] == [(paths[1], "an empty file; copy or download it again")]


def test_read_batches_passes_the_options_on(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(path)
    for options in (("crop", False), ("pad", True)):
        ((_, images, _),) = picture_files.read_batches([path], RGB, *options)
        np.testing.assert_array_equal(images[0], own_pictures.read_image(path, RGB, *options))


def test_read_batches_is_silent_about_damaged_metadata(tmp_path, recwarn):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (10, 10)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01")
    own_pictures.read_image(path, RGB)
    assert recwarn.pop(UserWarning)  # what Pillow says otherwise
    ((names, _, mistakes),) = picture_files.read_batches([path], RGB)
    assert (names, mistakes, list(recwarn)) == ([path], [], [])
