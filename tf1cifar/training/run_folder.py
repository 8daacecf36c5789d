"""The run folder: the files that a training run leaves behind and resumes from.

    recipe.json         settings, data set, versions
    checkpoints/        model.ckpt-STEP after every epoch, best-STEP for the best one so far
    metrics.csv         one line for each epoch
    times.csv           the time that the training steps before each checkpoint took
    events.out.tfevents.*   TensorBoard, which names the run after this folder
    learning_curve.png  error of each epoch
    result.json         the final accuracy and the checkpoint on which it was measured
    saved_model/        that checkpoint as a SavedModel
    mean_image.npy      mean of the training images, where the preparation subtracts it
    profile/            traces of some steps, where --profile asked for them

This module imports neither TensorFlow nor NumPy: a script decides about a run before it loads them.
"""

import contextlib
import errno
import re

from tf1cifar import console, errors, files, locks, recipes
from tf1cifar.training import csv_rows
from tf1cifar.training.checkpoints import Checkpoints

METRICS = ["epoch", "step", "learning_rate", "training_loss", "training_accuracy",
           "held_out_loss", "held_out_accuracy", "test_accuracy"]
TIMES = ["step", "images", "seconds"]
RESULT = {"trained_steps": int, "early_stopping": int, "checkpoint": str, "checkpoint_step": int,
          "test_accuracy": float, "test_correct": int, "test_images": int}
MAX_IMAGES, MAX_SIZE = 10 ** 8, 1024  # of a data set; the largest are far below


