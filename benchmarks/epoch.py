"""What an epoch takes beside its training steps, what a start takes, and the memory of both.

    python benchmarks/epoch.py --data-dir D [--recipe lrn_cnn] [--rounds 5]

A round is one epoch of the loop as it is (batches, feeding, progress, summaries, checkpoints,
held-out images, records). Each fifth of its training is followed by as many bare `session.run` of
the training step on one batch that never changes, because the machine's speed drifts from second
to second by more than what is measured. A summary of a training batch for TensorBoard is timed by
itself. The start is that of the process, up to the end of its first step.
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


def timed(function, *arguments):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def repeat(number, function, *arguments):
    for _ in range(number):
        function(*arguments)


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
    run = rivals.open_run(options.recipe, recipe, dataset, training)
    run.train_until(1, steps)
    print(f"from the start to the end of the first step: "
          f"{time.perf_counter() - started:.1f} s")
    run.train_until(steps, steps)
    run.end_epoch(held_out, dataset.test, steps, steps * 99)
    count, feed = run._coming(0, steps)[0]
    parts = 1 if run.model.several else 5
    epochs, between, at_end, bare_steps, summaries = [], [], [], [], []
    for _ in range(options.rounds):
        before, training_time, bare_time = run.step, 0.0, 0.0
        for part in range(parts):
            end = before + steps * (part + 1) // parts
            number, calls = end - run.step, max(1, round((end - run.step) / count))
            training_time += timed(run.train_until, end, steps)
            bare_time += timed(repeat, calls, run._run_steps, feed) * number / (calls * count)
        end_time = timed(run.end_epoch, held_out, dataset.test, steps, steps * 99)
        epochs.append(training_time + end_time)
        between.append((training_time - bare_time) / epochs[-1])
        at_end.append(end_time / epochs[-1])
        bare_steps.append(bare_time / steps)
        summaries.append(timed(lambda: run.log.add_summary(
            run.session.run(run.model.summaries, run._batch(0)), run.step)))

    def percent(shares):
        return (f"{100 * statistics.median(shares):.1f} % ({100 * min(shares):.1f} to "
                f"{100 * max(shares):.1f})")

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.recipe} in {recipe.precision}: an epoch takes "
          f"{statistics.median(epochs):.1f} s; evaluating, saving and recording at its end "
          f"{percent(at_end)} of it, preparing, feeding and telling between its steps "
          f"{percent(between)}; medians of {options.rounds}; peak memory {memory:.0f} MB")
    summary, step = statistics.median(summaries), statistics.median(bare_steps)
    print(f"a summary takes {1000 * summary:.0f} ms, a step {1000 * step:.1f} ms: at one every "
          f"{recipe.summary_every} steps {100 * summary / step / recipe.summary_every:.1f} %")


if __name__ == "__main__":
    main()
