"""What several test files do: train a run in this process and look at its bits."""

import tensorflow.compat.v1 as tf

import datasets
from training import loop
from training.run_folder import RunFolder


def train(recipe, dataset, path, name="a test", profile=False):
    """The folder of a run that is trained, or taken up, at `path`."""
    folder = RunFolder(path)
    folder.write_description(name, recipe, datasets.describe(dataset, recipe), {})
    loop.train(recipe, dataset, folder, "cpu", profile)
    return folder


def variables(folder):
    """Every variable of the latest checkpoint, optimizer slots included, as bytes."""
    reader = tf.train.load_checkpoint(folder.saved()[-1][1])
    return {name: reader.get_tensor(name).tobytes()
            for name in reader.get_variable_to_shape_map()}
