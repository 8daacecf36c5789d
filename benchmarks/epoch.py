"""What an epoch takes beside its training steps, what a start takes, and the memory of both.

    python benchmarks/epoch.py --data-dir D [--recipe lrn_cnn] [--rounds 5]

A round is one epoch of the loop as it is (batches, feeding, progress, summaries, checkpoints,
held-out images, records). The `session.run`s of the batches that were prepared in one go are
followed by as many bare ones, on one batch that never changes and with nothing else to do, because
the machine's speed drifts from second to second by more than what is measured; what is told is the
median of their ratios. So the few with a summary for TensorBoard do not count, and a summary is
timed by itself. The start is that of the process, up to the end of its first step.
"""

import argparse
import pathlib
import resource
import statistics
import sys
import time

import numpy as np

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
    recipe = cnn_train.resolved(recipes.RECIPES[options.recipe], "cpu")
    import cifar_tools
    import datasets
    dataset = datasets.load(recipe.dataset, options.data_dir)
    training, held_out = cifar_tools.hold_out(dataset.train, recipe.held_out)
    steps = recipe.steps_per_epoch(len(training.labels))
    run = rivals.open_run(options.recipe, recipe, dataset, training)
    held_out = held_out._replace(images=run.prepare(held_out.images))
    run.train_until(1, steps)
    print(f"from the start to the end of the first step: "
          f"{time.perf_counter() - started:.1f} s")
    run.train_until(steps, steps)
    run.end_epoch(held_out, dataset.test, steps, steps * 99)
    (count, feed), *_ = coming = run._coming(0, steps)
    run_steps, calls, ratios, bare_steps = run._run_steps, 0, [], []

    def run_steps_then_bare(feed_of_steps):
        nonlocal calls, started
        result = run_steps(feed_of_steps)
        calls += 1
        if calls % len(coming) == 0:
            spent = time.perf_counter() - started
            bare = timed(repeat, len(coming), run_steps, feed)
            if all(np.shape(feed_of_steps[key]) == np.shape(feed[key]) for key in feed):
                ratios.append(spent / bare)  # else it was of fewer steps, at the end of an epoch
            bare_steps.append(bare / len(coming) / count)
            started = time.perf_counter()
        return result

    run._run_steps = run_steps_then_bare
    ends, summaries = [], []
    for _ in range(options.rounds):
        calls, started = 0, time.perf_counter()
        run.train_until(run.step + steps, steps)
        ends.append(timed(run.end_epoch, held_out, dataset.test, steps, steps * 99))
        summaries.append(timed(lambda: run.log.add_summary(
            run.session.run(run.model.summaries, run._batch(0)), run.step)))

    step = statistics.median(bare_steps)
    spent = {"its steps": steps * step,
             "preparing, feeding and telling between them":
                 steps * step * (statistics.median(ratios) - 1),
             f"summaries, {1000 * statistics.median(summaries):.0f} ms every "
             f"{recipe.summary_every} steps":
                 steps / recipe.summary_every * statistics.median(summaries),
             "evaluating, saving and recording at its end": statistics.median(ends)}
    epoch = sum(spent.values())
    print(f"{options.recipe} in {recipe.precision}, an epoch of {steps} steps of "
          f"{1000 * step:.2f} ms, {epoch:.1f} s:")
    for name, seconds in spent.items():
        print(f"    {100 * seconds / epoch:5.1f} %  {name}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 10 ** 9
    print(f"medians of {options.rounds} epochs, {len(ratios)} stretches of steps; "
          f"peak memory {memory:.2f} GB")


if __name__ == "__main__":
    main()
