"""Fixtures of the tests in this folder."""

import os

import numpy as np
import pytest
from support import web

from tf1cifar.data.base import Split


@pytest.fixture(autouse=True)
def private_environment(tmp_path_factory, monkeypatch):
    """Hide the user's cache, home folder, data sets and proxies from every test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("CIFAR10_", "MNIST_")):
            monkeypatch.delenv(name)


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """An empty working folder with an empty cache below it; every download fails at once."""
    monkeypatch.setenv("CIFAR10_URL", "http://127.0.0.1:1/nothing.tar.gz")
    monkeypatch.setenv("MNIST_URL", "http://127.0.0.1:1/digits")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def server():
    """A `web.Server` on this machine."""
    with web.Server() as server:
        yield server


@pytest.fixture
def images():
    """120 images of random pixels."""
    return np.random.default_rng(3).integers(0, 256, (120, 32, 32, 3)).astype(np.uint8)


@pytest.fixture
def numbered(images):
    """A split in which the label of an image is its index."""
    return Split(images, np.arange(len(images)))
