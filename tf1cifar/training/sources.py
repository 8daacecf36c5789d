"""The source of initial weights: a trained run, or a checkpoint of any program.

    find         the source that --init-from names
    run_dir      the default run folder of a command with --init-from
    settings     a recipe with the settings that the source's weights need
    check        refuse a data set or settings that the source's weights cannot take
    record       what recipe.json says about the initial weights of a run
    differences  what keeps a run from being resumed with another source

`initialization` reads the weights. This module imports neither TensorFlow nor NumPy.
"""

import dataclasses
import os.path
import pathlib
import re
import zlib
from typing import NamedTuple

from tf1cifar import console, errors, files, recipes
from tf1cifar.training import checkpoints, weight_map
from tf1cifar.training.run_folder import RunFolder

KEY = "initial_weights"  # in recipe.json
MAX_INDEX = 2 ** 26  # bytes of an .index file; that of a thousand variables has 100 kB


class Source(NamedTuple):
    """A run or a checkpoint to start from.

    Attributes:
      path: absolute path that was asked for.
      checkpoint: path of the checkpoint as `tf.train.Saver.restore` takes it; '' if the source is
        gone and the run that began from it is there.
      crc32: checksum of the checkpoint and of the run's mean image, eight hexadecimal digits.
      folder: the `RunFolder` of the run; None for a checkpoint outside of a run.
      name, recipe, description: what the run's recipe.json says; None without a run.
    """
    path: str
    checkpoint: str
    crc32: str
    folder: RunFolder
    name: str
    recipe: recipes.Recipe
    description: dict


def find(asked, run_dir):
    """Find the source that --init-from names.

    Args:
      asked: path of a run folder, of a checkpoint or one of its files, or of a folder with one.
      run_dir: path of the run folder that is to be trained. A run there that began from this source
        stands for a source that is gone.

    Returns:
      A `Source`.

    Raises:
      errors.UserError: there is no such run or checkpoint.
    """
    path = files.expanded(asked)
    folder = _run_of(path)
    if folder and _same_place(folder.path, files.expanded(run_dir)):
        raise errors.UserError(f"--init-from {asked}: that is the run to be trained; give another "
                               "--run-dir")
    if folder and (path.is_dir() or _checkpoint_at(path)):
        checkpoint = folder.checkpoint_path() if path.is_dir() else _checkpoint_at(path)
    else:
        checkpoint = _latest_in(path) if path.is_dir() else _checkpoint_at(path)
    if not checkpoint:
        run = RunFolder(run_dir)
        began = record(run) if run.has_checkpoints() else None
        if began and began["from"] == os.path.abspath(path):
            return Source(began["from"], "", began["crc32"], None, *run.read_description())
        raise errors.UserError(f"--init-from {asked}: no run and no checkpoint there; expected a "
                               "run folder such as runs/lrn_cnn, or a checkpoint such as "
                               "model.ckpt-1000 (with model.ckpt-1000.index)")
    described = folder.read_description() if folder else (None, None, None)
    parts = [checkpoint + ".index" if os.path.exists(checkpoint + ".index") else checkpoint]
    if folder and described[1].preparation == "minus_mean":
        parts.append(folder.mean_image_file)
    return Source(os.path.abspath(path), checkpoint, _checksum(parts), folder, *described)


def _run_of(path):
    """The `RunFolder` at a path, or that of the checkpoint at a path; None if there is none."""
    for place in (path, path.parent.parent if path.parent.name == "checkpoints" else path):
        if RunFolder(place).has_recipe():
            return RunFolder(place)
    return None


