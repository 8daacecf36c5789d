"""The loop that trains every network.

    train    build the graph, start the run or resume it, train, test, export
    Trainer  the session in the middle of a run: training steps and the end of an epoch

The loop is written out instead of `tf.train.MonitoredTrainingSession` with hooks, since a resumed
run must end in the same bits as an undisturbed one: `feed` decides the batches, `checkpoints` and
`records` the files, and each acts at a step that the loop knows.
"""

import concurrent.futures
import contextlib
import pathlib
import time

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console, errors, graph
from tf1cifar.data import base, preparation
from tf1cifar.data.feed import Feed
from tf1cifar.training import alone, export, initialization, resume, tracing
from tf1cifar.training.checkpoints import Checkpoints
from tf1cifar.training.evaluation import averaged_weights, evaluate
from tf1cifar.training.records import Records, epoch_line
from tf1cifar.training.run_folder import METRICS
from tf1cifar.training.session import (
    device_name,
    initialize,
    tensorflow_errors_as_failures,
)

# The calls of session.run that --profile traces. The first ones are slower: they allocate memory.
PROFILED_RUNS = range(5, 8)
FINITE_CHECK_IMAGES = 32  # images whose loss must be finite before weights are saved


def train(recipe, dataset, folder, device="auto", profile=False, should_stop=lambda: 0,
          initial=None, tasks=alone.Alone()):  # noqa: B008 - it has no state
    """Train `recipe` on `dataset` in `folder` to its end, resuming where a run stopped.

    The best weights (without held-out images, the last ones) are tested in the end and exported.

    Args:
      recipe: a `recipes.Recipe`.
      dataset: a `base.Dataset`.
      folder: a `run_folder.RunFolder` with a recipe.json; None in a task that is not the chief.
      device: 'auto', 'cpu' or 'gpu'.
      profile: whether to trace PROFILED_RUNS to folder.profile.
      should_stop: function that returns 0, or the number of a signal: training then finishes the
        step, saves and raises `errors.Interrupted`.
      initial: the `initialization.Initial` weights of a new run; None for those of the network.
      tasks: the tasks that train together, see `alone`.

    Returns:
      The `Evaluation` of the test images; None in a task that is not the chief.

    Raises:
      errors.UserError: a GPU is required and there is none, or metrics.csv is damaged.
      OSError: a file of the run cannot be written, as on a full disk.
      errors.Failure: TensorFlow failed, or training diverged; the message says how.
      errors.Interrupted: `should_stop` returned a signal's number.
    """
    # Data
    training, held_out = base.hold_out(dataset.train, recipe.held_out)
    mean = tasks.array_of_chief(initialization.source_mean(folder) if tasks.chief else None,
                                training.images.shape[1:])
    feed = Feed(recipe, training, mean, tasks.part)
    if feed.mean is not None and tasks.chief:
        preparation.write_mean_image(folder.mean_image_file, feed.mean)
    held_out = held_out._replace(images=feed.prepare(held_out.images))  # once for all epochs

    def build():
        return graph.build(recipe, feed.image_shape, len(dataset.class_names),
                           len(training.labels))

    with tf.Graph().as_default(), tensorflow_errors_as_failures(), tasks.named_failures():
        # Graph
        model = build()
        with tasks.session(device) as session:
            console.say(f"{recipe.network}, {graph.parameters():,} parameters, on "
                        f"{device_name(session)} in {recipe.precision}")

            # Start or resume
            trainer = Trainer(recipe, folder, model, session, feed, should_stop, profile, tasks)
            if tasks.chief:
                initialization.begin(trainer, initial, dataset.test)
            trainer.join()

            # Train
            with contextlib.closing(trainer.records):
                while True:
                    at_end = trainer.step and feed.ends_epoch(trainer.step)
                    if at_end and not tasks.of_chief(trainer.records.has(trainer.step)):
                        trainer.end_epoch(held_out, dataset.test)
                    if trainer.step >= feed.total_steps or (
                            at_end and tasks.of_chief(
                                trainer.records.stops_early(recipe.early_stopping))):
                        break
                    trainer.train_until(feed.epoch_end(trainer.step))

                # Test and export
                if not tasks.chief:
                    return None
                with tasks.undivided(trainer, build):
                    checkpoint_step, path = trainer.checkpoints.restore_final(trainer.session)
                    trainer.session.run(trainer.model.use_averages)
                    result = trainer.evaluate(dataset.test, feed.prepare)
                    trainer.records.add_result(result, checkpoint_step, dataset, feed.prepare)
                    export.saved_model(trainer.session, folder.saved_model)
            folder.write_result({
                "trained_steps": trainer.step,
                "early_stopping": trainer.records.stops_early(recipe.early_stopping),
                "checkpoint": pathlib.Path(path).name, "checkpoint_step": checkpoint_step,
                "test_accuracy": result.accuracy, "test_correct": result.correct,
                "test_images": len(dataset.test.labels), "parameters": graph.parameters()})
            return result


