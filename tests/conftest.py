"""Fixtures that several test files share."""

import numpy as np
import pytest
from support import py2_pickle
from support.forks import ForkServer

from tf1cifar.data import cifar10


@pytest.fixture(scope="session")
def tiny_cifar(tmp_path_factory):
    """A folder cifar-10-batches-py like the official one, with 40 images in each file.

    Every class has its own brightness under the noise, so that a network can learn the classes.
    """
    folder = tmp_path_factory.mktemp("tiny") / cifar10.FOLDER
    folder.mkdir()
    rng = np.random.default_rng(10)
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        labels = rng.permutation(np.arange(40) % 10)
        data = rng.integers(0, 60, (40, 3072)) + 20 * labels[:, None]
        (folder / name).write_bytes(py2_pickle.dumps({
            "batch_label": name,
            "labels": labels.tolist(),
            "data": data.astype(np.uint8),
            "filenames": [f"{label}_{number}.png" for number, label in enumerate(labels)]}))
    (folder / cifar10.META_FILE).write_bytes(py2_pickle.dumps({
        "num_cases_per_batch": 40,
        "label_names": list(cifar10.CLASS_NAMES),
        "num_vis": 3072}))
    return folder


@pytest.fixture(scope="session")
def forks():
    """A `ForkServer`: a process that has imported TensorFlow and runs scripts in forks."""
    return ForkServer()
