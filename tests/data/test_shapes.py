"""data/shapes.py: the same images everywhere, readable, balanced, not linearly separable."""

import hashlib
import os
import pathlib
import pickle

import numpy as np
import pytest

from tf1cifar import files
from tf1cifar.data import cifar10, preparation, safe_pickle, shapes
from tf1cifar.data.base import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shapes") / "data"
    shapes.write(directory)
    return directory


@pytest.fixture(scope="module")
def dataset(folder):
    return shapes.load(folder)


# ---------------------------------------------------------------------------------------
# The images


def test_write_gives_the_same_bytes_twice(folder, tmp_path):
    shapes.write(tmp_path / "again")
    for name in cifar10.FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_write_gives_the_same_bits_on_every_machine(dataset):
    # NumPy 1.26.4 and 2.4.6 give this digest, with and without AVX-512, AVX2 and FMA. If the
    # images change, the folder shapes-1 in the cache needs another name.
    digest = hashlib.sha256()
    for part in (dataset.train.images, dataset.train.labels, dataset.test.images):
        digest.update(part.tobytes())
    assert digest.hexdigest() == "00eab0a0217db5c7777cedadb9bb8e85168f39ba8665fd1654490a8aeffeff86"


def test_load(dataset, folder):
    assert dataset.name == "shapes"
    assert dataset.directory == str(folder)
    assert dataset.class_names == shapes.CLASS_NAMES
    assert len(set(shapes.CLASS_NAMES)) == 10
    for split, size in ((dataset.train, 5000), (dataset.test, 1000)):
        assert split.images.shape == (size, 32, 32, 3) and split.images.dtype == np.uint8
        assert split.labels.shape == (size,) and split.labels.dtype == np.int64


def test_write_makes_files_like_the_official_ones(folder):
    assert sorted(os.listdir(folder)) == sorted(cifar10.FILES)
    meta = safe_pickle.unpickle(folder / "batches.meta")
    assert meta == {"num_cases_per_batch": 1000, "label_names": list(shapes.CLASS_NAMES),
                    "num_vis": 3072}
    batch = safe_pickle.unpickle(folder / "data_batch_3")
    assert batch.keys() == {"batch_label", "labels", "data", "filenames"}
    assert batch["batch_label"] == "training batch 3 of 5"
    assert batch["data"].shape == (1000, 3072) and batch["data"].dtype == np.uint8
    assert len(set(batch["filenames"])) == 1000
    for name, label in zip(batch["filenames"], batch["labels"]):
        assert name.startswith(shapes.CLASS_NAMES[label] + "_")
    assert safe_pickle.unpickle(folder / "test_batch")["batch_label"] == "testing batch 1 of 1"


def test_write_makes_files_that_a_plain_unpickler_reads(folder):
    with open(folder / "test_batch", "rb") as file:
        batch = pickle.load(file, encoding="latin1")
    np.testing.assert_array_equal(batch["data"],
                                  safe_pickle.unpickle(folder / "test_batch")["data"])


def test_write_balances_and_mixes_every_batch(dataset):
    labels = np.concatenate([dataset.train.labels, dataset.test.labels]).reshape(6, 1000)
    for batch in labels:
        np.testing.assert_array_equal(np.bincount(batch), np.full(10, 100))
        # Without shuffling, each batch of 250 images still holds every class.
        assert all(len(set(part)) == 10 for part in batch.reshape(4, 250))
    assert len({tuple(batch) for batch in labels}) == 6


def test_write_draws_no_image_twice(dataset):
    images = np.concatenate([dataset.train.images, dataset.test.images])
    assert len({image.tobytes() for image in images}) == 6000


def _silhouette(shape, degrees=0, scale=1.0):
    axis = np.linspace(-1.58, 1.58, 80, dtype=np.float32)  # no point is on an outline at 0.8
    x, y = np.meshgrid(axis / scale, axis / scale)
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return shape(cos * x + sin * y, cos * y - sin * x) <= 0


def test_shapes_do_not_cover_one_another_turned_mirrored_or_scaled():
    turned = {name: [_silhouette(shape, degrees, scale)
                     for degrees in range(0, 360, 15) for scale in (0.8, 0.9, 1.0, 1.15, 1.3)]
              for name, shape in shapes.SHAPES.items()}
    for first, shape in shapes.SHAPES.items():
        plain = _silhouette(shape)
        for second, others in turned.items():
            overlap = max((plain & mask).sum() / (plain | mask).sum()
                          for other in others for mask in (other, other[:, ::-1]))
            assert overlap == 1 if first == second else overlap < 0.9, (first, second, overlap)


@pytest.mark.parametrize("name", shapes.CLASS_NAMES)
def test_shapes_are_about_as_large_as_the_unit_circle(name):
    mask = _silhouette(shapes.SHAPES[name])
    rows, columns = np.nonzero(mask)
    reach = np.hypot(rows - 39.5, columns - 39.5).max() * 0.04  # the grid's step
    assert 0.85 <= reach <= 1.26
    assert 0.8 <= mask.sum() * 0.04 ** 2 <= 2.6


