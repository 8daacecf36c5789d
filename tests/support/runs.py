"""Training in this process, and the variables of a run."""

import tensorflow.compat.v1 as tf

from tf1cifar import data
from tf1cifar.training import loop
from tf1cifar.training.checkpoints import Checkpoints
from tf1cifar.training.run_folder import RunFolder


def train(recipe, dataset, path, name="a test", **options):
    """Train or resume a run in the folder `path`; its `RunFolder`."""
    folder = RunFolder(path)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_description(name, recipe, data.describe(dataset, recipe), {})
    loop.train(recipe, dataset, folder, "cpu", **options)
    return folder


def saved(folder, kind="model.ckpt"):
    """[(step, path)] of a run's complete checkpoints of a kind, 'model.ckpt' or 'best'."""
    return Checkpoints(folder.checkpoints).saved(kind)


def variables(folder):
    """Every variable of the latest checkpoint, optimizer slots included, as bytes."""
    reader = tf.train.load_checkpoint(saved(folder)[-1][1])
    return {name: reader.get_tensor(name).tobytes()
            for name in reader.get_variable_to_shape_map()}
