"""What TensorBoard's summaries cost: training steps with them against steps without.

    python benchmarks/summaries.py [--recipe lrn_cnn] [--rounds 7]

A round is as many steps as lie between two summaries, once with one of them and once with
none, in turn; images are random, since only their number matters.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import console
import recipes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=recipes.RECIPES, default="lrn_cnn")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    recipe = recipes.RECIPES[options.recipe]
    with console.quiet_tensorflow() as tf:
        import numpy as np

        import cifar_tools
        import cnn_graph
    shape = cifar_tools.prepared_shape((32, 32, 3), recipe.preparation)
    rng = np.random.default_rng(0)
    seconds = {True: [], False: []}
    with (tf.Graph().as_default(), tf.Session() as session,
          tempfile.TemporaryDirectory() as folder):
        model = cnn_graph.build(recipe, shape, 10, 45_000)
        writer = tf.summary.FileWriter(folder)
        feed = {model.images: rng.standard_normal((recipe.batch_size, *shape), np.float32),
                model.labels: rng.integers(0, 10, recipe.batch_size), model.is_training: True}
        session.run(tf.global_variables_initializer())
        step = [model.train_op, model.loss, model.accuracy]
        for _ in range(options.rounds + 1):
            for summarized, spent in seconds.items():
                start = time.perf_counter()
                if summarized:
                    writer.add_summary(session.run([*step, model.summaries], feed)[-1])
                for _ in range(recipe.summary_every - summarized):
                    session.run(step, feed)
                spent.append(time.perf_counter() - start)
        writer.close()
    ratios = [a / b for a, b in zip(seconds[True][1:], seconds[False][1:])]
    print(f"{options.recipe}, a summary every {recipe.summary_every} steps: "
          f"{100 * (statistics.median(ratios) - 1):.1f} % more time (median of {options.rounds}; "
          f"{100 * (min(ratios) - 1):.1f} to {100 * (max(ratios) - 1):.1f})")


if __name__ == "__main__":
    main()
