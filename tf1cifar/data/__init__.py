"""The data sets by name.

    load        read a data set; if it is not on this machine, it is downloaded or drawn
    describe    summarize a data set for a run's recipe.json
    difference  the difference between the images of two descriptions
    reload      read the data set that a run was trained on
"""

import os.path
import pathlib

from tf1cifar import console, errors, files
from tf1cifar.data import (
    base,
    cifar10,
    cifar100,
    folders,
    locate,
    mnist,
    own_pictures,
    shapes,
)

TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100",
          "cifar100-coarse": "CIFAR-100", "mnist": "MNIST", "shapes": "shapes",
          "folders": "your own pictures"}
# (height, width, channels) of the images, and the number of classes, where no picture decides them.
FORMS = {"cifar10": ((32, 32, 3), 10), "cifar100": ((32, 32, 3), 100),
         "cifar100-coarse": ((32, 32, 3), 20), "mnist": ((28, 28, 1), 10),
         "shapes": ((shapes.SIZE, shapes.SIZE, 3), len(shapes.CLASS_NAMES))}
DOWNLOAD_HINTS = {"cifar10": cifar10.DOWNLOAD_HINT, "cifar100": cifar100.DOWNLOAD_HINT,
                  "cifar100-coarse": cifar100.DOWNLOAD_HINT, "mnist": mnist.DOWNLOAD_HINT,
                  "shapes": "The data set shapes is drawn and needs no download.",
                  "folders": folders.HINT}


def load(name, data_dir=None, image_size=32):
    """Read a data set.

    Args:
      name: name of the data set, a key of `TITLES`.
      data_dir: path of the folder with its files, or of an archive. By default the usual folders
        are tried; CIFAR and MNIST are downloaded into the cache, shapes is drawn there. The data
        set folders has no default.
      image_size: height and width in pixels of the images of the data set folders.

    Returns:
      A `base.Dataset`.

    Raises:
      DataError: the folder does not hold the data set, or a file is damaged.
      errors.Failure: the data set had to be downloaded, and the download failed.
      ValueError: an unknown name.
    """
    if name == "cifar10":
        return cifar10.load(cifar10.find(data_dir))
    if name in ("cifar100", "cifar100-coarse"):
        return cifar100.load(cifar100.find(data_dir), coarse=name == "cifar100-coarse")
    if name == "folders":
        return folders.load(data_dir, image_size)
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
      A dictionary for JSON: name, folder, class names, shape and numbers of images, checksum, and
      the brightness of their edges; of pictures also the checksum of the files and the version of
      Pillow that decoded them.
    """
    training, held_out = base.hold_out(dataset.train, recipe.held_out)
    described = {"name": dataset.name, "directory": os.path.abspath(dataset.directory),
                 "class_names": list(dataset.class_names),
                 "image_shape": list(dataset.train.images.shape[1:]),
                 "training_images": len(training.labels), "held_out_images": len(held_out.labels),
                 "test_images": len(dataset.test.labels), "crc32": base.fingerprint(dataset),
                 "border": own_pictures.border_range(dataset.train.images)}
    if dataset.files:
        import PIL
        described.update(files_crc32=dataset.files, pillow=PIL.__version__)
    return described


def difference(before, now):
    """The difference between the images of two descriptions, in words.

    Args:
      before, now: dictionaries of `describe`; `before` may come from a recipe.json.

    Returns:
      A str, '' if the images are the same.
    """
    if before["crc32"] == now["crc32"]:
        return ""
    if (before.get("files_crc32", "") == now.get("files_crc32") and
            before.get("pillow") != now["pillow"]):
        return (f"the same pictures, but Pillow {now['pillow']} decodes them to other pixels than "
                f"Pillow {console.cut(before.get('pillow'))} did")
    where = "" if now["directory"] == before["directory"] else f"in {before['directory']} "
    return f"other images in {now['directory']} than {where}before"


def reload(description, data_dir=None):
    """Read the data set that a run was trained on.

    Args:
      description: summary of the data set in the run's recipe.json, made by `describe`.
      data_dir: path of the folder with its files. By default the folder in the description is
        used if it exists, else the usual folders are tried.

    Returns:
      A `base.Dataset`.

    Raises:
      DataError: the data set was not found and cannot be downloaded, a file is damaged, or the
        classes are others than in the description.
    """
    before = pathlib.Path(description["directory"])
    if description["name"] == "shapes":
        # Another person may have written the description. Nothing may be drawn where it says.
        place = files.expanded(data_dir) if data_dir else before
        if (place / cifar10.META_FILE).exists():
            return shapes.load(place)
        if data_dir:
            raise base.DataError(f"--data-dir {place}: no drawn shapes there; without --data-dir "
                                 "they are drawn into the cache")
        return shapes.load()
    if data_dir is None and (description["name"] == "folders" or before.exists()
                             or locate.unpacked(before, TITLES[description["name"]])):
        data_dir = before
    try:
        dataset = load(description["name"], data_dir, description["image_shape"][0])
    except errors.Failure as error:
        raise base.DataError(
            f"{description['directory']}: the run's data set is no longer there, and {error}. "
            f"{DOWNLOAD_HINTS[description['name']]}") from error
    if list(dataset.class_names) != description["class_names"]:
        # A label is an index into the names, so every figure would be wrong.
        raise base.DataError(
            f"{dataset.directory} has the classes {console.cut(', '.join(dataset.class_names))}; "
            f"the run was trained on {console.cut(', '.join(description['class_names']))}")
    return dataset
