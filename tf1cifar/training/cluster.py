"""Training by several tasks on TensorFlow's own runtime: servers, and sums over all tasks.

    Cluster  one of several tasks: a `tf.train.Server`, messages between tasks, named failures
    join     start this task's server, meet the others and compare what they are about to train

Every task has the same graph with all variables, and trains on its part of each batch. One
`CollectiveReduceV2` a step adds up the gradients, so all tasks hold the same weights; see
`tf1cifar.parts`. Task 0, the chief, has the run folder and sends its variables to the
others at the start. A task that fails ends all others, and all are started again.
"""

import contextlib
import json
import os
import pathlib
import sys
import threading
import time
import zlib

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

import tf1cifar
from tf1cifar import console, errors, machine, parts, recipes
from tf1cifar.data.base import Split
from tf1cifar.training import alone, evaluation, peers
from tf1cifar.training.session import (
    session_config,
    short_message,
    tensorflow_errors_as_failures,
)

MESSAGE_BYTES = 8192  # of one task; the recipe and the description of the data are 2,000
FAILED = -1  # told instead of a signal's number
JOINING, TRAINING = 1, 2  # keys of the messages, with the two timeouts
ARRAY = 3  # key of `Cluster.array_of_chief`


class Cluster(alone.Alone):
    """One of several tasks; see `join`.

    Args:
      where: a `hosts.Hosts`.
      device: 'auto', 'cpu' or 'gpu'.

    Attributes:
      ending: whether all tasks are about to end in order, so that no one fails because of it.

    Raises:
      errors.Failure: the server cannot be started; the message says why.
    """

    def __init__(self, where, device):
        self.where, self.device = where, device
        self.count = len(where.addresses)
        self.chief, self.part = where.chief, (where.index, self.count)
        self._config = _config(where, device)
        self._part, self.ending = None, False
        self.peers = peers.Peers(where)
        try:
            self._server = tf.train.Server(
                tf.train.ClusterSpec({"worker": list(where.addresses)}), "worker", where.index,
                config=self._config)
        except tf.errors.OpError as error:
            raise errors.Failure(
                f"{where.name(where.index)} cannot listen on port {where.place(where.index)[1]}, "
                f"which another program may have taken ({short_message(error)})") from error
        with tf.Graph().as_default():
            self._message = tf.placeholder(tf.float32, [self.count, MESSAGE_BYTES])
            self._messages = {key: tf.raw_ops.CollectiveReduceV2(
                input=self._message, group_size=self.count, group_key=parts.GROUP,
                instance_key=key, ordering_token=[], merge_op="Add", final_op="Id",
                timeout_seconds=float(seconds))
                for key, seconds in ((JOINING, where.join_timeout), (TRAINING, where.step_timeout))}
            self._talk = tf.Session(self._server.target, config=self._config)

    def exchange(self, value, key=TRAINING):
        """Tell every task a value; a list of the values of all tasks, in their order.

        Args:
          value: anything that JSON can hold in MESSAGE_BYTES bytes.
          key: JOINING or TRAINING, which decides over the timeout.
        """
        text = json.dumps(value).encode()
        if len(text) > MESSAGE_BYTES:
            raise ValueError(f"a message of {len(text)} bytes, expected at most {MESSAGE_BYTES}")
        own = np.zeros(self._message.shape, np.float32)
        own[self.where.index, :len(text)] = np.frombuffer(text, np.uint8)
        received = self._talk.run(self._messages[key], {self._message: own})
        return [json.loads(row.astype(np.uint8).tobytes().rstrip(b"\0")) for row in received]

    def of_chief(self, value):
        return self.exchange(value if self.chief else None)[0]

    def array_of_chief(self, array, shape):
        if not self.of_chief(array is not None):
            return None
        with tf.Graph().as_default():
            own = tf.constant(array if self.chief else np.zeros(shape), tf.float32, shape)
            total = tf.raw_ops.CollectiveReduceV2(
                input=own, group_size=self.count, group_key=parts.GROUP, instance_key=ARRAY,
                ordering_token=[], merge_op="Add", final_op="Id",
                timeout_seconds=float(self.where.step_timeout))
            with self.session(self.device) as session:
                return session.run(total)

    def session(self, device):
        return tf.Session(self._server.target, config=self._config)

    def start(self, session, model):
        """Add this task's part to the graph, and copy the chief's variables to the others."""
        with tf.name_scope("tasks"):
            self._part = parts.Part(*self.part, self.where.step_timeout)
            session.run(self._copies(tf.global_variables()))
        step_inputs, step_fetches = model.add_part(self._part)
        return model._replace(step_inputs=step_inputs, step_fetches=step_fetches)

    def _copies(self, variables):
        """The operation that sets variables to the chief's, one message for each dtype."""
        copies = []
        for dtype in sorted({variable.dtype.base_dtype for variable in variables},
                            key=lambda dtype: dtype.name):
            own = [variable for variable in variables if variable.dtype.base_dtype == dtype]
            sizes = [variable.shape.num_elements() for variable in own]
            options = self._part.options(self.where.join_timeout)
            if self.chief:
                copies.append(tf.raw_ops.CollectiveBcastSendV2(
                    input=tf.concat([tf.reshape(variable, [-1]) for variable in own], 0),
                    **options))
                continue
            received = tf.raw_ops.CollectiveBcastRecvV2(T=dtype, shape=[sum(sizes)], **options)
            copies += [variable.assign(tf.reshape(values, variable.shape)).op for variable, values
                       in zip(own, tf.split(received, sizes))]
        return copies

    def feed(self, should_stop):
        return {self._part.signal: should_stop()}

    def stopped_by(self, loss, values, should_stop):
        signal = next((round(float(number)) for number in values[0] if number), 0)
        self.ending = bool(signal) or not np.isfinite(loss)
        return signal

    def evaluate(self, trainer, split, prepare):
        index, count = self.part
        size = evaluation.BATCH_SIZE  # whole batches, so that no task has an odd one
        batches = -(-len(split.labels) // size)
        rows = slice(*(size * (batches * number // count) for number in (index, index + 1)))
        own, result = Split(*(array[rows] for array in split)), [0.0, 0]
        if len(own.labels):
            part = evaluation.evaluate(trainer.session, own, prepare)
            result = [part.loss * len(own.labels), part.correct]
        results = self.exchange([*result, trainer.should_stop()])
        loss, correct = (sum(item[number] for item in results) for number in (0, 1))
        signal = next((item[2] for item in results if item[2]), 0)
        self.ending = bool(signal)
        return loss / len(split.labels), correct / len(split.labels), signal

    @contextlib.contextmanager
    def undivided(self, trainer, build):
        self.ending = True
        with tf.Graph().as_default(), tf.Session(config=session_config(self.device)) as session:
            trainer.model, trainer.session = build(), session
            trainer.checkpoints.attach()
            yield

    @contextlib.contextmanager
    def named_failures(self):
        try:
            yield
        except tf.errors.OpError as error:
            line = self.peers.culprit()
            if not line:
                raise
            if not self.peers.gone:
                time.sleep(peers.GRACE)  # this process must answer while others look for the cause
            raise errors.Failure(line) from error

    def leave(self, end=0):
        """Wait until no task needs another one any more.

        Args:
          end: 0, the number of the signal that ends this task, or FAILED.

        Returns:
          0, or why another task ends.
        """
        ends = self.exchange(end, JOINING)
        self.peers.part()
        # A task that ends while another one still receives would make that one fail. Whoever comes
        # here has received all.
        with contextlib.suppress(tf.errors.OpError):
            self.exchange(None)
        return next(filter(None, ends), 0)


def _config(where, device):
    """The `tf.ConfigProto` of a task's server and sessions."""
    config, neighbours = session_config(device), where.neighbours()
    number, gpus = neighbours.index(where.index), tf.config.list_physical_devices("GPU")
    if device != "cpu" and gpus:
        if len(neighbours) > len(gpus):
            raise errors.UserError(f"{len(neighbours)} tasks on this machine, but {len(gpus)} "
                                   "GPUs; start one task a GPU, or give --device cpu")
        config.gpu_options.visible_device_list = str(number)
    if len(neighbours) > 1:
        config.intra_op_parallelism_threads = max(1, machine.cores() // len(neighbours))
    config.device_filters.append(f"/job:worker/task:{where.index}")
    config.experimental.collective_group_leader = "/job:worker/replica:0/task:0"
    # In a session of a server, TensorFlow fuses bfloat16 convolutions into an operation that has no
    # kernel for them.
    config.graph_options.rewrite_options.remapping = RewriterConfig.OFF
    return config


def identity(recipe, description):
    """What must be the same in all tasks, as a dictionary for `exchange`."""
    sources = sorted(pathlib.Path(tf1cifar.__file__).parent.rglob("*.py"))
    crc32 = 0
    for path in sources:
        crc32 = zlib.crc32(path.read_bytes(), crc32)
    return {**recipes.to_dict(recipe),
            **{name: description[name] for name in (
                "crc32", "training_images", "held_out_images", "test_images")},
            "TensorFlow": tf.__version__, "NumPy": np.__version__,
            "version of this project": f"{crc32:08x}"}


@contextlib.contextmanager
def join(where, device, recipe, description):
    """Meet the other tasks; yields a `Cluster`, and waits for the others at the end of the block.

    Args:
      where: a `hosts.Hosts`.
      device: 'auto', 'cpu' or 'gpu'.
      recipe, description: what this task is about to train, see `identity`.

    Raises:
      errors.UserError: a task is about to train something else.
      errors.Failure: a task does not come, or a port is taken.
    """
    if where.elsewhere() and where.chief:
        print("TensorFlow's servers run any graph for whoever reaches their ports, on every "
              "interface and without a password; use a private network or a firewall, see "
              "docs/several-machines.md", file=sys.stderr)
    cluster = Cluster(where, device)
    cluster.peers.meet(lambda line: print(line, file=sys.stderr))
    cluster.peers.watch()
    with tensorflow_errors_as_failures(), cluster.named_failures(), _bounded(cluster):
        identities = cluster.exchange(identity(recipe, description), JOINING)
    for index, other in enumerate(identities):
        if other != identities[0]:
            differences = "; ".join(
                f"{name}: {console.cut(other.get(name))} there, {console.cut(value)} in task 0"
                for name, value in identities[0].items() if other.get(name) != value)
            cluster.leave()
            raise errors.UserError(f"{where.name(index)} is about to train something else "
                                   f"({differences})")
    try:
        yield cluster
    except Exception as error:
        if cluster.ending:
            with contextlib.suppress(tf.errors.OpError):
                cluster.leave(getattr(error, "number", FAILED))
        raise
    with tensorflow_errors_as_failures(), cluster.named_failures():
        end = cluster.leave()
    if end == FAILED:
        raise errors.Failure(f"{where.name(0)} failed, see its own message")
    if end:
        raise errors.Interrupted("stopped with the other tasks", end)


@contextlib.contextmanager
def _bounded(cluster):
    """End the process if the block takes longer than the join timeout: TensorFlow may not."""
    def end():
        console.complain(os.path.basename(sys.argv[0]), cluster.peers.culprit(0) or (
            "the tasks have met, but TensorFlow does not connect them within "
            f"{cluster.where.join_timeout} s; end all tasks and start them again"), 1)
        os._exit(1)

    timer = threading.Timer(cluster.where.join_timeout + peers.GRACE, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
