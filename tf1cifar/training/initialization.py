"""Initial weights that come from a trained run or from a checkpoint of any program.

    read             the initial weights of a new run: mapped, read, checked
    network_weights  the weights that a recipe's network has
    begin            put them into a session, test them, save them as the checkpoint of step 0
    source_mean      the mean image that came with them

The checkpoint of step 0 and the mean image lie in the run folder, so a run that is resumed does not
need its source. A checkpoint may be a stranger's: TensorFlow's reader runs nothing of it, only
variables of the network's own shapes are read, and every number must be finite.
"""

import os.path
import zlib
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console, errors, graph, networks
from tf1cifar.data import preparation
from tf1cifar.plain_paths import plain
from tf1cifar.training import sources, weight_map
from tf1cifar.training.session import short_message

MAX_VARIABLES = 10 ** 4
FLOATS = ("float32", "float64", "float16", "bfloat16")


class Initial(NamedTuple):
    """Initial weights, read and checked."""
    values: dict  # name of a variable -> float32 array; what is not here starts anew
    mean: object  # float32 [height, width, channels], the source's mean image, or None
    record: dict  # for recipe.json, see `sources.record`
    lines: list   # the mapping, for the user


def read(source, recipe, description, asked):
    """Map the source's variables to the network's weights and read them.

    Args:
      source: a `sources.Source`, or None: then only `recipe.freeze` is checked.
      recipe: the `recipes.Recipe` of the new run.
      description: the dictionary of `data.describe`.
      asked: the list of --map.

    Returns:
      An `Initial`, None without a source.

    Raises:
      errors.UserError: there is no unambiguous mapping, the checkpoint cannot be read, or a number
        is not finite.
    """
    ours = network_weights(recipe, description)
    if source is None:
        return None
    if not source.checkpoint:
        raise errors.UserError(f"--init-from {source.path}: no longer there, and a new run needs "
                               "it")
    scope = _layer(list(ours)[-1])
    last = [name for name in ours if _layer(name) == scope]
    other_classes = source.recipe and (
        source.description["class_names"] != description["class_names"])
    reader, theirs = _open(source.checkpoint)
    new = [f"{name}={weight_map.NEW}" for name in last] if other_classes else []
    where = console.cut(source.checkpoint)
    mapping = weight_map.match(ours, theirs, last, [*new, *asked], where)
    for name in ours:
        if mapping[name] == weight_map.NEW and recipe.freezes(name):
            raise errors.UserError(f"--freeze {' '.join(recipe.freeze)}: {name} starts anew here, "
                                   "so it has to be trained")
    values = {name: _array(reader, other, where) for name, other in mapping.items()
              if other != weight_map.NEW}
    if not values:
        raise errors.UserError(f"{where}: no weight of {recipe.network} comes from there")
    mean = None
    if source.recipe and recipe.preparation == "minus_mean":
        mean = preparation.load_mean_image(source.folder.mean_image_file)
    known = {"from": source.path, "checkpoint": os.path.basename(source.checkpoint),
             "crc32": source.crc32, "asked": list(asked), "map": mapping,
             "mean_image": "" if mean is None else f"{zlib.crc32(mean):08x}"}
    return Initial(values, mean, known, _lines(source, recipe, ours, theirs, mapping, mean))


def network_weights(recipe, description):
    """The weights of the recipe's network, those that are not trained included.

    Args:
      recipe: a `recipes.Recipe`.
      description: the dictionary of `data.describe`.

    Returns:
      A dictionary, name -> shape, in the order of the layers.

    Raises:
      errors.UserError: `recipe.freeze` makes no sense.
    """
    shape = preparation.prepared_shape(description["image_shape"], recipe.preparation)
    with tf.Graph().as_default():
        step = tf.train.create_global_step()  # for dropout
        images = tf.placeholder(tf.float32, [None, *shape])
        graph.network_logits(recipe, images, len(description["class_names"]), tf.constant(True))
        networks.check_frozen(recipe)
        return {variable.op.name: tuple(variable.shape.as_list())
                for variable in tf.global_variables() if variable is not step}


