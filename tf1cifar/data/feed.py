"""The batches of a training run: everything between the training images and a `feed_dict`.

    batch_indices  the images of one batch, a function of (seed, step)
    part_bounds    the parts of a batch that several tasks train on
    smallest_batch the number of images in the smallest batch of a training
    Feed           batches, prepared ahead in a thread, for the graph of a recipe

A `Feed` knows no session. Nothing is remembered from step to step: a batch depends on the recipe
and the step alone, so training can resume at any step.
"""

import concurrent.futures
import contextlib
import functools
import os
import sys
import threading

import numpy as np

from tf1cifar.data import augmentations, preparation

# Number of batches that the feed prepares in a row. Between two training steps the processor's
# caches hold other data, and a single batch would take twice as long.
PREFETCH_BATCHES = 8

LOAD_IMAGES = 1000  # number of images in a part of `Feed.resident_parts`


@functools.lru_cache(maxsize=2)
def _shuffled(size, seed, epoch):
    return np.random.default_rng((seed, epoch, 0)).permutation(size)


def batch_indices(size, step, *, batch_size, order, seed):
    """The indices of the training images in the batch of a step.

    An epoch is one pass over the images in ceil(size / batch_size) batches. The last batch is
    smaller if a remainder is left.

    Args:
      size: number of training images.
      step: number of the training step; 0 is the first batch of the first epoch.
      batch_size: number of images in a batch.
      order: 'shuffled', a fresh permutation every epoch; 'in_order', the order of the files;
        'with_replacement', each image of each batch drawn at random.
      seed: seed of the order, not negative.

    Returns:
      int64 [B].
    """
    epoch, number = divmod(step, -(-size // batch_size))
    if order == "with_replacement":
        return np.random.default_rng((seed, step, 2)).integers(0, size, batch_size)
    start, end = number * batch_size, min((number + 1) * batch_size, size)
    return np.arange(start, end) if order == "in_order" else _shuffled(size, seed, epoch)[start:end]


def part_bounds(images, tasks):
    """The bounds of the parts into which several tasks divide a batch of `images` images.

    Returns:
      A list of int. Task I has the images from item I on, up to item I + 1.
    """
    return [images * number // tasks for number in range(tasks + 1)]


def smallest_batch(images, batch_size, order):
    """Number of images in the smallest batch of a training on `images` images."""
    if order == "with_replacement":
        return batch_size
    return images % batch_size or batch_size


class Feed:
    """The batches of a recipe's training run.

    Args:
      recipe: a `recipes.Recipe`.
      training: the `base.Split` of the N training images, uint8.
      mean: float32 [height, width, channels], the mean image to subtract; by default that of the
        training images.
      part: (index, count) if this is one of several tasks, each of which trains on a part of every
        batch; None if one process trains on whole batches.

    Attributes:
      mean: float32 [height, width, channels], the mean image; None unless the recipe's
        preparation subtracts it.
      prepare: function of uint8 images -> float32 pixels, for images that are not augmented.
      image_shape: (height, width, channels) of prepared images.
      steps_per_epoch: number of batches in a pass over the training images.
      total_steps: number of training steps of the whole run.

    Raises:
      DataError: the images are too small for the recipe's preparation.
    """

    def __init__(self, recipe, training, mean=None, part=None):
        self.recipe, self.labels, self._part = recipe, training.labels, part
        self.mean = mean
        if mean is None and recipe.preparation == "minus_mean":
            self.mean = preparation.mean_image(training.images)
        self.steps_per_epoch = recipe.steps_per_epoch(len(training.labels))
        self.total_steps = recipe.total_steps(len(training.labels))
        images, summed = training.images, 1
        shape = images.shape[1:]
        # A crop need not keep pixels that the preparation cuts off.
        self.image_shape = preparation.prepared_shape(shape, recipe.preparation)
        self._margin = (shape[0] - self.image_shape[0]) // 2
        self._resident = recipe.steps_per_run > 1
        if (recipe.preparation == "gray24" and shape[-1] == 3 and not self._resident
                and not set(recipe.augment) - augmentations.MOVES):
            # The sum of the planes is the same before and after pixels are moved. If the planes
            # are added up once for all epochs, a batch has a third of the numbers to move.
            images, summed = preparation.sum_planes(images), 3
        self._images = images
        self._mirrored = None
        if "alternating_flip" in recipe.augment:
            self._mirrored = augmentations.alternating(len(images), recipe.seed)
        self.prepare = functools.partial(preparation.prepare, preparation=recipe.preparation,
                                         mean=self.mean)
        self._prepare = functools.partial(self.prepare, summed=summed, shape=self.image_shape)

    def batch(self, step, rows=slice(None)):
        """The batch of a training step, augmented and prepared.

        Args:
          step: number of the training step.
          rows: slice of the batch, if not all of it is wanted.

        Returns:
          images float32 [B, height, width, channels], labels int64 [B].
        """
        whole = self._indices(step)
        chosen = whole[rows]
        images = self._images.take(chosen, axis=0)  # faster than indexing by [chosen]
        if self.recipe.augment:
            mirrored = self._mirrored
            if mirrored is not None:
                mirrored = mirrored[chosen] ^ (step // self.steps_per_epoch % 2 == 1)
            rng = np.random.default_rng((self.recipe.seed, step, 1))
            if len(chosen) < len(whole):
                rng = augmentations.SomeOfBatch(rng, rows, len(whole))
            images = augmentations.augment(images, self.recipe.augment, rng, self._margin, mirrored)
        return self._prepare(images), self.labels[chosen]

    def sample(self, count):
        """`count` prepared training images, evenly spread over the data set; all of fewer images.

        Returns:
          float32 [n, height, width, channels].
        """
        stride = max(1, len(self._images) // count)
        return self._prepare(self._images[::stride][:count])

    def _indices(self, step):
        return batch_indices(len(self.labels), step, batch_size=self.recipe.batch_size,
                             order=self.recipe.order, seed=self.recipe.seed)

    def indices(self, step, count):
        """The indices of the images of `count` steps with batches of equal size.

        Returns:
          int64 [count, B].
        """
        return np.stack([self._indices(step + number) for number in range(count)])

    def images_seen(self, step, count):
        """Number of images in the batches of `count` steps from `step` on, within one epoch."""
        full = count * self.recipe.batch_size
        if self.recipe.order == "with_replacement":  # its batches are never smaller
            return full
        return min(full, len(self.labels) - step % self.steps_per_epoch * self.recipe.batch_size)

    def epoch_end(self, step):
        """The last step, counted from 1, of the epoch in which `step` trains, or of the run."""
        return min((step // self.steps_per_epoch + 1) * self.steps_per_epoch, self.total_steps)

    def ends_epoch(self, step):
        """Whether an epoch, or the run, has ended after `step` steps."""
        return step % self.steps_per_epoch == 0 or step == self.total_steps

    def steps_until(self, step, end):
        """Number of steps that the `session.run` at `step` takes, at most up to step `end`.

        The run ends before the next checkpoint or summary, and before the last batch of an epoch
        if that batch is smaller than the others.
        """
        recipe, last = self.recipe, self.steps_per_epoch - 1
        count = min(recipe.steps_per_run, end - step)
        for every in (recipe.checkpoint_every, recipe.summary_every):
            if every:
                count = min(count, every - step % every)
        if len(self.labels) % recipe.batch_size:
            count = min(count, last - step % self.steps_per_epoch or 1)
        return count

    def arrays(self, step, count):
        """The arrays that `graph.Model.step_inputs` are fed with for `count` steps from `step`.

        A task gets its part of every batch, and the bounds of all parts instead of `is_training`.
        """
        if not self._part:
            return (self.indices(step, count),) if self._resident else (*self.batch(step), True)
        index, tasks = self._part
        bounds = part_bounds(len(self._indices(step)), tasks)
        rows = slice(bounds[index], bounds[index + 1])
        if self._resident:
            return self.indices(step, count)[:, rows], bounds
        return *self.batch(step, rows), bounds

    def runs(self, step, end):
        """The feeds of all `session.run`s from `step` up to step `end`, prepared ahead.

        A thread prepares the next feeds while the caller trains. Close the generator to wait for
        that thread.

        Yields:
          (count, arrays): the number of steps, and the arrays for `graph.Model.step_inputs`.
        """
        def prefetch(step):
            feeds, last = [], min(step + PREFETCH_BATCHES, end)
            while step < last:
                count = self.steps_until(step, end)
                feeds.append((count, self.arrays(step, count)))
                step += count
            return step, feeds

        with concurrent.futures.ThreadPoolExecutor(1, initializer=lower_thread_priority) as thread:
            coming = thread.submit(prefetch, step)
            while step < end:
                step, feeds = coming.result()
                if step < end:
                    coming = thread.submit(prefetch, step)
                while feeds:  # each feed can be freed once it has been used
                    yield feeds.pop(0)

    def resident_parts(self):
        """The prepared training images in parts, for a graph that keeps them in its memory.

        Yields:
          (start, images, labels): index of the first image, float32 [n, height, width, channels],
          int64 [n].
        """
        for start in range(0, len(self.labels), LOAD_IMAGES):
            part = slice(start, start + LOAD_IMAGES)
            yield start, self._prepare(self._images[part]), self.labels[part]


def lower_thread_priority():
    """Lower this thread's priority, so that it does not delay TensorFlow's compute threads.

    TensorFlow splits an operation evenly among the cores and waits for the slowest core. Only
    Linux has priorities of threads; elsewhere the call would change the process.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # only a hint
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(nice + 10, 19))
