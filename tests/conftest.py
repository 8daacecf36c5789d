"""Fixtures that several test files share."""

import numpy as np
import py2_pickle
import pytest

import cifar_tools


@pytest.fixture(scope="session")
def tiny_cifar(tmp_path_factory):
    """A folder cifar-10-batches-py like the official one, of 40 images a file.

    Every class has a brightness of its own under the noise, so that a network can learn it.
    """
    folder = tmp_path_factory.mktemp("tiny") / cifar_tools.FOLDER
    folder.mkdir()
    rng = np.random.default_rng(10)
    for name in (*cifar_tools.TRAIN_FILES, cifar_tools.TEST_FILE):
        labels = rng.permutation(np.arange(40) % 10)
        data = rng.integers(0, 60, (40, 3072)) + 20 * labels[:, None]
        (folder / name).write_bytes(py2_pickle.dumps({
            "batch_label": name,
            "labels": labels.tolist(),
            "data": data.astype(np.uint8),
            "filenames": [f"{label}_{number}.png" for number, label in enumerate(labels)]}))
    (folder / cifar_tools.META_FILE).write_bytes(py2_pickle.dumps({
        "num_cases_per_batch": 40,
        "label_names": list(cifar_tools.CLASS_NAMES),
        "num_vis": 3072}))
    return folder
