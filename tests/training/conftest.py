"""Fixtures of the tests in this folder: a finished run, its recipe and its data set."""

import dataclasses

import pytest
from support.runs import train

from tf1cifar import recipes
from tf1cifar.data import cifar10

RECIPE = dataclasses.replace(recipes.RECIPES["lrn_cnn"], epochs=3, batch_size=32, seed=4,
                             precision="float32", lrn="product")


@pytest.fixture(scope="session")
def recipe():
    """The recipe of `whole_run`."""
    return RECIPE


@pytest.fixture(scope="session")
def dataset(tiny_cifar):
    """200 training and 40 test images: with a tenth held out, six steps of 32 images an epoch."""
    return cifar10.load(tiny_cifar)


@pytest.fixture(scope="session")
def whole_run(dataset, tmp_path_factory):
    """A run without a stop. Tests must not change it."""
    return train(RECIPE, dataset, tmp_path_factory.mktemp("whole"))
