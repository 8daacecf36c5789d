"""Time both implementations of local response normalization on every device of this machine.

    python benchmarks/lrn.py [--rounds 7]

A call computes the normalization and its gradient for a batch of the size of `lrn_cnn`'s second
layer, in float32 and in bfloat16. "product" is this project's matrix product, "native" is
TensorFlow's operation. TensorFlow's operation computes in float32, so its time in bfloat16 includes
the casts.
"""

import argparse
import statistics
import time

from tf1cifar import console

SHAPE, REPEATS = (250, 12, 12, 64), 20


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: 7)")
    return parser.parse_args(arguments)


def lrn_seconds(tf, device, dtype, rounds, shape=SHAPE, repeats=REPEATS):
    """Time `layers.lrn` with its gradient, alternately as a product and as TensorFlow's operation.

    The gradient of one normalization is fed to the next, `repeats` in one `session.run`.

    Args:
      tf: the module `tensorflow.compat.v1`.
      device: name of a TensorFlow device.
      dtype: dtype of the input.
      rounds: number of times that each method is timed, after one that does not count.
      shape: (batch, height, width, channels).
      repeats: number of normalizations in a round.

    Returns:
      {'product': seconds of a normalization in each round, 'native': the same}.
    """
    from tf1cifar.networks import layers
    from tf1cifar.training.session import session_config
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


def main():
    """Time both implementations, and print a line for each device and dtype."""
    options = parse_arguments()
    with console.quiet_tensorflow() as tf:
        pass
    for device in tf.config.list_physical_devices():
        name = device.name.replace("physical_device", "device")
        for dtype in (tf.float32, tf.bfloat16):
            seconds = lrn_seconds(tf, name, dtype, options.rounds)
            product, native = (1000 * statistics.median(seconds[method])
                               for method in ("product", "native"))
            ratio = statistics.median(
                n / p for n, p in zip(seconds["native"], seconds["product"]))
            print(f"{device.device_type} {dtype.name:8}  product {product:.3f} ms, native "
                  f"{native:.3f} ms, native / product {ratio:.2f}")


if __name__ == "__main__":
    main()