class Trainer:
    """A session in the middle of a training run, restored from the latest checkpoint if any.

    Args:
      recipe, folder, should_stop, profile: as for `train`.
      model: a `graph.Model` in the default graph.
      session: a session on that graph.
      feed: the `Feed` of the recipe.

    Attributes:
      step: number of training steps done.
      checkpoints, records: the run's `Checkpoints` and `Records`.
    """

    def __init__(self, recipe, folder, model, session, feed, should_stop=lambda: 0, profile=False,
                 tasks=alone.Alone()):  # noqa: B008
        self.recipe, self.folder, self.model, self.session = recipe, folder, model, session
        self.feed, self.should_stop, self.profile, self.tasks = feed, should_stop, profile, tasks
        self.seconds, self.images = 0.0, 0  # of the training steps of this epoch in this process
        self.session_runs, self.first_loss, self.last_loss = 0, np.nan, np.nan
        self.checkpoints = self.records = alone.Nothing()
        step = None
        if tasks.chief:
            self.checkpoints = Checkpoints(folder.checkpoints, recipe.max_to_keep)
            self.checkpoints.attach()
            step = self.checkpoints.restore_latest(session, required=bool(folder.read_metrics()))
        if step is None:
            initialize(session, feed)
        self.step = step or 0
        if model.resident:
            session.run(tf.local_variables_initializer())
            for start, images, labels in feed.resident_parts():
                session.run(model.resident.load_images, {
                    model.resident.offset: start, model.images: images, model.labels: labels})
        if tasks.chief:
            self.records = Records(folder, self.step, resume.title(folder), recipe,
                                   feed.total_steps)

    def join(self):
        """Bring all tasks to the chief's state."""
        self.model = self.tasks.start(self.session, self.model)
        self.step = int(self.session.run(self.model.global_step))

    def train_until(self, end):
        """Train up to step `end`, at most to the end of the epoch."""
        recipe, feed = self.recipe, self.feed
        if self.step % feed.steps_per_epoch == 0:
            self.session.run(self.model.start_epoch)
            self.seconds, self.images = 0.0, 0
        if not self.step and self.tasks.chief:
            self.first_loss = self.session.run(self.model.loss, self.batch_feed(0))
            self.records.add_filters(self.session, feed.image_shape, 0)
        first, start = self.step, time.monotonic() - self.seconds
        with (contextlib.closing(feed.runs(self.step, end)) as runs,
              console.progress(end - first, f"epoch {first // feed.steps_per_epoch + 1}") as bar):
            for count, arrays in runs:
                every = recipe.summary_every
                if every and self.step % every == 0 and self.tasks.chief:
                    self.records.add_summary(self.session.run(
                        self.model.summaries, self.batch_feed(self.step)), self.step + 1)
                loss, accuracy, losses, signal = self.run_steps(arrays)
                if not np.isfinite(loss):
                    raise self._diverged(loss)
                self.records.add_losses(self.step, losses)
                self.images += feed.images_seen(self.step, count)
                self.step, self.last_loss = self.step + count, loss
                self.seconds = time.monotonic() - start
                every = recipe.checkpoint_every
                if every and self.step % every == 0 and self.step < end or signal:
                    self.save()
                if signal:
                    raise self._stopped(signal)
                bar.update(self.step - first, f"loss {loss:.3f}  accuracy {accuracy:.2f}  "
                           f"{self.images / self.seconds:,.0f} images/s",
                           remaining=feed.total_steps - end)

    def run_steps(self, arrays):
        """Train on `arrays`, which `Feed.runs` gave.

        Returns:
          (mean loss, mean accuracy, all losses, 0 or the signal that ends the training).
        """
        self.session_runs += 1
        trace_file = None
        if self.profile and self.tasks.chief and self.session_runs in PROFILED_RUNS:
            trace_file = self.folder.profile / f"step-{self.step}.json"
        losses, accuracy, *others = tracing.run(self.session, self.model.step_fetches, {
            **dict(zip(self.model.step_inputs, arrays)), **self.tasks.feed(self.should_stop)},
            trace_file)
        loss = np.mean(losses)
        return (loss, accuracy, np.atleast_1d(losses),
                self.tasks.stopped_by(loss, others, self.should_stop))

    def batch_feed(self, step):
        """The `feed_dict` of the batch of a training step."""
        images, labels = self.feed.batch(step)
        return {self.model.images: images, self.model.labels: labels, self.model.is_training: True}

    def end_epoch(self, held_out, test):
        """Save, evaluate and record the epoch that ends at this step.

        Args:
          held_out: the `base.Split` of the held-out images, prepared already; may be empty.
          test: the `base.Split` of the test images.
        """
        loss, accuracy, rate = self.session.run(
            [self.model.epoch_loss, self.model.epoch_accuracy, self.model.learning_rate])
        self.records.add_filters(self.session, self.feed.image_shape, self.step)
        row = {**dict.fromkeys(METRICS), "epoch": self.step / self.feed.steps_per_epoch,
               "step": self.step, "learning_rate": rate, "training_loss": loss,
               "training_accuracy": accuracy}
        # Evaluation runs while the checkpoint is written, which needs one core at most.
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            saved = thread.submit(self.save)
            try:
                if self.recipe.moving_average:
                    saved.result()  # the weights must be saved before the averages replace them
                with averaged_weights(self.session, self.model):
                    if len(held_out.labels):
                        loss, accuracy = self.evaluate_together(held_out, np.asarray)
                        row.update(held_out_loss=loss, held_out_accuracy=accuracy)
                        if self.records.is_best(accuracy):
                            saved.result()
                            self.checkpoints.save_best(
                                self.session, self.step,
                                same_as_latest=not self.recipe.moving_average)
                    if self.recipe.test_every_epoch:
                        row["test_accuracy"] = self.evaluate_together(test, self.feed.prepare)[1]
            finally:
                saved.result()  # "stopped and saved" must not be printed before it is complete
        self.records.add(row)
        console.say(epoch_line(row, self.feed.total_steps, self.images, self.seconds))
        self.records.warn_of_loss(self.first_loss, self.recipe)

    def evaluate(self, split, prepare):
        """`evaluation.evaluate`, which a signal stops between two batches."""
        def prepare_or_stop(images):
            if signal := self.should_stop():
                raise self._stopped(signal)
            return prepare(images)

        return evaluate(self.session, split, prepare_or_stop)

    def evaluate_together(self, split, prepare):
        """(loss, accuracy) of a split, of which every task evaluates a part."""
        loss, accuracy, signal = self.tasks.evaluate(self, split, prepare)
        if signal:
            raise self._stopped(signal)
        return loss, accuracy

    def save(self):
        """Save a checkpoint of this step, if its loss on some images of its batch is finite."""
        if not self.tasks.chief:
            return
        self.folder.require_present()
        batch = self.batch_feed(self.step - 1)
        for tensor in (self.model.images, self.model.labels):
            batch[tensor] = batch[tensor][:FINITE_CHECK_IMAGES]
        loss = self.session.run(self.model.loss, batch)
        if not np.isfinite(loss):
            raise self._diverged(loss)
        self.records.add_time(self.step, self.images, self.seconds)
        with self.session.graph.as_default():  # each thread has its own default graph
            self.checkpoints.save(self.session, self.step)

    def _stopped(self, signal):
        return errors.Interrupted(f"stopped and saved at step {self.step}; the same command "
                                  "goes on from there", signal)

    def _diverged(self, loss):
        return errors.Failure(
            f"diverged: after step {self.step} the loss is {loss}, the last finite one was "
            f"{self.last_loss:.4g}. The checkpoints saved before are good; try a lower "
            "--learning-rate with --overwrite")