def _same_place(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def _checkpoint_at(path):
    """The checkpoint at a path, '' if there is none."""
    prefix = checkpoints.prefix(path)
    if os.path.isfile(prefix + ".index"):
        return prefix
    return str(path) if path.is_file() else ""  # one file, as TensorFlow before 1.0 wrote it


def _latest_in(folder):
    """The checkpoint that a folder's state file names, or the only one in a folder; else ''."""
    found = sorted(item.name.removesuffix(".index") for item in folder.glob("*.index"))
    try:
        with open(folder / "checkpoint", "rb") as source:
            text = source.read(checkpoints.MAX_STATE).decode("utf-8", "replace")
    except OSError:
        text = ""
    named = re.search(r'^model_checkpoint_path: "(?:[^"\n]*[/\\])?([^"\n]+)"', text, re.MULTILINE)
    name = named[1] if named and named[1] in found else found[0] if len(found) == 1 else ""
    if found and not name:
        raise errors.UserError(f"--init-from {folder}: holds several checkpoints, "
                               f"{console.cut(', '.join(found))}; name one of them")
    return name and str(folder / name)


def _checksum(paths):
    """The CRC-32 of files. An .index holds the checksum of every variable of its checkpoint."""
    checksum = 0
    for path in paths:
        if os.path.getsize(path) > MAX_INDEX and str(path).endswith(".index"):
            raise errors.UserError(f"{path}: larger than {MAX_INDEX >> 20} MiB; damaged")
        with open(path, "rb") as source:
            while chunk := source.read(1 << 20):
                checksum = zlib.crc32(chunk, checksum)
    return f"{checksum:08x}"


def run_dir(asked):
    """The run folder of a command with --init-from that names none: runs/SOURCE-tuned."""
    path = pathlib.Path(os.path.abspath(files.expanded(checkpoints.prefix(asked))))
    if path.parent.name == "checkpoints":
        path = path.parent.parent
    return f"runs/{path.name}-tuned"


def settings(recipe, source):
    """The recipe with the source's network, the network's options and preparation.

    Args:
      recipe: a `recipes.Recipe`.
      source: a `Source`.

    Returns:
      A `recipes.Recipe`; `recipe` itself if the source is not a run.
    """
    run = source.recipe
    if not run:
        return recipe
    options = {name: getattr(run, name) for name in recipes.NETWORKS[run.network]}
    others = {field.name: field.default for field in dataclasses.fields(recipe)
              if field.name in recipes.NETWORKS[recipe.network]}
    return dataclasses.replace(recipe, **{**others, **options, "network": run.network,
                                          "preparation": run.preparation})


def check(source, recipe, description):
    """Raise an `errors.UserError` unless the source's weights can take these images.

    Args:
      source: a `Source`.
      recipe: the `recipes.Recipe` of the command.
      description: the dictionary of `data.describe`.
    """
    from tf1cifar.data import preparation
    run, data = source.recipe, source.description
    if not run:
        return
    if recipe.preparation != run.preparation:
        raise errors.UserError(f"--preparation {recipe.preparation}: the weights of {source.path} "
                               f"were trained with {run.preparation}; leave the option out")
    shapes = [preparation.prepared_shape(shape, run.preparation)
              for shape in (data["image_shape"], description["image_shape"])]
    if shapes[0] != shapes[1]:
        before, now = (weight_map.shape_text(shape) for shape in shapes)
        raise errors.UserError(f"the network of {source.path} takes images of {before}, those of "
                               f"{description['name']} are {now}")


def differences(folder, source, asked):
    """What keeps the run in a folder from being resumed by a command with this source.

    Args:
      folder: the `RunFolder` of the run.
      source: a `Source`, None for a command without --init-from.
      asked: the list of --map.

    Returns:
      A list of 'init-from: OLD before, NEW now'.
    """
    began = record(folder)
    before = f"{began['from']} (crc32 {began['crc32']})" if began else "none"
    now = f"{source.path} (crc32 {source.crc32})" if source else "none"
    if bool(began) != bool(source) or began and began["crc32"] != source.crc32:
        return [f"init-from: {console.cut(before)} before, {now} now"]
    if began and began["asked"] != list(asked):
        return [f"map: {console.cut(' '.join(began['asked'])) or 'none'} before, "
                f"{' '.join(asked) or 'none'} now"]
    return []


def record(folder):
    """What recipe.json says about the initial weights of a run.

    Returns:
      None, or a dictionary with from (path of the source), checkpoint (its name), crc32 (see
      `Source`), asked (the list of --map), map (a dictionary, name of a weight -> name in the
      checkpoint or 'new') and mean_image (crc32 of the source's mean image, '' without one).

    Raises:
      errors.UserError: the file is missing or damaged.
    """
    found = files.read_json(folder.recipe_file).get(KEY)
    if found is None:
        return None
    kinds = {"from": str, "checkpoint": str, "crc32": str, "asked": list, "map": dict,
             "mean_image": str}
    if not (isinstance(found, dict) and found.keys() == kinds.keys()
            and all(type(found[name]) is kind for name, kind in kinds.items())
            and all(isinstance(text, str) for text in (*found["asked"], *found["map"].values()))):
        raise errors.UserError(f"{folder.recipe_file}: damaged; its {KEY} make no sense")
    return found
