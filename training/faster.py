"""Which of two ways to compute the same thing is the faster one on this machine.

    lrn_seconds    local response normalization timed both ways, on one device
    choose_lrn     the recipe with the way that is the faster one
"""

import dataclasses
import statistics
import time

import tensorflow.compat.v1 as tf

import networks
from networks import layers
from training import loop

SHAPE = (128, 12, 12, 64)  # about that of the networks' layers
CLEARLY = 1.1  # times as fast, so that it is no matter of chance


def lrn_seconds(device, dtype, shape=SHAPE, rounds=5, repeats=10):
    """Time `layers.lrn` with its gradient, in turn as a product and as TensorFlow's operation.

    The gradient of one normalization is fed to the next, `repeats` in one `session.run`.

    Args:
      device: name of a TensorFlow device.
      dtype: of the input.
      shape: (batch, height, width, channels).
      rounds: how often each way is timed, after once that does not count.

    Returns:
      {'product': seconds of a normalization in each round, 'native': the same}.
    """
    calls, spent = {}, {"product": [], "native": []}
    with (tf.Graph().as_default(), tf.device(device),
          tf.Session(config=loop.session_config("auto")) as session):
        start = [tf.get_variable(name, shape, dtype, tf.random_normal_initializer(seed=1),
                                 use_resource=True) for name in ("x", "dy")]
        session.run(tf.global_variables_initializer())
        for way in spent:
            x, dy = (variable.read_value() for variable in start)
            for _ in range(repeats):
                y = layers.lrn(x, way)
                x, dy = y, tf.gradients(y, x, dy)[0]
            calls[way] = session.make_callable(dy.op)
        for _ in range(1 + rounds):
            for way, call in calls.items():
                begin = time.perf_counter()
                call()
                spent[way].append((time.perf_counter() - begin) / repeats)
    return {way: seconds[1:] for way, seconds in spent.items()}


def choose_lrn(recipe, device):
    """The recipe with what its `lrn` 'auto' means on this machine.

    On a CPU the product is several times as fast (benchmarks/lrn.py). On a GPU both are timed, and
    TensorFlow's operation is taken where it is CLEARLY times as fast.

    Args:
      recipe: a `recipes.Recipe`.
      device: 'auto', 'cpu' or 'gpu', where it will be trained.

    Returns:
      A recipe with another `lrn`, or `recipe` itself if it says which or its network has none.

    Raises:
      console.Failure: the GPU cannot compute it.
    """
    if recipe.lrn != "auto" or "lrn" not in networks.options(recipe.network):
        return recipe
    chosen = "product"
    if device != "cpu" and tf.config.list_physical_devices("GPU"):
        dtype = tf.bfloat16 if recipe.precision == "bfloat16" else tf.float32
        with loop.explained():
            seconds = lrn_seconds("/gpu:0", dtype)
        product, native = (statistics.median(seconds[way]) for way in ("product", "native"))
        chosen = "native" if product > CLEARLY * native else "product"
        print(f"local response normalization: {1000 * product:.3f} ms as a matrix product, "
              f"{1000 * native:.3f} ms as TensorFlow's operation; taking the {chosen} one")
    return dataclasses.replace(recipe, lrn=chosen)
