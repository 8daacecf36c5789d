"""Time the two implementations of local response normalization on this machine, and choose one.

    lrn_seconds    time both on one device
    choose_lrn     the recipe with the faster one
"""

import dataclasses
import statistics
import time

import tensorflow.compat.v1 as tf

from tf1cifar import recipes
from tf1cifar.networks import layers
from tf1cifar.training.session import session_config, tensorflow_errors_as_failures

SHAPE = (128, 12, 12, 64)  # about the shape of the networks' activations
NATIVE_SPEEDUP_NEEDED = 1.1  # below, the difference may be chance


def lrn_seconds(device, dtype, shape=SHAPE, rounds=5, repeats=10):
    """Time `layers.lrn` with its gradient, alternately as a product and as TensorFlow's operation.

    The gradient of one normalization is fed to the next, `repeats` in one `session.run`.

    Args:
      device: name of a TensorFlow device.
      dtype: dtype of the input.
      shape: (batch, height, width, channels).
      rounds: number of times that each method is timed, after one that does not count.

    Returns:
      {'product': seconds of a normalization in each round, 'native': the same}.
    """
    calls, spent = {}, {"product": [], "native": []}
    with (tf.Graph().as_default(), tf.device(device),
          tf.Session(config=session_config("auto")) as session):
        start = [tf.get_variable(name, shape, dtype, tf.random_normal_initializer(seed=1),
                                 use_resource=True) for name in ("x", "dy")]
        session.run(tf.global_variables_initializer())
        for method in spent:
            x, dy = (variable.read_value() for variable in start)
            for _ in range(repeats):
                y = layers.lrn(x, method)
                x, dy = y, tf.gradients(y, x, dy)[0]
            calls[method] = session.make_callable(dy.op)
        for _ in range(1 + rounds):
            for method, call in calls.items():
                begin = time.perf_counter()
                call()
                spent[method].append((time.perf_counter() - begin) / repeats)
    return {method: seconds[1:] for method, seconds in spent.items()}


def choose_lrn(recipe, device):
    """Replace the setting 'auto' of `lrn` by the method that is the faster one here.

    On a CPU the product is several times as fast (benchmarks/lrn.py). On a GPU both are timed, and
    TensorFlow's operation is chosen if it is NATIVE_SPEEDUP_NEEDED times as fast.

    Args:
      recipe: a `recipes.Recipe`.
      device: 'auto', 'cpu' or 'gpu', the device of the training.

    Returns:
      A recipe with another `lrn`, or `recipe` itself if its `lrn` is not 'auto' or its network
      has no such option.

    Raises:
      errors.Failure: the GPU cannot compute it.
    """
    if recipe.lrn != "auto" or "lrn" not in recipes.NETWORKS[recipe.network]:
        return recipe
    method = "product"
    if device != "cpu" and tf.config.list_physical_devices("GPU"):
        dtype = tf.bfloat16 if recipe.precision == "bfloat16" else tf.float32
        with tensorflow_errors_as_failures():
            seconds = lrn_seconds("/gpu:0", dtype)
        product, native = (statistics.median(seconds[name]) for name in ("product", "native"))
        method = "native" if product > NATIVE_SPEEDUP_NEEDED * native else "product"
        print(f"local response normalization: {1000 * product:.3f} ms as a matrix product, "
              f"{1000 * native:.3f} ms as TensorFlow's operation; using the {method} one")
    return dataclasses.replace(recipe, lrn=method)
