"""The one loop that trains every network, and the evaluation beside it.

    train           build the graph, start the run or take it up, train, test, export
    evaluate        run a data set through a graph by its tensors' names
    session_config  how sessions use processors and GPUs
    explained       TensorFlow's errors as one line
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import sys
import threading
import time
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.client import timeline  # the one way to a trace that a browser shows

import cifar_tools
import cnn_graph
import console
from training import export, records, run_folder

# Which calls of session.run --profile traces; the first ones are slower, they allocate memory.
PROFILED_RUNS = range(5, 8)

AHEAD = 8  # batches that are prepared in one go
BATCHES_AT_ONCE = 3  # in evaluation
CHECKED = 32  # images whose loss must be finite for weights to be saved


def train(recipe, dataset, folder, device="auto", profile=False):
    """Train `recipe` on `dataset` in `folder` until it is done, going on where a run stopped.

    Every epoch ends with a checkpoint, an evaluation of the held-out images, a line of
    records and, if it is the best so far, a checkpoint called best. At the end the best (without
    held-out images, the last) is tested and exported as a SavedModel.

    Args:
      recipe: a `recipes.Recipe`.
      dataset: a `cifar_tools.Dataset`.
      folder: a `run_folder.RunFolder` whose recipe.json is written.
      device: 'auto', 'cpu' or 'gpu'.
      profile: whether to trace PROFILED_RUNS, to folder.profile.

    Returns:
      The `Evaluation` of the test images.

    Raises:
      console.UserError: a GPU is asked for and there is none.
      console.Failure: TensorFlow could not do it; the message says what.
    """
    training, held_out = cifar_tools.hold_out(dataset.train, recipe.held_out)
    epoch_steps = recipe.steps_per_epoch(len(training.labels))
    total_steps = recipe.total_steps(len(training.labels))
    image_shape = cifar_tools.prepared_shape(training.images.shape[1:], recipe.preparation)
    if recipe.preparation == "minus_mean":
        folder.write_mean_image(cifar_tools.mean_image(training.images))
    prepare = folder.prepare(recipe)
    held_out = held_out._replace(images=prepare(held_out.images))
    with tf.Graph().as_default(), explained(), caught_signals() as signals:
        model = cnn_graph.build(recipe, image_shape, len(dataset.class_names),
                                len(training.labels))
        with tf.Session(config=session_config(device, model)) as session:
            print(f"{recipe.network}, {cnn_graph.parameters():,} parameters, on "
                  f"{device_name(session)} in {recipe.precision}")
            run = _Run(recipe, folder, model, session, training, prepare, signals, profile)
            if run.step:
                print(f"resuming from step {run.step} of {total_steps} in {folder.path}")
            try:
                while True:
                    at_end = run.step % epoch_steps == 0 or run.step == total_steps
                    if at_end and run.step and not run.log.has(run.step):
                        run.end_epoch(held_out, dataset.test, epoch_steps, total_steps)
                    if run.step >= total_steps or at_end and run.stops_early():
                        break
                    epoch_end = (run.step // epoch_steps + 1) * epoch_steps
                    run.train_until(min(epoch_end, total_steps), epoch_steps)
            finally:
                run.log.close()
            return run.finish(dataset.test)


class _Run:
    """A session in the middle of a training run.

    Attributes:
      step: training steps done.
      log: the `records.Records`.
      seconds, images: time spent on training steps of this epoch by this process, and how
        many images they saw.
      training: the `cifar_tools.Split` to train on, what can be prepared once done.
      meta_graph: the graph as every checkpoint's .meta has it, bytes.
      profile, runs: whether to trace some calls of session.run, and how many there were.
      last_loss: that of the last training steps, which was finite.
    """

    def __init__(self, recipe, folder, model, session, training, prepare, signals,
                 profile=False):
        self.recipe, self.folder, self.model, self.session = recipe, folder, model, session
        self.training, self.prepare, self.signals = training, prepare, signals
        self.saver = tf.train.Saver(max_to_keep=recipe.max_to_keep)
        self.best_saver = tf.train.Saver(max_to_keep=0)  # keeps all; _save_best removes them
        self.meta_graph = self.saver.export_meta_graph().SerializeToString()
        self.step, self.seconds, self.images = self._restore_latest(), 0.0, 0
        self.profile, self.runs, self.last_loss = profile, 0, np.nan
        if model.several:
            self._put_in_memory()
        else:
            self.training = training._replace(images=cifar_tools.prepare_once(
                training.images, recipe.preparation, recipe.augment))
        name, _, data = folder.read_description()
        self.log = records.Records(folder, self.step, f"{name} on {data['name']}")

    def _restore_latest(self):
        """Restore the latest checkpoint that can be read, or start; the step it is of.

        Raises:
          console.Failure: there are checkpoints, and none can be read.
        """
        saved = self.folder.saved()
        damaged = []
        for step, path in reversed(saved):
            try:
                restore_variables(self.session, self.saver, path)
            except console.Failure as failure:
                damaged.append(path)
                print(f"{failure}; taking the checkpoint before it", file=sys.stderr)
                continue
            good = [path for _, path in saved if path not in damaged]
            best = [path for _, path in self.folder.saved("best")]
            keep = self.recipe.max_to_keep
            for path in good[:-keep] + best[:-1]:  # a process died before it removed them
                tf.train.remove_checkpoint(path)
            self.saver.recover_last_checkpoints(good[-keep:])  # what to remove some day
            return step
        if saved or self.folder.read_metrics():
            raise console.Failure(f"{self.folder.checkpoints}: no checkpoint can be restored; "
                                  "--overwrite starts the run anew")
        self.session.run(tf.global_variables_initializer())
        return 0

    def _put_in_memory(self):
        """Give the graph the training images, where it trains on them by their numbers."""
        self.session.run(tf.local_variables_initializer())
        for start in range(0, len(self.training.labels), 1000):
            part = slice(start, start + 1000)
            self.session.run(self.model.several.put, {
                self.model.several.first: start,
                self.model.images: self.prepare(self.training.images[part]),
                self.model.labels: self.training.labels[part]})

    def train_until(self, end, epoch_steps):
        """Train up to step `end`, at most to the end of the epoch.

        While steps run, a thread prepares the batches of the next ones; which these are
        depends on the step alone, so nothing is lost when the run stops here.
        """
        recipe = self.recipe
        first = self.step // epoch_steps * epoch_steps
        if self.step == first:
            self.session.run(self.model.start_epoch)
            self.seconds, self.images = 0.0, 0
        start = time.monotonic() - self.seconds
        with (concurrent.futures.ThreadPoolExecutor(1, initializer=step_back) as thread,
              console.progress(epoch_steps, f"epoch {first // epoch_steps + 1}") as bar):
            coming, runs = thread.submit(self._coming, self.step, end), []
            while self.step < end:
                if not runs:
                    runs = coming.result()
                    after = self.step + sum(count for count, _ in runs)
                    if after < end:
                        coming = thread.submit(self._coming, after, end)
                count, feed = runs.pop(0)
                if recipe.summary_every and self.step % recipe.summary_every == 0:
                    self.log.add_summary(self.session.run(
                        self.model.summaries, self._batch(self.step)), self.step + 1)
                loss, accuracy = self._run_steps(feed)
                if not np.isfinite(loss):
                    raise self._diverged(loss)
                self.images += min(count * recipe.batch_size, len(self.training.labels) - (
                    self.step - first) * recipe.batch_size)  # an epoch's last batch may be smaller
                self.step, self.last_loss = self.step + count, loss
                self.seconds = time.monotonic() - start
                every, asked_to_stop = recipe.checkpoint_every, bool(self.signals)
                if every and self.step % every == 0 and self.step < end or asked_to_stop:
                    self._save_latest()
                if asked_to_stop:
                    self._stop_if_asked()
                bar.update(self.step - first, f"loss {loss:.3f}  accuracy {accuracy:.2f}  "
                           f"{self.images / self.seconds:,.0f} images/s")

    def _batch(self, step):
        """The `feed_dict` of a training step."""
        recipe, model = self.recipe, self.model
        images, labels = cifar_tools.training_batch(
            self.training, step, batch_size=recipe.batch_size, order=recipe.order,
            augment=recipe.augment, prepare=self.prepare, seed=recipe.seed,
            margin=(self.training.images.shape[1] - model.images.shape[1]) // 2)
        return {model.images: images, model.labels: labels, model.is_training: True}

    def _coming(self, step, end):
        """[(number of steps, `feed_dict`)] of the session.runs that train AHEAD steps from `step`.

        Several batches in a row take half the time of one here and there: between them, a
        training step has filled the processor's caches with other things.
        """
        runs, last = [], min(step + AHEAD, end)
        while step < last:
            count = self._steps_of_run(step, end)
            runs.append((count, self._feed(step, count)))
            step += count
        return runs

    def _feed(self, step, count):
        """The `feed_dict` of a session.run that trains `count` steps from `step` on."""
        recipe = self.recipe
        if not self.model.several:
            return self._batch(step)
        return {self.model.several.chosen: np.stack([cifar_tools.batch_indices(
            len(self.training.labels), step + number, batch_size=recipe.batch_size,
            order=recipe.order, seed=recipe.seed) for number in range(count)])}

    def _steps_of_run(self, step, end):
        """How many steps from `step` on one session.run takes.

        It stops where something is to be done between steps, and before an epoch's last
        batch if that is smaller than the others.
        """
        recipe, images = self.recipe, len(self.training.labels)
        count = min(recipe.steps_per_run if self.model.several else 1, end - step)
        for every in (recipe.checkpoint_every, recipe.summary_every):
            if every:
                count = min(count, every - step % every)
        to_last = recipe.steps_per_epoch(images) - 1 - step % recipe.steps_per_epoch(images)
        return min(count, to_last) if images % recipe.batch_size and to_last else count

    def _run_steps(self, feed):
        """Train; (loss, accuracy), means over the steps."""
        model, options, metadata = self.model, None, None
        fetched = ([model.several.loss, model.several.accuracy] if model.several else
                   [model.loss, model.accuracy, model.train_op])
        self.runs += 1
        profiled = self.profile and self.runs in PROFILED_RUNS
        if profiled:
            options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            metadata = tf.RunMetadata()
        loss, accuracy, *_ = self.session.run(fetched, feed, options, metadata)
        if profiled:
            trace = timeline.Timeline(metadata.step_stats).generate_chrome_trace_format()
            self.folder.profile.mkdir(exist_ok=True)
            with run_folder.replacing(self.folder.profile / f"step-{self.step}.json") as out:
                out.write(trace)
        return loss, accuracy

    def _stop_if_asked(self):
        """Raise a `console.Interrupted` if a signal came; this step must have been saved."""
        if self.signals:
            raise console.Interrupted(f"stopped and saved at step {self.step}; the same command "
                                      "goes on from there", self.signals[0])

    def _evaluate(self, split, prepare):
        """`evaluate`, which may take longer than whoever sent a signal wants to wait."""
        def prepare_or_stop(images):
            self._stop_if_asked()
            return prepare(images)

        return evaluate(self.session, split, prepare_or_stop)

    def end_epoch(self, held_out, test, epoch_steps, total_steps):
        """Save, evaluate and record the epoch that ends at this step.

        The held-out images are prepared already, once for all epochs.
        """
        model = self.model
        loss, accuracy, rate = self.session.run(
            [model.epoch_loss, model.epoch_accuracy, model.learning_rate])
        row = {"epoch": self.step / epoch_steps, "step": self.step, "learning_rate": rate,
               "training_loss": loss, "training_accuracy": accuracy,
               "held_out_loss": None, "held_out_accuracy": None, "test_accuracy": None}
        with self._weights_to_evaluate() as saved:
            if len(held_out.labels):
                result = self._evaluate(held_out, np.asarray)
                row.update(held_out_loss=result.loss, held_out_accuracy=result.accuracy)
                if self.log.is_best(result.accuracy):
                    saved.result()
                    self._save_best()
            if self.recipe.test_every_epoch:
                row["test_accuracy"] = self._evaluate(test, self.prepare).accuracy
        self.log.add(row)
        told = [f"epoch {row['epoch']:.4g}/{total_steps / epoch_steps:.4g}", f"step {self.step}",
                f"loss {loss:.4f}", f"training accuracy {accuracy:.4f}"]
        told += [f"{words} accuracy {row[name]:.4f}"
                 for name, words in (("held_out_accuracy", "held-out"), ("test_accuracy", "test"))
                 if row[name] is not None]
        if self.seconds:
            told += [f"{self.images / self.seconds:,.0f} images/s", f"{self.seconds:.0f} s"]
        print("  ".join(told), flush=True)

    def stops_early(self):
        """Whether the held-out accuracy has not grown for as long as the recipe allows."""
        patience, scores = self.recipe.early_stopping, self.log.held_out_accuracies()
        return patience and scores and len(scores) - 1 - scores.index(max(scores)) >= patience

    def finish(self, test):
        """Test and export the weights that count, and write the result down."""
        step, path = self._restore_best()
        self.session.run(self.model.use_averages)
        result = self._evaluate(test, self.prepare)
        export.saved_model(self.session, self.folder.saved_model)
        run_folder.write_json(self.folder.result_file, {
            "trained_steps": self.step,
            "early_stopping": self.recipe.early_stopping if self.stops_early() else 0,
            "checkpoint": pathlib.Path(path).name, "checkpoint_step": step,
            "test_accuracy": result.accuracy, "test_correct": result.correct,
            "test_images": len(test.labels)})
        return result

    def _restore_best(self):
        """Restore the best checkpoint, or the latest if there is none that can be read.

        Returns:
          (step, path) of it.
        """
        for step, path in reversed(self.folder.saved() + self.folder.saved("best")):
            try:
                restore_variables(self.session, self.saver, path)
            except console.Failure as failure:
                print(f"{failure}; taking another checkpoint", file=sys.stderr)
                continue
            return step, path
        raise console.Failure(f"{self.folder.checkpoints}: no checkpoint can be restored; "
                              "--overwrite starts the run anew")

    @contextlib.contextmanager
    def _weights_to_evaluate(self):
        """Save a checkpoint, and put the moving averages, if there are, in the weights' place.

        Evaluation goes on meanwhile, as writing files needs one core at most; moving averages
        wait until the weights are saved.

        Yields:
          A `concurrent.futures.Future` that is done when the checkpoint is saved.
        """
        def save():
            with self.session.graph.as_default():  # each thread has its own default graph
                self._save_latest()

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            saved = thread.submit(save)
            try:
                if not self.recipe.moving_average:
                    yield saved
                    return
                saved.result()
                weights = tf.trainable_variables()
                values = self.session.run(weights)
                self.session.run(self.model.use_averages)
                yield saved
                for variable, value in zip(weights, values):
                    variable.load(value, self.session)
            finally:
                saved.result()  # a stop must not be told as saved when it is not

    def _diverged(self, loss):
        return console.Failure(
            f"diverged: after step {self.step} the loss is {loss}, the last finite one was "
            f"{self.last_loss:.4g}. The checkpoints saved before are good; try a lower "
            "--learning-rate with --overwrite")

    def _save_latest(self):
        """Save a checkpoint of this step.

        Raises:
          console.Failure: the weights are no good, their loss on some images of the last batch is
            not finite.
        """
        if self.step:
            feed = self._batch(self.step - 1)
            for tensor in (self.model.images, self.model.labels):
                feed[tensor] = feed[tensor][:CHECKED]
            loss = self.session.run(self.model.loss, feed)
            if not np.isfinite(loss):
                raise self._diverged(loss)
        self._save(self.saver, "model.ckpt")

    def _save_best(self):
        """Save the weights just evaluated as best, in place of those that were it before.

        They are in the checkpoint of this step, unless they are moving averages.
        """
        earlier = [path for step, path in self.folder.saved("best") if step != self.step]
        if self.recipe.moving_average:
            self._save(self.best_saver, "best")
        else:
            path = self.folder.name_best(self.step)
            tf.train.update_checkpoint_state(str(self.folder.checkpoints), path,
                                             latest_filename="best_checkpoint")
        for path in earlier:
            tf.train.remove_checkpoint(path)

    def _save(self, saver, kind):
        """Save a checkpoint, which counts as soon as its index is there, which comes last."""
        self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        prefix = self.folder.checkpoints / kind
        with run_folder.replacing(f"{prefix}-{self.step}.meta", "wb") as out:
            out.write(self.meta_graph)
        saver.save(self.session, str(prefix), global_step=self.step, write_meta_graph=False,
                   latest_filename="checkpoint" if saver is self.saver else "best_checkpoint")


class Evaluation(NamedTuple):
    """How a graph does on a data set of N images."""
    predictions: np.ndarray  # int64 [N], the likeliest class
    loss: float              # mean over the images
    correct: int             # how many predictions are right
    accuracy: float          # correct / N

    def line(self):
        """The one line that every script prints of a test."""
        return f"test accuracy {self.accuracy:.4f} ({self.correct}/{len(self.predictions)})"


def evaluate(session, split, prepare):
    """Run all of `split` through the session's graph, built here or imported.

    Several batches run at once, so that there is always something to do for every core.

    Args:
      session: a session on a graph with images:0, labels:0, logits:0 and loss:0.
      split: `cifar_tools.Split`.
      prepare: function of images -> float32 pixels, called in several threads.

    Returns:
      An `Evaluation`.
    """
    def run(batch):
        return session.run(["logits:0", "loss:0"],
                           {"images:0": prepare(batch.images), "labels:0": batch.labels})

    predictions, losses = [], []
    batches = cifar_tools.evaluation_batches(split)
    with (concurrent.futures.ThreadPoolExecutor(BATCHES_AT_ONCE) as threads,
          console.progress(len(split.labels), "evaluating") as bar):
        for (_, labels), (logits, loss) in zip(batches, threads.map(run, batches)):
            predictions.append(logits.argmax(1))
            losses.append(float(loss) * len(labels))
            bar.update(sum(map(len, predictions)))
    predictions = np.concatenate(predictions)
    correct = int((predictions == split.labels).sum())
    return Evaluation(predictions, sum(losses) / len(predictions), correct,
                      correct / len(predictions))


def step_back():
    """Let this thread run when the others leave a core free.

    TensorFlow splits an operation evenly among the cores, so all wait for one that is busy
    with something else.
    """
    if sys.platform == "linux":  # elsewhere this would be the priority of the process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def restore_variables(session, saver, path):
    """Restore the checkpoint at `path` with a `tf.train.Saver`.

    Raises:
      console.Failure: it is damaged, or of another graph; the message names it.
    """
    try:
        saver.restore(session, path)
    except (tf.errors.OpError, ValueError) as error:
        raise console.Failure(f"{path}: cannot be restored; {what_happened(error)}") from error


def what_happened(error):
    """The one line of an error of TensorFlow's that says what happened.

    Advice may stand before it, and where in the graph; behind it the graph's own stack trace.
    """
    text = (getattr(error, "message", None) or str(error)).rpartition("Original error:")[2]
    told = re.search(r"^Node: .*\n(?:\d+ root error.*\n)?\s*(?:\(0\) )?(.+)", text, re.MULTILINE)
    return told[1] if told else (text.strip() or repr(error)).splitlines()[0]


def session_config(device, model=None):
    """The `tf.ConfigProto` of every session.

    Args:
      device: 'cpu' hides the GPUs, 'gpu' insists on one, 'auto' takes what there is.
      model: the `cnn_graph.Model` to train, if there is one.

    Raises:
      console.UserError: 'gpu' and TensorFlow sees none.
    """
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    if model and model.several and model.several.one_core:
        config.intra_op_parallelism_threads = 1
    if device == "cpu":
        config.device_count["GPU"] = 0
    elif device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise console.UserError("--device gpu: TensorFlow sees no GPU on this machine; "
                                "use --device cpu or auto")
    return config


def device_name(session):
    """What `session` computes on, in words."""
    kinds = [device.device_type for device in session.list_devices()]
    return f"{kinds.count('GPU')} GPU" if "GPU" in kinds else "CPU"


@contextlib.contextmanager
def caught_signals():
    """Collect Ctrl-C and SIGTERM in a list, for the loop to stop at the end of a step.

    A second Ctrl-C ends the process at once, wherever it is. Python would wait for TensorFlow;
    nothing that was saved can be lost, whenever a process ends.
    """
    caught = []

    def handle(number, frame):
        caught.append(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def explained():
    """Turn TensorFlow's errors into a `console.Failure` with their first line."""
    try:
        yield
    except tf.errors.OpError as error:
        raise console.Failure(f"TensorFlow: {what_happened(error)}") from error