def test_shapes_are_lighter_or_darker_than_their_background(dataset):
    gray = dataset.train.images[dataset.train.labels == 0].astype(float).mean(axis=3)
    corners = (gray[:, :4, :4] + gray[:, :4, -4:] + gray[:, -4:, :4] + gray[:, -4:, -4:]) / 4
    difference = gray[:, 14:18, 14:18].mean(axis=(1, 2)) - corners.mean(axis=(1, 2))
    assert 0.4 < np.mean(difference > 0) < 0.6
    assert np.mean(abs(difference) > 20) > 0.99


# ---------------------------------------------------------------------------------------
# The difficulty of the classes


def _ridge_accuracies(train, train_labels, test, test_labels, penalties):
    """Test accuracies of linear classifiers, fitted by least squares to one-hot labels."""
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    gram = (train.T @ train).astype(np.float64)
    moments = train.T @ (np.eye(10)[train_labels] - 0.1)
    for penalty in penalties:
        weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), moments)
        yield np.mean((test @ weights).argmax(axis=1) == test_labels)


def _clean(split):
    return preparation.prepare(split.images, "gray24").reshape(len(split.labels), 576)


def test_shapes_are_not_separated_by_a_linear_classifier_of_clean_pixels(dataset):
    accuracies = list(_ridge_accuracies(_clean(dataset.train), dataset.train.labels,
                                        _clean(dataset.test), dataset.test.labels,
                                        (1e1, 1e2, 1e3, 1e4, 1e5)))
    assert max(accuracies) < 0.6, accuracies


@pytest.mark.slow
def test_shapes_are_not_separated_by_a_linear_classifier_of_raw_pixels(dataset):
    train, test = (split.images.reshape(-1, 3072).astype(np.float32) / 255
                   for split in (dataset.train, dataset.test))
    accuracy, = _ridge_accuracies(train, dataset.train.labels, test, dataset.test.labels, (1e3,))
    assert accuracy < 0.6


def test_ridge_accuracies_would_show_a_linear_trace(dataset):
    train, test = _clean(dataset.train), _clean(dataset.test)
    for pixels, labels in ((train, dataset.train.labels), (test, dataset.test.labels)):
        pixels[np.arange(len(labels)), 50 * labels] += 5  # one pixel gives each class away
    accuracy, = _ridge_accuracies(train, dataset.train.labels, test, dataset.test.labels, (1e2,))
    assert accuracy > 0.9


# ---------------------------------------------------------------------------------------
# The files: all or none


def test_load_writes_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dataset = shapes.load()
    assert pathlib.Path(dataset.directory) == tmp_path / "tf1-cifar10" / "shapes-1"
    assert os.listdir(tmp_path / "tf1-cifar10") == ["shapes-1"]


def test_load_writes_into_a_given_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    assert len(shapes.load(str(tmp_path / "empty")).test.labels) == 1000


def test_load_expands_a_home_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert shapes.load(f"~/{folder.name}").directory == str(folder)


def test_load_does_not_draw_an_existing_data_set_again(folder, monkeypatch):
    monkeypatch.setattr(files, "open_new", lambda _: pytest.fail("drawn again"))
    assert len(shapes.load(folder).train.labels) == 5000


def test_write_leaves_nothing_when_it_fails(tmp_path, monkeypatch):
    opened, open_new = [], files.open_new

    def disk_full(path):
        opened.append(path)
        if len(opened) == 3:
            raise OSError(28, "No space left on device")
        return open_new(path)

    monkeypatch.setattr(files, "open_new", disk_full)
    with pytest.raises(OSError, match="No space") as caught:
        shapes.write(tmp_path / "data")
    assert not isinstance(caught.value, DataError)
    assert len(opened) == 3 and os.listdir(tmp_path) == []


def test_write_when_another_process_was_faster(folder, tmp_path, monkeypatch):
    opened, open_new = [], files.open_new

    def overtaken(path):
        opened.append(path)
        if len(opened) == 1:
            shapes.write(tmp_path / "data")
        return open_new(path)

    monkeypatch.setattr(files, "open_new", overtaken)
    shapes.write(tmp_path / "data")
    assert len(opened) == 14, "both processes wrote seven files"
    assert os.listdir(tmp_path) == ["data"]
    for name in cifar10.FILES:
        assert (tmp_path / "data" / name).read_bytes() == (folder / name).read_bytes()


def test_load_refuses_a_folder_of_other_files(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="mine: .*cannot be put there"):
        shapes.load(tmp_path / "mine")
    assert os.listdir(tmp_path) == ["mine"]
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]


def test_load_refuses_another_data_set(tiny_cifar):
    with pytest.raises(DataError, match="airplane.*expected those of shapes"):
        shapes.load(tiny_cifar)


def test_write_makes_a_folder_with_the_mode_of_the_umask(tmp_path):
    (tmp_path / "plain").mkdir()
    shapes.write(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode == (tmp_path / "plain").stat().st_mode
