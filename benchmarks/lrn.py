"""Local response normalization with its gradient: ours and `tf.nn.lrn`, on every device here.

    python benchmarks/lrn.py [--rounds 7]

Images of `lrn_cnn`'s second layer. The gradient of one normalization is fed to the next, twenty
in one `session.run`; they take turns, and ratios are taken within a round.
"""

import argparse
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import rivals

import console

SHAPE, REPEATS = (250, 12, 12, 64), 20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with console.quiet_tensorflow() as tf:
        from networks import layers
        from training import loop
    settings = rivals.RADIUS, rivals.BIAS, rivals.ALPHA, rivals.BETA

    def chain(lrn, dtype, session):
        x, dy = (tf.get_variable(name, SHAPE, dtype, tf.random_normal_initializer(),
                                 use_resource=True).read_value() for name in ("x", "dy"))
        session.run(tf.global_variables_initializer())
        for _ in range(REPEATS):
            y = lrn(x, *settings)
            x, dy = y, tf.gradients(y, x, dy)[0]
        return session.make_callable(dy.op)

    ways = {"ours, float32": (layers.lrn, tf.float32), "ours, bfloat16": (layers.lrn, tf.bfloat16),
            "tf.nn.lrn, float32": (tf.nn.lrn, tf.float32)}
    for device in tf.config.list_logical_devices():
        calls, spent = {}, {name: [] for name in ways}
        for name, (lrn, dtype) in ways.items():
            with tf.Graph().as_default(), tf.device(device.name):
                calls[name] = chain(lrn, dtype, tf.Session(config=loop.session_config("auto")))
                calls[name]()
        for number in range(options.rounds):
            names = list(ways)[number % len(ways):] + list(ways)[:number % len(ways)]
            for name in names:
                start = time.perf_counter()
                calls[name]()
                spent[name].append((time.perf_counter() - start) / REPEATS)
        native = spent["tf.nn.lrn, float32"]
        for name, seconds in spent.items():
            ratio = statistics.median(a / b for a, b in zip(native, seconds))
            print(f"{device.device_type} {name:18} {1000 * statistics.median(seconds):8.3f} ms, "
                  f"{ratio:.2f} times as fast as tf.nn.lrn")


if __name__ == "__main__":
    main()
