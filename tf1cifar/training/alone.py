"""A training in one process: what `loop` asks of its tasks, which `cluster` answers for several.

    Alone    the only task
    Nothing  stands for the chief's files in tasks that are not the chief
"""

import contextlib

import tensorflow.compat.v1 as tf

from tf1cifar.training.session import session_config


class Alone:
    """The only task, which does everything.

    Attributes:
      chief: whether this task writes the run folder.
      part: (index, count) for a `Feed`, None if there is one task.
      count: number of tasks.
      where: the `hosts.Hosts` of the tasks, None if there is one task.
    """
    chief, part, count, where = True, None, 1, None

    def session(self, device):
        """A `tf.Session` on the default graph."""
        return tf.Session(config=session_config(device))

    def start(self, session, model):
        """Bring this task to the chief's state; the `graph.Model` to train with."""
        return model

    def feed(self, should_stop):
        """What a training step is fed with beside its batch."""
        return {}

    def stopped_by(self, loss, values, should_stop):
        """0, or the number of the signal after which all tasks stop.

        Args:
          loss: the mean loss of the last steps.
          values: the values of `step_fetches` after loss and accuracy.
          should_stop: function without arguments: the signal that this task got.
        """
        return should_stop()

    def of_chief(self, value):
        """The chief's value of `value`, which JSON can hold."""
        return value

    def array_of_chief(self, array, shape):
        """The chief's float32 array of a shape, or None."""
        return array

    def evaluate(self, trainer, split, prepare):
        """(loss, accuracy, signal) of a split, by all tasks together."""
        result = trainer.evaluate(split, prepare)
        return result.loss, result.accuracy, 0

    @contextlib.contextmanager
    def undivided(self, trainer, build):
        """Give a `loop.Trainer` a graph without the parts of several tasks in the block."""
        yield

    @contextlib.contextmanager
    def named_failures(self):
        """Name the task that made TensorFlow fail."""
        yield


class Nothing:
    """Stands for the chief's `Checkpoints` and `Records` in the other tasks: it does nothing."""

    def __getattr__(self, name):
        return lambda *arguments, **options: None
