"""The data sets by name; each comes as a `cifar_tools.Dataset`."""

import os.path
import pathlib

import cifar_tools
import console
from datasets import mnist, shapes

TITLES = {"cifar10": "CIFAR-10", "mnist": "MNIST", "shapes": "shapes"}
HOW_TO_GET = {"cifar10": cifar_tools.HOW_TO_GET, "mnist": mnist.HOW_TO_GET,
              "shapes": "It is made on the spot."}


def describe(dataset, recipe):
    """What a run's recipe.json tells of its data set, as a dictionary for JSON.

    Args:
      dataset: a `cifar_tools.Dataset`.
      recipe: the `recipes.Recipe`, which says how many images are held out.
    """
    training, held_out = cifar_tools.hold_out(dataset.train, recipe.held_out)
    return {"name": dataset.name, "directory": os.path.abspath(dataset.directory),
            "class_names": list(dataset.class_names),
            "image_shape": list(dataset.train.images.shape[1:]),
            "training_images": len(training.labels), "held_out_images": len(held_out.labels),
            "test_images": len(dataset.test.labels), "crc32": cifar_tools.fingerprint(dataset)}


def load_again(description, data_dir=None):
    """The data set that a run was trained on.

    Args:
      description: what the run's recipe.json tells of it: its name and directory.
      data_dir: folder of its files; None looks where it was, then in the usual places.

    Raises:
      cifar_tools.DataError: it is neither there nor to be had, or it is damaged.
    """
    if data_dir is None and pathlib.Path(description["directory"]).exists():
        data_dir = description["directory"]
    try:
        return load(description["name"], data_dir)
    except console.Failure as error:
        raise cifar_tools.DataError(
            f"{description['directory']}: the run's data set is no longer there, and {error}. "
            f"{HOW_TO_GET[description['name']]}") from error


def load(name, data_dir=None):
    """The data set called `name`.

    Args:
      name: one of TITLES.
      data_dir: folder of its files; None looks in the usual places and, for shapes,
        makes it in the cache.

    Raises:
      cifar_tools.DataError: no usable data set there.
      console.Failure: it had to be downloaded and could not be.
      ValueError: an unknown name.
    """
    if name == "cifar10":
        return cifar_tools.load(cifar_tools.find(data_dir))
    if name == "mnist":
        return mnist.load(mnist.find(data_dir))
    if name == "shapes":
        return shapes.load(data_dir)
    raise ValueError(f"data set {name!r}, expected one of {', '.join(TITLES)}")