class RunFolder:
    """The files of the run at `path`, which need not exist; see `files.expanded`."""

    def __init__(self, path):
        self.path = files.expanded(path)
        self.checkpoints = self.path / "checkpoints"
        self.recipe_file = self.path / "recipe.json"
        self.metrics_file = self.path / "metrics.csv"
        self.times_file = self.path / "times.csv"
        self.old_events = self.path / "events"  # of older versions, for events.out.tfevents.*
        self.learning_curve = self.path / "learning_curve.png"
        self.result_file = self.path / "result.json"
        self.mean_image_file = self.path / "mean_image.npy"
        self.saved_model = self.path / "saved_model"
        self.profile = self.path / "profile"
        self.lock_file = self.path / ".lock"
        self._identities = None  # of the folder that is locked, and of its lock
        self._items = (self.recipe_file, self.checkpoints, self.metrics_file, self.times_file,
                       self.old_events, self.learning_curve, self.result_file, self.saved_model,
                       self.mean_image_file, self.profile)

    def has_recipe(self):
        """Whether there is a run here."""
        return self.recipe_file.exists()

    def has_checkpoints(self):
        """Whether the run here has come to its first checkpoint, be that complete or not."""
        return self.has_recipe() and Checkpoints(self.checkpoints).has_files()

    def leftover_files(self):
        """The existing files and folders whose names are those of a run's files."""
        return [item for item in (*self._items, *self.event_files())
                if item.exists() or item.is_symlink()]

    def event_files(self):
        """The files of TensorBoard's events, the oldest first."""
        return sorted(self.path.glob("events.out.tfevents.*"))

    @contextlib.contextmanager
    def locked(self):
        """Keep every other process from training in this folder.

        The folder is made if need be, and removed at the end of the block if no run is in it.
        Half-written files of a run that was killed are removed at the start. A run that may only
        be read needs no lock, since nothing can be trained in it.

        Raises:
          errors.UserError: another process is training here, or something else has this name.
        """
        files.require_folder(self.path, "--run-dir")
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        with contextlib.ExitStack() as stack:
            new = False
            try:
                new = stack.enter_context(self._lock())
                self._identities = _identity(self.path), _identity(self.lock_file)
                locks.remove_scratch(self.path)  # recipe.json itself may be half-written
                if self.has_recipe():
                    self._tidy()
            except BlockingIOError:
                raise errors.UserError(f"{self.path}: another process is training there; "
                                       "wait for it or give another --run-dir") from None
            except OSError as error:
                read_only = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
                if not read_only or not self.has_recipe():
                    raise
            try:
                yield
            finally:
                if not self.has_recipe():
                    if new and self._identities[1] == _identity(self.lock_file):
                        self.lock_file.unlink(missing_ok=True)
                    for path in missing:
                        with contextlib.suppress(OSError):  # not empty, or gone
                            path.rmdir()

    def require_present(self):
        """Raise an `errors.Failure` if this is no longer the folder that `locked` has locked."""
        if not self._identities:  # nothing is locked
            return
        folder, lock = self._identities
        if _identity(self.path) != folder:
            raise errors.Failure(f"{self.path} was removed, renamed or replaced while the run was "
                                 "training in it; nothing more can be saved there")
        if not self.has_recipe():
            raise errors.Failure(f"{self.recipe_file} is gone, so nothing that is saved here could "
                                 "be restored; the training ends")
        if _identity(self.lock_file) != lock:
            raise errors.Failure(f"{self.lock_file} was removed or replaced, so another process "
                                 "may train in the folder; the training ends, and the same command "
                                 "goes on from the latest checkpoint")

    @contextlib.contextmanager
    def _lock(self):
        """`locks.lock` in a folder that another process may remove in between."""
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                try:
                    new = stack.enter_context(locks.lock(self.lock_file))
                except FileNotFoundError:
                    continue
                yield new
                return

    def _tidy(self):
        """Remove half-written files, nothing that is complete and nobody else's files.

        A part of the run that is a link is left as it is.
        """
        for folder in (self.old_events, self.profile):
            locks.remove_scratch(folder)
        # What older versions of this project, which had no scratch folders, left.
        for item in self._items:
            files.remove(item.with_name(f".{item.name}.part"))
        files.remove(self.saved_model.with_name(f".{self.saved_model.name}.old.part"))
        if self.old_events.is_dir() and not self.old_events.is_symlink():
            for item in list(self.old_events.iterdir()):
                if re.fullmatch(r"\.events\.out\.tfevents\.\d+.*\.part", item.name):
                    files.remove(item)
        Checkpoints(self.checkpoints).tidy()

    def clear(self):
        """Remove the files of a run, and nothing else."""
        for item in reversed(self.leftover_files()):  # recipe.json, which marks a run, comes last
            files.remove(item)

    def write_description(self, name, recipe, dataset, versions, changes=(), initial=None):
        """Write recipe.json.

        Args:
          name: the recipe's name in `recipes.RECIPES`.
          recipe: the `recipes.Recipe`.
          dataset: the dictionary of `data.describe`.
          versions: dictionary of str, the packages and the machine with which the run began.
          changes: list of dictionaries, see `read_versions`.
          initial: what `sources.record` gives back, None for a start from scratch.
        """
        files.write_json(self.recipe_file, {
            "format": recipes.FORMAT, "name": name, "recipe": recipes.to_dict(recipe),
            "dataset": dataset, "versions": versions,
            **({"initial_weights": initial} if initial else {}),
            **({"changes": changes} if changes else {})})

    def read_description(self):
        """The run's description in recipe.json.

        Returns:
          (name, recipe, dataset) as they were given to `write_description`.

        Raises:
          errors.UserError: the file is missing, damaged, or of a newer format.
        """
        content = files.read_json(self.recipe_file)
        number = content.get("format", 1)
        if type(number) is int and number > recipes.FORMAT:
            raise errors.UserError(f"{self.recipe_file}: format {number} was written by a newer "
                                   f"version of this project; this one reads up to "
                                   f"{recipes.FORMAT}")
        try:
            name, dataset = content["name"], content["dataset"]
            recipe = recipes.from_dict(content["recipe"], number)
            _check_description(name, dataset, recipe)
        except KeyError as error:
            raise errors.UserError(f"{self.recipe_file}: no {error} in it; damaged") from error
        except (TypeError, ValueError) as error:
            raise errors.UserError(f"{self.recipe_file}: damaged; {error}") from error
        return name, recipe, dataset

    def read_format(self):
        """The format number of recipe.json, 1 for a file without one."""
        return files.read_json(self.recipe_file).get("format", 1)

    def read_versions(self):
        """What recipe.json says about the processes that trained; what makes no sense is left out.

        Returns:
          (versions, changes): a dictionary of str; and a list of dictionaries with step, the
          training step from which a change counts, what, before and now, which are str.
        """
        content = files.read_json(self.recipe_file)
        versions, changes = content.get("versions"), content.get("changes")
        versions = {name: console.cut(value) for name, value in (
            versions if isinstance(versions, dict) else {}).items() if isinstance(value, str)}
        kinds = {"step": int, "what": str, "before": str, "now": str}
        return versions, [change for change in (changes if isinstance(changes, list) else [])
                          if isinstance(change, dict) and change.keys() == kinds.keys()
                          and all(type(change[name]) is kind for name, kind in kinds.items())]

    def read_result(self):
        """The content of result.json as a dictionary, None if there is no such file.

        Raises:
          errors.UserError: the file is damaged.
        """
        if not self.result_file.exists():
            return None
        result = files.read_json(self.result_file)
        if any(type(result.get(name)) is not kind
               or kind is not str and not 0 <= result[name] < 2 ** 63
               for name, kind in RESULT.items()):
            raise errors.UserError(f"{self.result_file}: damaged; remove it, and the same "
                                   "training command writes it anew")
        return result

    def write_result(self, result):
        """Write the dictionary `result` to result.json, which says that everything is here.

        Raises:
          errors.Failure: see `require_present`.
        """
        files.write_json(self.result_file, result)
        self.require_present()

    def checkpoint_path(self, name=None):
        """The path of a checkpoint, as `tf.train.Saver.restore` takes it.

        Args:
          name: see `Checkpoints.find`. None chooses the checkpoint on which the final accuracy was
            measured, or, before there is one, the best checkpoint so far.

        Raises:
          errors.UserError: there is no such checkpoint.
        """
        checkpoints = Checkpoints(self.checkpoints)
        if name is not None:
            return checkpoints.find(name)
        return checkpoints.final((self.read_result() or {}).get("checkpoint"))

    def read_metrics(self):
        """The rows of metrics.csv, as dictionaries of numbers; empty cells are None.

        Raises:
          errors.UserError: the file is damaged.
        """
        return csv_rows.read(self.metrics_file, METRICS, METRICS[:5])

    def write_metrics(self, rows):
        """Replace metrics.csv by `rows`, dictionaries with the keys METRICS."""
        csv_rows.write(self.metrics_file, METRICS, rows)

    def read_times(self):
        """The rows of times.csv: of runs that older versions trained, none.

        Returns:
          A list of dictionaries with step, images and seconds: `seconds` is the time of the
          training steps with `images` images that ended at `step`.

        Raises:
          errors.UserError: the file is damaged.
        """
        return csv_rows.read(self.times_file, TIMES, TIMES)

    def write_times(self, rows):
        """Replace times.csv by `rows`, dictionaries with the keys TIMES.

        No other file has times in it: the rest of a run is the same after every undisturbed start.
        """
        csv_rows.write(self.times_file, TIMES, rows)


