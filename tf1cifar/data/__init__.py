"""The data sets by name.

    load      read a data set; if it is not on this machine, it is downloaded or drawn
    describe  summarize a data set for a run's recipe.json
    reload    read the data set that a run was trained on
"""

import os.path
import pathlib

from tf1cifar import errors
from tf1cifar.data import base, cifar10, mnist, shapes

TITLES = {"cifar10": "CIFAR-10", "mnist": "MNIST", "shapes": "shapes"}
DOWNLOAD_HINTS = {"cifar10": cifar10.DOWNLOAD_HINT, "mnist": mnist.DOWNLOAD_HINT,
                  "shapes": "The data set shapes is drawn and needs no download."}


def load(name, data_dir=None):
    """Read a data set.

    Args:
      name: name of the data set, a key of `TITLES`.
      data_dir: path of the folder with its files. By default the usual folders are tried;
        CIFAR-10 and MNIST are downloaded into the cache, shapes is drawn there.

    Returns:
      A `base.Dataset`.

    Raises:
      DataError: the folder does not hold the data set, or a file is damaged.
      errors.Failure: the data set had to be downloaded, and the download failed.
      ValueError: an unknown name.
    """
    if name == "cifar10":
        return cifar10.load(cifar10.find(data_dir))
    if name == "mnist":
        return mnist.load(mnist.find(data_dir))
    if name == "shapes":
        return shapes.load(data_dir)
    raise ValueError(f"data set {name!r}, expected one of {', '.join(TITLES)}")


def describe(dataset, recipe):
    """Summarize a data set for a run's recipe.json.

    Args:
      dataset: a `base.Dataset`.
      recipe: the `recipes.Recipe` of the run; its `held_out` is the share of the training
        images that are held out.

    Returns:
      A dictionary for JSON: name, folder, class names, shape and numbers of images, checksum.
    """
    training, held_out = base.hold_out(dataset.train, recipe.held_out)
    return {"name": dataset.name, "directory": os.path.abspath(dataset.directory),
            "class_names": list(dataset.class_names),
            "image_shape": list(dataset.train.images.shape[1:]),
            "training_images": len(training.labels), "held_out_images": len(held_out.labels),
            "test_images": len(dataset.test.labels), "crc32": base.fingerprint(dataset)}


def reload(description, data_dir=None):
    """Read the data set that a run was trained on.

    Args:
      description: summary of the data set in the run's recipe.json, made by `describe`.
      data_dir: path of the folder with its files. By default the folder in the description is
        used if it exists, else the usual folders are tried.

    Returns:
      A `base.Dataset`.

    Raises:
      DataError: the data set was not found and cannot be downloaded, or a file is damaged.
    """
    if data_dir is None and pathlib.Path(description["directory"]).exists():
        data_dir = description["directory"]
    try:
        return load(description["name"], data_dir)
    except errors.Failure as error:
        raise base.DataError(
            f"{description['directory']}: the run's data set is no longer there, and {error}. "
            f"{DOWNLOAD_HINTS[description['name']]}") from error