def _layer(name):
    return name.rpartition("/")[0]


def _open(path):
    """(reader, shapes): the reader of a checkpoint, and the shapes of its float variables."""
    try:
        reader = tf.train.load_checkpoint(plain(path))
        shapes, dtypes = (reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map())
    except Exception as error:  # a damaged file can raise nearly anything
        raise errors.UserError(f"{console.cut(path)}: not a checkpoint that TensorFlow can read "
                               f"({console.cut(short_message(error))})") from error
    if len(shapes) > MAX_VARIABLES:
        raise errors.UserError(f"{console.cut(path)}: {len(shapes):,} variables, expected at most "
                               f"{MAX_VARIABLES:,}")
    return reader, {name: tuple(shapes[name]) for name in sorted(shapes)
                    if dtypes[name].name in FLOATS}


def _array(reader, name, where):
    """float32: a variable of a checkpoint."""
    try:
        with np.errstate(over="ignore"):  # the check below finds what is too large
            value = np.asarray(reader.get_tensor(name)).astype(np.float32)
    except Exception as error:
        raise errors.UserError(f"{where}: {console.cut(name)} cannot be read "
                               f"({console.cut(short_message(error))})") from error
    if not np.isfinite(value).all():
        raise errors.UserError(f"{where}: {console.cut(name)} has numbers that are not finite; "
                               "another checkpoint may be good")
    return value


def _lines(source, recipe, ours, theirs, mapping, mean):
    """The mapping in words."""
    width = max(map(len, ours))
    lines = [f"initial weights from {source.checkpoint}, crc32 {source.crc32}"]
    for name, shape in ours.items():
        origin = "new" if mapping[name] == weight_map.NEW else console.cut(f"= {mapping[name]}")
        lines.append(f"  {name:{width}}  {weight_map.shape_text(shape):12}  {origin}"
                     + ", frozen" * recipe.freezes(name))
    unused = [name for name, shape in weight_map.candidates(theirs).items()
              if shape and name not in mapping.values()]
    if unused:
        lines.append(f"  not used: {console.cut(', '.join(unused))}")
    if mean is not None:
        lines.append("  the mean image comes from there too")
    return lines


def begin(trainer, initial, test):
    """Say where a resumed run goes on; put initial weights into a new one, and test and save them.

    Args:
      trainer: a `loop.Trainer`, whose variables are restored or initialized.
      initial: an `Initial`, None for a run that is resumed or has the network's own weights.
      test: the `base.Split` of the test images.

    Raises:
      errors.Failure: the loss is not finite.
    """
    if trainer.step:
        console.say(f"resuming from step {trainer.step} of {trainer.feed.total_steps} in "
                    f"{trainer.folder.path}")
    if initial is None:
        return
    for variable in tf.global_variables():
        name = variable.op.name.removesuffix(f"/{weight_map.AVERAGE}")
        if name in initial.values:
            variable.load(initial.values[name], trainer.session)
    result = trainer.evaluate(test, trainer.feed.prepare)
    if not np.isfinite(result.loss):
        raise errors.Failure(f"with the weights of {initial.record['from']} the loss is "
                             f"{result.loss}; they do not fit this network or its preparation")
    new = [name for name, other in initial.record["map"].items() if other == weight_map.NEW]
    console.say(f"before training: {result.line()}"
                + (f", with {console.cut(', '.join(new))} new" if new else ""))
    trainer.folder.require_present()
    trainer.checkpoints.save(trainer.session, 0)


def source_mean(folder):
    """The mean image that came with the initial weights of a run, None if there is none.

    Raises:
      errors.Failure: the run's mean image was replaced.
    """
    began = sources.record(folder)
    if not began or not began["mean_image"]:
        return None
    mean = preparation.load_mean_image(folder.mean_image_file)
    if f"{zlib.crc32(mean):08x}" != began["mean_image"]:
        raise errors.Failure(f"{folder.mean_image_file}: not the mean image with which the run "
                             "began")
    return mean
