"""data/__init__.py: data sets by name, and their description in recipe.json."""

import json
import os
import shutil

import numpy as np
import pytest
from support import cifar_files, mnist_files

from tf1cifar import data, errors, recipes
from tf1cifar.data import base, own_pictures
from tf1cifar.data.download import cache_folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return mnist_files.write_data_set(tmp_path_factory.mktemp("digits") / "mnist")


def test_titles_and_download_hints_name_the_same_data_sets():
    assert data.TITLES.keys() == data.DOWNLOAD_HINTS.keys()


def test_load(tiny_cifar, digits, tmp_path):
    hundred = cifar_files.write_cifar100(tmp_path / "hundred")
    assert data.load("cifar10", tiny_cifar).train.images.shape == (200, 32, 32, 3)
    assert data.load("mnist", str(digits)).train.images.shape == (7, 28, 28, 1)
    shapes = data.load("shapes")
    assert shapes.directory == str(cache_folder() / "shapes-1")
    assert [data.load(name, folder).name for name, folder in (
        ("cifar10", tiny_cifar), ("cifar100", hundred), ("cifar100-coarse", hundred),
        ("mnist", digits), ("shapes", shapes.directory), ("folders", tiny_cifar))] == [*data.TITLES]


@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_load_searches_and_downloads_without_a_folder(bare, tiny_cifar, digits, name):
    with pytest.raises(errors.Failure, match="cannot download"):
        data.load(name)
    source = {"cifar10": tiny_cifar, "mnist": digits}[name]
    shutil.copytree(source, cache_folder() / source.name)
    assert data.load(name).directory == str(cache_folder() / source.name)


def test_load_expands_a_home_folder(tiny_cifar, digits, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_cifar.parent))
    assert data.load("cifar10", "~").directory == str(tiny_cifar)
    monkeypatch.setenv("HOME", str(digits.parent))
    monkeypatch.setenv("MNIST_DIR", "~/mnist")
    assert data.load("mnist").directory == str(digits)


def test_load_refuses_an_unknown_name():
    with pytest.raises(ValueError, match="data set 'cifar', expected one of cifar10, cifar100, "):
        data.load("cifar")


def test_describe(tiny_cifar, monkeypatch):
    monkeypatch.chdir(tiny_cifar.parent)
    dataset = data.load("cifar10", tiny_cifar.name)
    found = data.describe(dataset, recipes.Recipe(held_out=0.25))
    assert found == json.loads(json.dumps(found)) == {
        "name": "cifar10", "directory": str(tiny_cifar), "class_names": list(dataset.class_names),
        "image_shape": [32, 32, 3], "training_images": 150, "held_out_images": 50,
        "test_images": 40, "crc32": base.fingerprint(dataset),
        "border": own_pictures.border_range(dataset.train.images)}
    assert found["crc32"] == "c49fff4d", "the fixture's bytes must not change"


@pytest.fixture
def description(tiny_cifar, tmp_path):
    """The description of a data set in the folder `tmp_path`/there."""
    shutil.copytree(tiny_cifar, tmp_path / "there")
    return data.describe(data.load("cifar10", tmp_path / "there"), recipes.Recipe())


def test_reload_uses_the_folder_of_the_run(bare, tiny_cifar, description, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(tiny_cifar))
    found = data.reload(description)
    assert found.directory == str(bare / "there")
    assert base.fingerprint(found) == description["crc32"]
    assert data.reload(description, tiny_cifar).directory == str(tiny_cifar)


def test_reload_searches_when_the_folder_of_the_run_is_gone(
        bare, tiny_cifar, description, monkeypatch):
    shutil.rmtree(bare / "there")
    with pytest.raises(base.DataError, match="there: the run's data set is no longer there, and "
                       "cannot download .*To get CIFAR-10, download .*--data-dir"):
        data.reload(description)
    monkeypatch.setenv("CIFAR10_DIR", str(tiny_cifar))
    found = data.reload(description)
    assert found.directory == str(tiny_cifar)
    np.testing.assert_array_equal(found.train.images, data.load("cifar10").train.images)


def test_reload_does_not_look_elsewhere_when_the_folder_is_damaged(description):
    os.remove(os.path.join(description["directory"], "data_batch_2"))
    with pytest.raises(base.DataError, match="data_batch_2: no such file"):
        data.reload(description)


def test_reload_draws_shapes_again(tmp_path):
    dataset = data.load("shapes", tmp_path / "shapes")
    description = data.describe(dataset, recipes.Recipe())
    shutil.rmtree(tmp_path / "shapes")
    found = data.reload(description)
    assert found.directory == str(cache_folder() / "shapes-1")
    assert base.fingerprint(found) == description["crc32"]


def test_reload_draws_nothing_where_a_description_says(tmp_path):
    """A run folder may come from a stranger, and restoring is reading."""
    shapes = data.describe(data.load("shapes"), recipes.Recipe(dataset="shapes"))
    (tmp_path / "mine").mkdir()
    found = data.reload({**shapes, "directory": str(tmp_path / "mine")})
    assert base.fingerprint(found) == shapes["crc32"]
    assert found.directory == str(cache_folder() / "shapes-1")
    with pytest.raises(base.DataError, match="no drawn shapes there"):
        data.reload(shapes, tmp_path / "mine")
    assert not list((tmp_path / "mine").iterdir())
    assert data.reload({**shapes, "directory": "/nowhere"}, found.directory).name == "shapes"


def test_reload_reads_a_data_set_whose_archive_is_gone(bare, tiny_cifar):
    shutil.make_archive(str(bare / "mine"), "gztar", tiny_cifar.parent, tiny_cifar.name)
    archive = bare / "mine.tar.gz"
    description = data.describe(data.load("cifar10", archive), recipes.Recipe())
    assert description["directory"] == str(archive)
    archive.unlink()
    assert base.fingerprint(data.reload(description)) == description["crc32"]
