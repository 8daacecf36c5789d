"""What an epoch takes beside its training steps, what a start takes, and the memory of both.

    python benchmarks/epoch.py --data-dir D [--recipe lrn_cnn] [--rounds 5]

A round is one epoch of the loop as it is (batches, feeding, progress, summaries, checkpoints,
held-out images, records) and in turn as many bare `session.run` of the same training step on one
batch that never changes. A summary of a training batch for TensorBoard is timed by itself. The
start is that of the process, up to the end of its first step.
"""

import argparse
import pathlib
import resource
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import rivals

import cnn_train
import recipes


def main():
    started = time.perf_counter() - time.process_time()  # what the imports above took
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--recipe", choices=recipes.RECIPES, default="lrn_cnn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    recipe = cnn_train.with_precision(recipes.RECIPES[options.recipe], "cpu")
    import cifar_tools
    import datasets
    dataset = datasets.load(recipe.dataset, options.data_dir)
    training, held_out = cifar_tools.hold_out(dataset.train, recipe.held_out)
    steps = recipe.steps_per_epoch(len(training.labels))
    spent = {"training": [], "end": [], "steps": [], "summary": []}
    run = rivals.open_run(options.recipe, recipe, dataset, training)
    run.train_until(1, steps)
    print(f"from the start to the end of the first step: "
          f"{time.perf_counter() - started:.1f} s")
    run.train_until(steps, steps)
    run.end_epoch(held_out, dataset.test, steps, steps * 99)
    for _ in range(options.rounds):
        start = time.perf_counter()
        run.train_until(run.step + steps, steps)
        end = time.perf_counter()
        run.end_epoch(held_out, dataset.test, steps, steps * 99)
        spent["training"].append(end - start)
        spent["end"].append(time.perf_counter() - end)
        count, feed = run._coming(0, steps)
        start = time.perf_counter()
        for _ in range(steps // count):
            run._run_steps(feed)
        spent["steps"].append((time.perf_counter() - start) * steps / (
            steps // count * count))
        start = time.perf_counter()
        run.log.add_summary(run.session.run(run.model.summaries, run._batch(0)), run.step)
        spent["summary"].append(time.perf_counter() - start)
    epochs = [training + end for training, end in zip(spent["training"], spent["end"])]
    at_end = [end / epoch for end, epoch in zip(spent["end"], epochs)]
    between = [(training - bare) / epoch for training, bare, epoch
               in zip(spent["training"], spent["steps"], epochs)]

    def percent(shares):
        return (f"{100 * statistics.median(shares):.1f} % ({100 * min(shares):.1f} to "
                f"{100 * max(shares):.1f})")

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.recipe} in {recipe.precision}: an epoch takes "
          f"{statistics.median(epochs):.1f} s; evaluating, saving and recording at its end "
          f"{percent(at_end)} of it, preparing, feeding and telling between its steps "
          f"{percent(between)}; medians of {options.rounds}; peak memory {memory:.0f} MB")
    summary, step = statistics.median(spent["summary"]), statistics.median(spent["steps"]) / steps
    print(f"a summary takes {1000 * summary:.0f} ms, a step {1000 * step:.1f} ms: at one every "
          f"{recipe.summary_every} steps {100 * summary / step / recipe.summary_every:.1f} %")


if __name__ == "__main__":
    main()
