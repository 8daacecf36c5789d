"""data/base.py: held-out images and checksums."""

import zlib

import numpy as np
import pytest

from tf1cifar import errors
from tf1cifar.data.base import DataError, Dataset, Split, fingerprint, hold_out


def test_data_error_is_a_value_error_of_the_user():
    assert issubclass(DataError, errors.UserError) and issubclass(DataError, ValueError)


@pytest.mark.parametrize("share, kept", [(0, 120), (0.1, 108), (0.5, 60), (0.99, 1)])
def test_hold_out_keeps_the_last_images(numbered, share, kept):
    training, held_out = hold_out(numbered, share)
    assert training.labels.tolist() == list(range(kept))
    assert held_out.labels.tolist() == list(range(kept, 120))
    np.testing.assert_array_equal(np.concatenate([training.images, held_out.images]),
                                  numbered.images, strict=True)


def test_fingerprint_is_the_crc32_of_all_arrays(numbered):
    train, test = hold_out(numbered, 0.25)
    content = b"".join(array.tobytes() for split in (train, test) for array in split)
    assert fingerprint(Dataset("a", "b", ("c",), train, test)) == f"{zlib.crc32(content):08x}"
    # The memory layout of the images does not count.
    planes_first = np.ascontiguousarray(test.images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert fingerprint(Dataset("a", "b", ("c",), train, Split(planes_first, test.labels))) == (
        f"{zlib.crc32(content):08x}")


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("field", ["images", "labels"])
def test_fingerprint_shows_every_change(numbered, part, field):
    dataset = Dataset("a", "b", ("c",), *hold_out(numbered, 0.25))
    split = getattr(dataset, part)
    array = getattr(split, field).copy()
    array.flat[-1] ^= 1
    changed = dataset._replace(**{part: split._replace(**{field: array})})
    assert fingerprint(changed) != fingerprint(dataset)
