"""data/folders.py and data/picture_cache.py: your own pictures as a data set."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from tf1cifar import data, machine, recipes
from tf1cifar.data import base, folders, picture_cache
from tf1cifar.data.base import DataError
from tf1cifar.data.download import cache_folder

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
COLOURS = {"cat": (200, 30, 30), "dog": (30, 200, 30), "horse": (30, 30, 200)}


def save(path, colour, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def photos(tmp_path):
    """20 pictures each of a cat, a dog and a horse; the pictures of a class have one colour."""
    for name, colour in COLOURS.items():
        for number in range(20):
            save(tmp_path / "photos" / name / f"{number}.png", colour)
    return tmp_path / "photos"


def assert_colours(split):
    """Every image has the colour of its class."""
    expected = np.array(list(COLOURS.values()))[split.labels]
    np.testing.assert_array_equal(split.images,
                                  np.broadcast_to(expected[:, None, None], split.images.shape))


# ---------------------------------------------------------------------------------------
# Layouts


def test_load_holds_back_a_fifth_of_each_class(photos, capsys):
    found = folders.load(photos, 32)
    assert (found.name, found.class_names, found.note) == ("folders", ("cat", "dog", "horse"), "")
    assert found.train.images.shape == (48, 32, 32, 3)
    assert (found.train.images.dtype, found.train.labels.dtype) == (np.uint8, np.int64)
    assert np.bincount(found.test.labels).tolist() == [4, 4, 4]
    assert_colours(found.train)
    assert_colours(found.test)
    assert capsys.readouterr() == ("", "")


def test_load_mixes_the_classes(photos):
    # The held-out images are the last ones of the training split; they must not be of one class.
    _, held_out = base.hold_out(folders.load(photos, 32).train, 0.25)
    assert len(set(held_out.labels)) == 3


def test_load_reads_folders_for_training_and_testing(photos, tmp_path):
    for name in COLOURS:
        for number in range(3):
            (tmp_path / "D/test" / name).mkdir(parents=True, exist_ok=True)
            (photos / name / f"{number}.png").rename(tmp_path / f"D/test/{name}/{number}.png")
    photos.rename(tmp_path / "D/train")
    found = folders.load(tmp_path / "D", 24)
    assert found.train.images.shape == (51, 24, 24, 3) and len(found.test.labels) == 9
    assert_colours(found.test)
    shutil.rmtree(tmp_path / "D/test/dog")
    assert "no test picture of dog" in folders.load(tmp_path / "D", 24).note
    save(tmp_path / "D/test/cow/1.png", (0, 0, 0))
    with pytest.raises(DataError, match="test/cow: no such class in .*train; expected cat, dog"):
        folders.load(tmp_path / "D", 24)


def test_load_reads_pictures_in_folders_of_a_class_folder(photos):
    (photos / "cat/2024").mkdir()
    (photos / "cat/1.png").rename(photos / "cat/2024/1.png")
    assert len(folders.load(photos, 32).train.labels) == 48


def test_load_reads_kaggles_layout(tmp_path):
    rows = ["id,label"]
    for number in range(1, 31):
        name = list(COLOURS)[number % 3]
        save(tmp_path / f"train/{number}.png", COLOURS[name])
        rows.append(f"{number},{name}")
    (tmp_path / "trainLabels.csv").write_text("\n".join([*rows, "77,cat"]))
    save(tmp_path / "train/99.png", (0, 0, 0))
    found = folders.load(tmp_path, 32)
    assert (len(found.train.labels), len(found.test.labels)) == (24, 6)
    assert_colours(found.train)
    assert_colours(found.test)
    assert found.note.splitlines() == [
        "pictures that trainLabels.csv names and train/ lacks: 1",
        "pictures in train/ that have no label and are left out: 1"]


@pytest.mark.parametrize("content, words", [
    ("name,class\n1,cat\n", "first line is not id,label"), ("", "first line is not id,label"),
    ("id,label\n1\n", "line 2 has 1 cells"), (b"id,label\n\xff\xfe,1\n", "decode"),
    ('id,label\n1,"' + "x" * 200_000, "field larger than field limit")])
def test_load_names_a_damaged_list_of_labels(tmp_path, content, words):
    save(tmp_path / "train/1.png", (0, 0, 0))
    mode = "wb" if isinstance(content, bytes) else "w"
    with open(tmp_path / "trainLabels.csv", mode) as out:
        out.write(content)
    with pytest.raises(DataError, match=f"trainLabels.csv: .*{words}"):
        folders.load(tmp_path, 32)


def test_load_reads_cifars_files_with_other_classes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3072)).astype(np.uint8)
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        with open(tmp_path / name, "wb") as out:
            pickle.dump({"data": pixels, "labels": [0, 1, 2] * 2}, out, 4)
    with open(tmp_path / "batches.meta", "wb") as out:
        pickle.dump({"label_names": list(COLOURS)}, out, 4)
    found = folders.load(tmp_path, 32)
    assert (found.name, found.class_names) == ("folders", tuple(COLOURS))
    assert found.train.images.shape == (30, 32, 32, 3)
    with pytest.raises(DataError, match="leave out --image-size"):
        folders.load(tmp_path, 48)


def test_load_looks_one_folder_deeper(photos, tmp_path):
    assert folders.load(tmp_path, 32).directory == str(photos)
    shutil.copytree(photos, tmp_path / "copy")
    with pytest.raises(DataError, match="several data sets of pictures, copy and photos"):
        folders.load(tmp_path, 32)


def test_load_replaces_variables_and_home(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PHOTOS", "photos")
    assert folders.load("~/$PHOTOS", 32).directory == str(photos)


def test_load_refuses_what_holds_no_classes(photos, tmp_path):
    with pytest.raises(DataError, match="no default place. Give the folder of your pictures"):
        folders.load(None, 32)
    with pytest.raises(DataError, match=r"nothing: .*Give the folder"):
        folders.load(tmp_path / "nothing", 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no pictures in a known layout there, but an empty "
                                        "folder. Give the folder"):
        folders.load(tmp_path / "empty", 32)
    archive = shutil.make_archive(tmp_path / "photos", "zip", photos)
    with pytest.raises(DataError, match="photos.zip: an archive; unpack it and give the new fold"):
        folders.load(archive, 32)
    with pytest.raises(DataError, match="photos.zip: .*an archive of pictures; unpack it .give "
                                        "--dataset folders with the new folder.$"):
        data.load("cifar10", archive)
    shutil.rmtree(photos / "dog")
    shutil.rmtree(photos / "horse")
    with pytest.raises(DataError, match=r"pictures of 1 class \(cat\), expected 2 to 1,000"):
        folders.load(photos, 32)


# ---------------------------------------------------------------------------------------
# Files among the pictures


def test_load_names_pictures_that_cannot_be_read(photos, capsys):
    (photos / "cat/broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (photos / "dog/0.png").write_bytes((photos / "dog/1.png").read_bytes()[:60])
    found = folders.load(photos, 32)
    assert len(found.train.labels) + len(found.test.labels) == 59
    assert_colours(found.train)
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2 and all(line.startswith("left out: ") for line in error)
    assert {name for name in ("broken.jpg", "0.png") for line in error if name in line} == {
        "broken.jpg", "0.png"}
    folders.load(photos, 32)
    assert sorted(capsys.readouterr().err.splitlines()) == sorted(error), "from the cache"


def test_load_names_only_some_of_many_that_cannot_be_read(photos, capsys):
    for number in range(13):
        (photos / f"cat/bad{number}.png").write_bytes(b"")
    folders.load(photos, 32)
    *named, last = capsys.readouterr().err.splitlines()
    assert len(named) == 10 and last == "left out: 3 more pictures that cannot be read"


def test_load_refuses_pictures_of_which_none_can_be_read(photos):
    for path in photos.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no training picture can be read; .*: an empty file"):
        folders.load(photos, 32)
    for name in COLOURS:
        for number in range(20):
            save(photos / "test" / name / f"{number}.png", COLOURS[name])
    shutil.move(photos / "test", photos / "new/train")
    for name in COLOURS:
        shutil.move(photos / name, photos / "new/test" / name)
    with pytest.raises(DataError, match=r"no test picture can be read; .*: an empty file"):
        folders.load(photos / "new", 32)


def test_load_refuses_a_class_of_which_no_picture_can_be_read(photos):
    for path in (photos / "dog").iterdir():
        path.write_bytes(HEIC)
        path.rename(path.with_suffix(".HEIC"))
    with pytest.raises(DataError, match="no training picture of dog can be read; .*dog/[0-9]*.HEIC:"
                                        " an HEIC photo, as iPhones take them; save it as JPEG"):
        folders.load(photos, 32)


@pytest.mark.parametrize("layout", ["classes", "split", "kaggle"])
def test_load_says_of_photos_that_they_are_heic(tmp_path, layout):
    names = {"classes": "{name}/{n}.heic", "split": "{part}/{name}/{n}.HEIF",
             "kaggle": "train/{name}{n}.heic"}[layout]
    for name in ("cat", "dog"):
        for n in range(3):
            for part in ("train", "test"):
                path = tmp_path / "d" / names.format(name=name, n=n, part=part)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(HEIC)
    (tmp_path / "d/trainLabels.csv").write_text("id,label\n" + "".join(
        f"{name}{n},{name}\n" for name in ("cat", "dog") for n in range(3)))
    with pytest.raises(DataError, match="no training picture can be read; .*: an HEIC photo, as "
                                        "iPhones take them; save it as JPEG or PNG"):
        folders.load(tmp_path / "d", 32)


def test_load_names_and_skips_heic_among_pictures(photos, capsys):
    (photos / "cat/IMG_1.HEIC").write_bytes(HEIC)
    assert len(folders.load(photos, 32).train.labels) == 48
    assert capsys.readouterr().err.startswith(
        f"left out: {photos / 'cat/IMG_1.HEIC'}: an HEIC photo, as iPhones take them; save it")


def test_load_tells_of_other_files_but_not_of_the_systems(photos):
    (photos / "cat/notes.txt").write_text("Tom")
    (photos / "cat/film.mov").write_bytes(b"moov")
    for name in (".DS_Store", "._1.png", "Thumbs.db", "desktop.ini"):
        (photos / "cat" / name).write_bytes(b"")
    (photos / "__MACOSX/cat").mkdir(parents=True)
    found = folders.load(photos, 32)
    assert found.note == ("left out, since their names are not those of pictures that can be read: "
                          "cat/film.mov, cat/notes.txt")


def test_load_tells_of_unbalanced_classes(photos):
    for number in range(15):
        (photos / f"dog/{number}.png").unlink()
    assert folders.load(photos, 32).note == (
        "the classes are not balanced: 4 training pictures of dog, 16 of cat; a network that "
        "always answers cat is right in 44% of them")


def test_load_tells_and_bounds_the_memory(photos, monkeypatch, capsys):
    monkeypatch.setattr(machine, "available_memory", lambda: 200_000)
    with pytest.raises(DataError, match="60 pictures of 32x32 pixels take 0 MB.*--image-size"):
        folders.load(photos, 32)
    monkeypatch.setattr(machine, "available_memory", lambda: None)
    monkeypatch.setattr(folders, "LARGE", 1)
    folders.load(photos, 32)
    assert "60 pictures of 32x32 pixels take" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------
# Order, moves and the cache


def test_list_pictures_keeps_the_division_when_a_picture_is_added(photos):
    before = folders.list_pictures(photos)
    assert before.train != sorted(before.train), "the classes are mixed"
    save(photos / "cat/new.png", COLOURS["cat"])
    after = folders.list_pictures(photos)
    moved = {picture for picture in after.test if picture in before.train}
    moved |= {picture for picture in after.train if picture in before.test}
    assert len(moved) <= 1


def test_a_folder_that_moved_is_the_same_data(photos, tmp_path):
    recipe = recipes.Recipe(dataset="folders")
    before = data.describe(folders.load(photos, 32), recipe)
    photos.rename(tmp_path / "moved")
    after = data.describe(folders.load(tmp_path / "moved", 32), recipe)
    assert data.difference(before, after) == ""
    assert after == json.loads(json.dumps(after)) == {
        **before, "directory": str(tmp_path / "moved")}
    assert len(after["files_crc32"]) == 8 and after["pillow"]
    save(tmp_path / "moved/cat/0.png", (1, 2, 3))
    changed = data.describe(folders.load(tmp_path / "moved", 32), recipe)
    assert data.difference(before, changed) == (
        f"other images in {tmp_path / 'moved'} than in {photos} before")
    other = {**after, "crc32": "00000000", "pillow": "1.0"}
    assert data.difference(after, other) == (
        f"the same pictures, but Pillow 1.0 decodes them to other pixels than Pillow "
        f"{after['pillow']} did")


def test_a_picture_is_decoded_once(photos, monkeypatch):
    decoded = []
    read_image = picture_cache.own_pictures.read_image

    def counted(file, shape):
        decoded.append(file.name)
        return read_image(file, shape)

    monkeypatch.setattr(picture_cache.own_pictures, "read_image", counted)
    first = folders.load(photos, 32)
    assert len(decoded) == 60
    again = folders.load(photos, 32)
    assert len(decoded) == 60
    np.testing.assert_array_equal(first.train.images, again.train.images)
    save(photos / "cat/0.png", (1, 1, 1))
    os.utime(photos / "cat/1.png", (1, 1))
    (photos / "dog/0.png").unlink()
    changed = folders.load(photos, 32)
    assert sorted(decoded[60:]) == ["0.png", "1.png"]
    assert len(changed.train.labels) + len(changed.test.labels) == 59
    folders.load(photos, 48)
    assert len(decoded) == 62 + 59, "another size is decoded anew"
    monkeypatch.setattr("PIL.__version__", "1.0")
    folders.load(photos, 32)
    assert len(decoded) == 62 + 59 + 59, "another Pillow may decode to other pixels"


@pytest.mark.parametrize("damage", [
    lambda pixels, index: pixels.write_bytes(pixels.read_bytes()[:-1] + b"\0"),
    lambda pixels, index: pixels.write_bytes(b""),
    lambda pixels, index: index.write_text("{"),
    lambda pixels, index: index.write_text(index.read_text().replace('"entries"', '"x"')),
    lambda pixels, index: index.write_text(index.read_text().replace("59", "60"))])
def test_a_damaged_cache_is_not_used(photos, damage):
    before = folders.load(photos, 32)
    (pixels,), (index,) = (list((cache_folder() / "pictures").glob(f"*.{suffix}"))
                           for suffix in ("npy", "json"))
    damage(pixels, index)
    after = folders.load(photos, 32)
    assert base.fingerprint(after) == base.fingerprint(before)


def test_a_cache_that_cannot_be_written_is_told(photos, capsys, monkeypatch):
    file = photos.parent / "file"
    file.write_text("")
    monkeypatch.setattr(picture_cache, "cache_folder", lambda: file)
    assert len(folders.load(photos, 32).train.labels) == 48
    assert "the decoded pictures cannot be kept there" in capsys.readouterr().err
