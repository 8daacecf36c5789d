"""Time both implementations of local response normalization on every device of this machine.

    python benchmarks/lrn.py [--rounds 7]

A call computes the normalization and its gradient for a batch of the size of `lrn_cnn`'s second
layer, in float32 and in bfloat16. "product" is this project's matrix product, "native" is
TensorFlow's operation. TensorFlow's operation computes in float32, so its time in bfloat16 includes
the casts.
"""

import argparse
import statistics

from tf1cifar import console

SHAPE, REPEATS = (250, 12, 12, 64), 20


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: 7)")
    return parser.parse_args(arguments)


def main():
    """Time both implementations, and print a line for each device and dtype."""
    options = parse_arguments()
    with console.quiet_tensorflow() as tf:
        from tf1cifar.training import lrn_timing
    for device in tf.config.list_physical_devices():
        name = device.name.replace("physical_device", "device")
        for dtype in (tf.float32, tf.bfloat16):
            seconds = lrn_timing.lrn_seconds(name, dtype, SHAPE, options.rounds, REPEATS)
            product, native = (1000 * statistics.median(seconds[method])
                               for method in ("product", "native"))
            ratio = statistics.median(
                n / p for n, p in zip(seconds["native"], seconds["product"]))
            print(f"{device.device_type} {dtype.name:8}  product {product:.3f} ms, native "
                  f"{native:.3f} ms, native / product {ratio:.2f}")


if __name__ == "__main__":
    main()
