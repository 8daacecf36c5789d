"""Choose the precision of a recipe by timing its two costliest layers on this machine.

    choose            the precision, from the cache or timed now
    costliest_layers  the layers of a network with the most multiplications
    layer_seconds     the time of some layers in float32 and in bfloat16

A processor's flags say nothing about speed: on one processor with instructions for bfloat16 a
product in bfloat16 takes half of the time that float32 takes, on another one twice that time.
"""

import json
import math
import statistics
import time
from typing import NamedTuple

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from tf1cifar import errors, files, graph, machine
from tf1cifar.data import download
from tf1cifar.networks import gradients
from tf1cifar.training import network_summary
from tf1cifar.training.session import session_config, tensorflow_errors_as_failures

DTYPES = {"float32": tf.float32, "bfloat16": tf.bfloat16}
SPEEDUP_NEEDED = 1.1  # bfloat16 must be so many times as fast; a smaller ratio may be chance
SECONDS = 1.0  # for the timing; building the layers takes about as long again
MIN_ROUNDS, MAX_ROUNDS = 5, 40
MULTIPLICATIONS = 3 * 10 ** 8  # of one call, so that the call's overhead does not count


class Layer(NamedTuple):
    """A convolution or a dense layer; the shapes are lists of int."""
    kind: str              # 'Conv2D' or 'MatMul'
    inputs: list           # shape of the input, with the batch size
    weights: list          # shape of the weights
    input_gradient: bool   # whether training needs the gradient of the input

    def multiplications(self):
        """Number of multiplications forwards."""
        positions = math.prod(self.inputs[:3]) if self.kind == "Conv2D" else self.inputs[0]
        return positions * math.prod(self.weights)


def choose(recipe, image_shape, num_classes, device="auto"):
    """The precision in which a recipe trains faster on this machine.

    The timing is remembered in the cache, per machine, version of TensorFlow, and layers.

    Args:
      recipe: a `recipes.Recipe`.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      device: 'auto', 'cpu' or 'gpu'.

    Returns:
      (precision, line): 'bfloat16' if it is SPEEDUP_NEEDED times as fast as float32, else
      'float32'; and a line for the user with both times.

    Raises:
      errors.Failure: TensorFlow cannot compute the layers.
    """
    with tensorflow_errors_as_failures():
        layers = costliest_layers(recipe, image_shape, num_classes)
        gpu = device != "cpu" and bool(tf.config.list_physical_devices("GPU"))
        key = ", ".join([machine.describe(), "GPU" if gpu else "CPU",
                         f"TensorFlow {tf.__version__}", *(str(list(layer)) for layer in layers)])
        remembered = _read_cache()
        seconds, how = remembered.get(key), "as timed before"
        if not _is_timing(seconds):
            seconds, how = layer_seconds(layers, device), "as timed now"
            _write_cache({**remembered, key: seconds})
    precision = ("bfloat16" if seconds["float32"] >= SPEEDUP_NEEDED * seconds["bfloat16"]
                 else "float32")
    times = ", ".join(f"{1000 * seconds[name]:.3g} ms in {name}" for name in DTYPES)
    return precision, f"computing in {precision}: the costliest layers take {times}, {how}"


def costliest_layers(recipe, image_shape, num_classes, count=2):
    """The layers of the recipe's network with the most multiplications.

    Returns:
      A list of `Layer`, the costliest first.
    """
    layers = []
    with tf.Graph().as_default() as built:
        images = tf.placeholder(tf.float32, [recipe.batch_size, *image_shape])
        tf.train.create_global_step()  # for dropout
        graph.network_logits(recipe, images, num_classes, tf.constant(True))
        for operation, inputs, weights, _ in network_summary.products(built):
            layers.append(Layer(operation.type, inputs, weights, bool(layers)))
    return sorted(layers, key=lambda layer: -layer.multiplications())[:count]


def layer_seconds(layers, device="auto", seconds=SECONDS):
    """Time layers forwards and backwards in both precisions, alternately.

    Args:
      layers: list of `Layer`.
      device: 'auto', 'cpu' or 'gpu'.
      seconds: time for all rounds together; at least MIN_ROUNDS are run.

    Returns:
      {'float32': median seconds of all layers together, 'bfloat16': the same}.
    """
    spent = {name: [] for name in DTYPES}
    config = session_config(device)
    # TensorFlow would remove operations whose results nobody uses.
    config.graph_options.rewrite_options.dependency_optimization = RewriterConfig.OFF
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        calls = {name: _call(layers, dtype) for name, dtype in DTYPES.items()}
        session.run(tf.global_variables_initializer())
        calls = {name: (session.make_callable(operation), repeats)
                 for name, (operation, repeats) in calls.items()}
        for call, _ in calls.values():
            call()  # the first call allocates memory and chooses oneDNN's kernels
        start = time.perf_counter()
        for number in range(MAX_ROUNDS):
            if number >= MIN_ROUNDS and time.perf_counter() - start > seconds:
                break
            for name, (call, repeats) in calls.items():
                begin = time.perf_counter()
                call()
                spent[name].append((time.perf_counter() - begin) / repeats)
    return {name: statistics.median(values) for name, values in spent.items()}


def _call(layers, dtype):
    """(operation, repeats): runs all layers `repeats` times, one after the other."""
    total = sum(layer.multiplications() for layer in layers)
    repeats = max(1, round(MULTIPLICATIONS / (3 * total)))
    operation = tf.no_op()
    for number, layer in enumerate(layers):
        # The variables are float32 in training too; their cast is a part of the time.
        weights = tf.get_variable(f"{dtype.name}/weights{number}", layer.weights, tf.float32,
                                  tf.random_normal_initializer(stddev=0.01, seed=1))
        x = tf.get_variable(f"{dtype.name}/x{number}", layer.inputs, dtype,
                            tf.random_normal_initializer(seed=2))
        for _ in range(repeats):
            with tf.control_dependencies([operation]):
                kernel = tf.cast(weights.read_value(), dtype)
                if layer.kind == "Conv2D":
                    with gradients.convolution_in_sequence():
                        y = tf.nn.conv2d(x.read_value(), kernel, 1, "SAME")
                else:
                    y = x.read_value() @ kernel
                inputs = [kernel, y.op.inputs[0]][:1 + layer.input_gradient]
                operation = tf.group(*tf.gradients(y, inputs, y))
    return operation, repeats


def _cache_file():
    return download.cache_folder() / "precision.json"


def _read_cache():
    try:
        content = json.loads(_cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, errors.Failure):
        return {}
    return content if isinstance(content, dict) else {}


def _write_cache(content):
    try:
        path = _cache_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, content)
    except (OSError, errors.Failure):
        pass  # the next run times again


def _is_timing(seconds):
    return (isinstance(seconds, dict) and seconds.keys() == DTYPES.keys()
            and all(isinstance(value, float) and 0 < value < math.inf
                    for value in seconds.values()))
