"""Measure the parts of an epoch beside its training steps, the time of a start, and the memory.

    python benchmarks/epoch.py --data-dir D [--recipe lrn_cnn] [--rounds 5]

A round is one epoch of the training loop: batches, feeding, progress bar, summaries, checkpoints,
evaluation of the held-out images, and records. The feed prepares PREFETCH_BATCHES batches
together. After the steps of these batches, as many bare steps train on one constant batch, because
the machine's speed drifts from second to second by more than the measured difference. The
benchmark uses the median of the ratios of the two times, so the few steps with a summary do not
count. Summaries are timed separately. The time of a start lasts from the start of the process to
the end of the first step.
"""

import argparse
import dataclasses
import resource
import statistics
import time

import rivals

from tf1cifar import console, data, recipes
from tf1cifar.data import base, preparation
from tf1cifar.data.feed import PREFETCH_BATCHES


def timed(function, *arguments):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="folder of the data set")
    parser.add_argument("--recipe", choices=recipes.RECIPES, default="lrn_cnn",
                        help="recipe to train (default: lrn_cnn)")
    parser.add_argument("--rounds", type=int, default=5, help="number of epochs (default: 5)")
    return parser.parse_args(arguments)


def interleaved(trainer_class):
    """A subclass of `loop.Trainer` that times bare steps between its own."""
    class Interleaved(trainer_class):
        feeds = ()  # (count, arrays) of the bare steps

        def start_round(self):
            self.calls, self.started = 0, time.perf_counter()

        def run_steps(self, arrays):
            result = super().run_steps(arrays)
            if not self.feeds:
                return result
            self.calls += 1
            count, bare_arrays = self.feeds[0]
            if self.calls % len(self.feeds) == 0:
                spent = time.perf_counter() - self.started
                bare = timed(self._repeat, len(self.feeds), bare_arrays)
                if len(arrays[0]) == len(bare_arrays[0]):
                    self.ratios.append(spent / bare)  # the last feed of an epoch may be smaller
                self.bare_steps.append(bare / len(self.feeds) / count)
                self.started = time.perf_counter()
            return result

        def _repeat(self, number, arrays):
            for _ in range(number):
                super().run_steps(arrays)

    return Interleaved


def main():
    """Train some epochs, and print the share that each part of an epoch has."""
    started = time.perf_counter() - time.process_time()  # includes the imports above
    options = parse_arguments()
    recipe = recipes.RECIPES[options.recipe]
    dataset = data.load(recipe.dataset, options.data_dir)
    training, held_out = base.hold_out(dataset.train, recipe.held_out)
    with console.quiet_tensorflow():
        from tf1cifar.training import loop, precision
    shape = preparation.prepared_shape(training.images.shape[1:], recipe.preparation)
    chosen, line = precision.choose(recipe, shape, len(dataset.class_names), "cpu")
    recipe = dataclasses.replace(recipe, precision=chosen)
    print(line)
    trainer = rivals.open_trainer(options.recipe, recipe, dataset, training,
                                  interleaved(loop.Trainer))
    steps = trainer.feed.steps_per_epoch
    held_out = held_out._replace(images=trainer.feed.prepare(held_out.images))
    trainer.train_until(1)
    print(f"from the start of the process to the end of the first step: "
          f"{time.perf_counter() - started:.1f} s")
    trainer.train_until(steps)
    trainer.end_epoch(held_out, dataset.test)
    trainer.ratios, trainer.bare_steps = [], []
    trainer.feeds = list(trainer.feed.runs(0, min(PREFETCH_BATCHES, steps)))
    ends, summaries = [], []
    for _ in range(options.rounds):
        trainer.start_round()
        trainer.train_until(trainer.step + steps)
        ends.append(timed(trainer.end_epoch, held_out, dataset.test))
        summaries.append(timed(lambda: trainer.records.add_summary(
            trainer.session.run(trainer.model.summaries, trainer.batch_feed(0)), trainer.step)))

    if not trainer.ratios:
        raise SystemExit("epoch.py: an epoch is too short to compare its steps; use more images")
    step = statistics.median(trainer.bare_steps)
    spent = {"training steps": steps * step,
             "preparing and feeding batches, progress bar":
                 steps * step * (statistics.median(trainer.ratios) - 1),
             f"summaries of {1000 * statistics.median(summaries):.0f} ms, one every "
             f"{recipe.summary_every} steps":
                 steps / recipe.summary_every * statistics.median(summaries),
             "evaluation, checkpoint and records": statistics.median(ends)}
    epoch = sum(spent.values())
    print(f"{options.recipe} in {recipe.precision}, an epoch of {steps} steps of "
          f"{1000 * step:.2f} ms, {epoch:.1f} s:")
    for name, seconds in spent.items():
        print(f"    {100 * seconds / epoch:5.1f} %  {name}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 10 ** 9
    print(f"medians of {options.rounds} epochs, {len(trainer.ratios)} groups of steps; "
          f"peak memory {memory:.2f} GB")


if __name__ == "__main__":
    main()