def _identity(path):
    """The numbers that the file system gives a folder, None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_description(name, dataset, recipe):
    """Raise ValueError, TypeError or KeyError unless `dataset` describes a data set.

    A stranger may have written it, so every number is bounded before anything is built from it.
    """
    shape, names = dataset["image_shape"], dataset["class_names"]
    for key in ("training_images", "held_out_images", "test_images"):
        count = dataset.get(key, 0)
        if type(count) is not int or not (key == "training_images") <= count <= MAX_IMAGES:
            raise ValueError(f"{key} is {console.cut(count)}, expected at most {MAX_IMAGES:,}")
    if (not isinstance(shape, list) or len(shape) != 3 or shape[2] not in (1, 3)
            or not all(type(size) is int and 0 < size <= MAX_SIZE for size in shape)):
        raise ValueError(f"image_shape is {console.cut(shape)}, expected [height, width, channels] "
                         f"with at most {MAX_SIZE}x{MAX_SIZE} pixels and 1 or 3 channels")
    good = (isinstance(name, str) and dataset["name"] == recipe.dataset
            and isinstance(dataset["directory"], str) and isinstance(dataset["crc32"], str)
            and isinstance(names, list) and all(isinstance(name, str) for name in names)
            and 1 < len(names) <= 1000)
    if not good:
        raise ValueError("its description of the data set makes no sense")
