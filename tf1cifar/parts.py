"""A task's part of every batch, and sums over all tasks: what a graph needs on several machines.

    Part         one task's part; makes sums over the tasks, which every task gets
    random_bits  random numbers of the whole batch
    current      the part for which layers are being created, None for whole batches

The tasks are processes of one TensorFlow cluster and run the same graph. A sum is TensorFlow's own
collective operation, so every task must run it equally often. Each has a key, which is counted in
the order in which a graph is built and is therefore the same in all tasks.
"""

import contextlib
import contextvars

import tensorflow.compat.v1 as tf

GROUP = 1         # key of the group of all tasks; there is no other group
FIRST_KEY = 1000  # smaller keys are for the messages of `tf1cifar.training.cluster`
BITS_IN_BLOCK = 8  # numbers of 16 bits that the generator Philox makes for one value of its counter

_current = contextvars.ContextVar("part", default=None)


def current():
    """The `Part` for which layers are being created, None for whole batches."""
    return _current.get()


class Part:
    """The part of every batch that a task computes.

    Args:
      index, count: number of this task, from 0, and number of tasks.
      timeout: seconds after which a sum fails if a task does not take part.

    Attributes:
      bounds: int64 [count + 1], a placeholder: the rows at which the parts of the tasks begin, and
        the number of all rows.
      share: float32 [], this task's share of the images of the batch.
      signal: float32 [], a placeholder: number of the signal that this task got, by default 0.
      loss, accuracy, signals: after `whole_batch`, the figures of the whole batch, float32 [], and
        the signals of all tasks, float32 [count].
    """

    def __init__(self, index, count, timeout):
        self.index, self.count, self._timeout = index, count, timeout
        self._key = FIRST_KEY
        self.bounds = tf.placeholder(tf.int64, [count + 1], "bounds")
        self.signal = tf.placeholder_with_default(0.0, [], "signal")
        rows = tf.cast(self.bounds[1:] - self.bounds[:-1], tf.float32)
        self._shares = rows / tf.cast(self.bounds[-1], tf.float32)
        self.share = self._shares[index]

    @contextlib.contextmanager
    def building(self):
        """Context in which `current` returns this part."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def options(self, timeout=None):
        """The arguments that the collective operations have in common, with a new key."""
        self._key += 1
        return dict(group_size=self.count, group_key=GROUP, instance_key=self._key,
                    timeout_seconds=float(timeout or self._timeout))

    def _reduce(self, tensor):
        return tf.raw_ops.CollectiveReduceV2(
            input=tensor, merge_op="Add", final_op="Id", ordering_token=[], **self.options())

    def sum(self, tensor):
        """The sum of a tensor over the tasks. Its gradient is the sum of the gradients."""
        @tf.custom_gradient
        def total(x):
            return self._reduce(x), self._reduce

        return total(tensor)

    def whole_batch(self, gradients, loss, hits):
        """Add up what all tasks found out about their parts, in one operation.

        Args:
          gradients: list of (gradient of loss * share, variable).
          loss: float32 [], the loss of this part.
          hits: float64 [], number of images of this part that are classified correctly.

        Returns:
          (gradients, loss, hits) of the whole batch, of the same types.
        """
        signals = self.signal * tf.one_hot(self.index, self.count)
        own = [gradient for gradient, _ in gradients] + [
            loss * self.share, tf.cast(hits, tf.float32), signals]
        total = self._reduce(tf.concat([tf.reshape(tensor, [-1]) for tensor in own], 0))
        sizes = [tensor.shape.num_elements() for tensor in own]
        *totals, self.loss, hits, self.signals = [
            tf.reshape(part, tensor.shape) for part, tensor in zip(tf.split(total, sizes), own)]
        self.accuracy = hits / tf.cast(self.bounds[-1], tf.float32)
        variables = [variable for _, variable in gradients]
        return list(zip(totals, variables)), self.loss, tf.cast(hits, tf.float64)

    def of_each(self, tensor):
        """The tensors of all tasks: [count, ...], with a gradient."""
        place = tf.reshape(tf.one_hot(self.index, self.count), [-1] + [1] * len(tensor.shape))
        return self.sum(place * tensor)

    def moments(self, x):
        """Mean and variance of each channel over the whole batch, with gradients.

        Args:
          x: float32 [rows of this part, ..., channels].

        Returns:
          (mean, variance), float32 [channels], the same in all tasks.
        """
        own = tf.stack(tf.nn.moments(x, list(range(len(x.shape) - 1))))
        means, variances = tf.unstack(self.of_each(own), axis=1)
        shares = self._shares[:, None]
        mean = tf.reduce_sum(shares * means, 0)
        return mean, tf.reduce_sum(shares * (variances + tf.square(means - mean)), 0)

    def normalize(self, x, gamma, beta, epsilon):
        """Batch normalization in training by the statistics of the whole batch.

        TensorFlow's fused operation cannot take statistics that have a gradient.

        Args:
          x: float32 or bfloat16 [rows of this part, ..., channels].
          gamma, beta, epsilon: see `layers.batch_norm`.

        Returns:
          (tensor like `x`, (mean, variance) for the moving averages). The variance of images is
          that of a sample, as the fused operation has it.
        """
        wide = tf.cast(x, tf.float32)
        mean, variance = self.moments(wide)
        normalized = tf.nn.batch_normalization(wide, mean, variance, beta, gamma, epsilon)
        if len(x.shape) == 4:
            numbers = tf.cast(self.bounds[-1] * (int(x.shape[1]) * int(x.shape[2])), tf.float32)
            variance *= numbers / tf.maximum(numbers - 1, 1)
        return tf.cast(normalized, x.dtype), (mean, variance)


def random_bits(x, seed):
    """Random numbers for the elements of a tensor, a function of the seed.

    A part gets those that one process draws for the part's rows of the whole batch: the generator
    of `tf.random.stateless_uniform` can begin anywhere.

    Args:
      x: tensor [rows, ...].
      seed: int64 [2].

    Returns:
      uint16 [number of elements of x].
    """
    part = current()
    if not part:
        size = tf.size(x)
        bits = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32)
        return tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
    size = tf.size(x, out_type=tf.int64)
    begin = part.bounds[part.index] * (size // tf.shape(x, out_type=tf.int64)[0])
    block = begin // BITS_IN_BLOCK
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    counter += tf.cast(tf.stack([block, 0]), tf.uint64)
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[(begin + size + 1) // 2 - block * (BITS_IN_BLOCK // 2)], key=key,
        counter=counter, alg=tf.raw_ops.StatelessRandomGetAlg(), dtype=tf.int32)
    bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])
    return bits[begin - block * BITS_IN_BLOCK:][:size]
