"""The run folder: all that a training run leaves behind, and what it is taken up from.

    recipe.json         settings, data set, versions
    checkpoints/        model.ckpt-STEP after every epoch, best-STEP the best so far
    metrics.csv         one line an epoch
    events/             TensorBoard
    learning_curve.png  error per epoch
    result.json         the final figure and the checkpoint it was measured on
    saved_model/        that checkpoint as a SavedModel
    mean_image.npy      of the training images, where the preparation takes it away
    profile/            traces of some steps, where --profile asked for them

Files are replaced as a whole, so a kill at any moment leaves the old one or the new one.
Nothing here imports TensorFlow: whether a run can be taken up is known before it starts.
"""

import contextlib
import csv
import functools
import io
import json
import os
import pathlib
import re
import shutil
import sys

import console
import recipes

try:
    import fcntl
except ImportError:  # Windows: no locks between processes
    fcntl = None

METRICS = ["epoch", "step", "learning_rate", "training_loss", "training_accuracy",
           "held_out_loss", "held_out_accuracy", "test_accuracy"]
VIAS = ("saver", "meta_graph", "saved_model")  # ways to restore a run, see training/restore.py
WEIGHTS = (".index", ".data-00000-of-00001")  # a checkpoint's variables; its graph is .meta
RESULT = {"trained_steps": int, "early_stopping": int, "checkpoint": str, "checkpoint_step": int,
          "test_accuracy": float, "test_correct": int, "test_images": int}


class RunFolder:
    """The files of the run at `path`, which need not exist."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.recipe_file = self.path / "recipe.json"
        self.metrics_file = self.path / "metrics.csv"
        self.events = self.path / "events"
        self.learning_curve = self.path / "learning_curve.png"
        self.result_file = self.path / "result.json"
        self.mean_image_file = self.path / "mean_image.npy"
        self.saved_model = self.path / "saved_model"
        self.profile = self.path / "profile"
        self._items = (self.recipe_file, self.checkpoints, self.metrics_file, self.events,
                       self.learning_curve, self.result_file, self.saved_model,
                       self.mean_image_file, self.profile)

    def exists(self):
        """Whether there is a run here."""
        return self.recipe_file.exists()

    def begun(self):
        """Whether the run here has come to its first checkpoint, be that whole or not."""
        return self.exists() and self.checkpoints.exists() and any(self.checkpoints.iterdir())

    def remains(self):
        """What stands here under a name that a run would write to."""
        return [item for item in self._items if item.exists()]

    @contextlib.contextmanager
    def locked(self):
        """Keep every other process from training in this folder, and tidy it.

        The operating system frees the lock when the process ends, in whatever way. What a
        killed process left half-written is removed.

        Raises:
          console.UserError: another process is training here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as lock:
            if fcntl:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise console.UserError(f"{self.path}: another process is training there; "
                                            "wait for it or give another --run-dir") from None
            self._tidy()
            yield

    def _tidy(self):
        """Remove what a run left half-written, nothing that is whole and nobody else's files."""
        for item in (*self._items, old(self.saved_model)):
            remove(scratch(item))
        for item in (*self.events.glob(".*.part"), *self.checkpoints.glob(".*.part"),
                     *self.checkpoints.glob("*checkpoint.tmp*")):
            remove(item)
        for kind in ("model.ckpt", "best"):
            steps = [step for step, _ in self.saved(kind)]
            latest = max(steps, default=-1)
            for item in list(self.checkpoints.glob(f"{kind}-*")):
                name = re.fullmatch(rf"({re.escape(kind)}-(\d+))(\..+)", item.name)
                if not name:
                    continue
                if int(name[2]) in steps:
                    whole = name[3] in (*WEIGHTS, ".meta")
                else:
                    # Weights that lost their graph are kept unless later ones are whole: a run
                    # that removes an old checkpoint begins with the graph.
                    whole = int(name[2]) > latest and all(
                        (self.checkpoints / (name[1] + suffix)).exists() for suffix in WEIGHTS)
                # It is written last. One that is older than the latest was being removed.
                if name[3] == ".index" and int(name[2]) > latest:
                    print(f"{item}: the checkpoint's other files are gone; not used",
                          file=sys.stderr)
                if not whole:
                    remove(item)

    def clear(self):
        """Remove what a run wrote here, and nothing else."""
        for item in reversed(self.remains()):  # last recipe.json, which says that it is a run's
            remove(item)

    def write_description(self, name, recipe, dataset, versions):
        """Write recipe.json.

        Args:
          name: what the recipe is called in `recipes.RECIPES`.
          recipe: the `recipes.Recipe`.
          dataset: a dictionary that tells of the data set.
          versions: a dictionary, package -> version.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.recipe_file, {"name": name, "recipe": recipes.to_dict(recipe),
                                      "dataset": dataset, "versions": versions})

    def read_description(self):
        """(name, recipe, dataset) as they were given to `write_description`.

        Raises:
          console.UserError: there is none, or it is damaged.
        """
        content = read_json(self.recipe_file)
        try:
            name, dataset = content["name"], content["dataset"]
            recipe = recipes.from_dict(content["recipe"])
            _check_description(name, dataset, recipe)
        except KeyError as error:
            raise console.UserError(f"{self.recipe_file}: no {error} in it; damaged") from error
        except (TypeError, ValueError) as error:
            raise console.UserError(f"{self.recipe_file}: damaged; {error}") from error
        return name, recipe, dataset

    def write_mean_image(self, mean):
        """Write the mean training image, float32 [height, width, channels]."""
        import numpy as np
        content = io.BytesIO()  # np.save to a file does not tell why a write failed
        np.save(content, mean, allow_pickle=False)
        with replacing(self.mean_image_file, "wb") as out:
            out.write(content.getvalue())

    def prepare(self, recipe):
        """The function that prepares images for this run's network, see `cifar_tools.prepare`.

        Raises:
          console.UserError: it needs the mean training image, and that is missing or damaged.
        """
        import cifar_tools
        mean = self._read_mean_image() if recipe.preparation == "minus_mean" else None
        return functools.partial(cifar_tools.prepare, preparation=recipe.preparation, mean=mean)

    def _read_mean_image(self):
        import numpy as np
        try:
            mean = np.load(self.mean_image_file, allow_pickle=False)
            if mean.dtype != np.float32 or mean.ndim != 3 or not np.isfinite(mean).all():
                raise ValueError(f"{mean.dtype} of shape {mean.shape}")
        except FileNotFoundError:
            raise console.UserError(f"{self.mean_image_file}: no such file, and the run's "
                                    "preparation minus_mean needs it") from None
        except Exception as error:  # a damaged file can raise nearly anything
            raise console.UserError(f"{self.mean_image_file}: damaged, not a mean image "
                                    f"({error})") from error
        return mean

    def read_result(self):
        """result.json as a dictionary, None without one.

        Raises:
          console.UserError: it is damaged.
        """
        if not self.result_file.exists():
            return None
        result = read_json(self.result_file)
        if any(type(result.get(name)) is not kind
               or kind is not str and not 0 <= result[name] < 2 ** 63
               for name, kind in RESULT.items()):
            raise console.UserError(f"{self.result_file}: damaged; remove it, and the same "
                                    "training command writes it anew")
        return result

    def can_resume(self, recipe, description):
        """Whether there is a run here that goes on with `recipe` on the data set described.

        Raises:
          console.UserError: something is there that it cannot take up.
        """
        there = next(path for path in (self.path, *self.path.parents) if path.exists())
        if not there.is_dir():
            raise console.UserError(f"--run-dir {self.path}: {there} is not a folder")
        if not self.exists():
            if remains := self.remains():
                raise console.UserError(f"{remains[0]} is there, but no recipe.json; give another "
                                        "--run-dir, or --overwrite to delete it")
            return False
        if not self.begun():
            if self.metrics_file.exists() or self.result_file.exists():
                raise console.UserError(f"{self.checkpoints} is empty or gone, so the run cannot "
                                        "be taken up; give another --run-dir, or --overwrite to "
                                        "start anew")
            return False  # it did not get to its first checkpoint: nothing to keep
        _, old_recipe, old = self.read_description()
        changed = recipes.differences(old_recipe, recipe)
        if not changed and old["crc32"] != description["crc32"]:
            changed = [f"other images in {description['directory']} than in "
                       f"{old['directory']} before"]
        if changed:
            raise console.UserError(
                f"{self.path} holds a run with other settings ({'; '.join(changed)}); give "
                "the same settings to take it up, another --run-dir, or --overwrite to start anew")
        asked, saved = recipe.total_steps(description["training_images"]), self.saved()
        if saved and saved[-1][0] > asked:
            raise console.UserError(f"{self.path} is trained for {saved[-1][0]} steps already, "
                                    f"more than the {asked} asked for; give a larger --epochs or "
                                    "--steps")
        return True

    def finished(self, recipe, description):
        """A line that says the run is done and how to train on; None while it is not."""
        result = self.read_result()
        if not result:
            return None
        trained, images = result["trained_steps"], description["training_images"]
        if trained < recipe.total_steps(images):
            if not recipe.early_stopping or recipe.early_stopping > result["early_stopping"]:
                return None
            more = f"--early-stopping {2 * recipe.early_stopping}"
        else:
            more = f"--steps {2 * trained}" if recipe.steps else f"--epochs {2 * recipe.epochs}"
        epochs = trained / recipe.steps_per_epoch(images)
        return (f"{self.path} is finished: {trained} steps "
                f"({epochs:.4g} epoch{'s' * (epochs != 1)}) on {description['name']}, "
                f"test accuracy {result['test_accuracy']:.4f} "
                f"({result['test_correct']}/{result['test_images']}); train on with a larger "
                f"number, such as {more}")

    def saved(self, kind="model.ckpt"):
        """Complete checkpoints of a kind ('model.ckpt' or 'best'), the latest last.

        Returns:
          A list of (step, path as `tf.train.Saver.restore` takes it).
        """
        found = []
        for index in self.checkpoints.glob(f"{kind}-*.index"):
            step = re.fullmatch(rf"{re.escape(kind)}-(\d+)", index.stem)
            if step and all(index.with_suffix(suffix).exists()
                            for suffix in (*WEIGHTS, ".meta")):
                found.append((int(step[1]), str(index.with_suffix(""))))
        return sorted(found)

    def name_best(self, step):
        """Give the checkpoint of `step` a second name, by which it counts as best.

        It is the same file, so what damages one damages both. Where the file system knows no
        second names, it is a copy.

        Returns:
          Its path as `tf.train.Saver.restore` takes it.
        """
        best = self.checkpoints / f"best-{step}"
        for suffix in reversed((*WEIGHTS, ".meta")):  # it counts as soon as its index is there
            source = self.checkpoints / f"model.ckpt-{step}{suffix}"
            target = best.with_name(best.name + suffix)
            scratch(target).unlink(missing_ok=True)
            try:
                os.link(source, scratch(target))
            except OSError:
                shutil.copyfile(source, scratch(target))
            os.replace(scratch(target), target)
        return str(best)

    def chosen(self):
        """(step, path) of the checkpoint that counts.

        That is what the final figure was measured on; before there is one the best, without
        that the latest.

        Raises:
          console.UserError: there is none.
        """
        saved = self.saved() + self.saved("best")
        if not saved:
            raise console.UserError(f"{self.checkpoints}: no checkpoint yet; train longer")
        result = self.read_result()
        measured = [item for item in saved
                    if result and pathlib.Path(item[1]).name == result["checkpoint"]]
        return (measured or saved)[-1]

    def read_metrics(self):
        """The rows of metrics.csv, as dictionaries of numbers; missing figures are None.

        Raises:
          console.UserError: the file is damaged.
        """
        if not self.metrics_file.exists():
            return []
        try:
            with open(self.metrics_file, newline="", encoding="utf-8") as source:
                rows = list(csv.DictReader(source))
            if any(list(row) != METRICS for row in rows):
                raise ValueError(f"its columns are not {', '.join(METRICS)}")
            rows = [{name: number(value) for name, value in row.items()} for row in rows]
            if any(row[name] is None for row in rows for name in METRICS[:5]):
                raise ValueError("a figure is missing")
        except (ValueError, OverflowError, csv.Error) as error:
            raise console.UserError(f"{self.metrics_file}: damaged; {error}") from error
        return rows

    def write_metrics(self, rows):
        """Replace metrics.csv by `rows`, dictionaries with the keys METRICS."""
        with replacing(self.metrics_file, newline="") as out:
            writer = csv.DictWriter(out, METRICS)
            writer.writeheader()
            writer.writerows(rows)


def _check_description(name, dataset, recipe):
    """Raise ValueError, TypeError or KeyError unless `dataset` describes a data set."""
    shape, names = dataset["image_shape"], dataset["class_names"]
    good = (isinstance(name, str) and dataset["name"] == recipe.dataset
            and isinstance(dataset["directory"], str) and isinstance(dataset["crc32"], str)
            and isinstance(names, list) and all(isinstance(name, str) for name in names)
            and 1 < len(names) <= 1000
            and isinstance(shape, list) and len(shape) == 3
            and all(type(size) is int and 0 < size <= 4096 for size in shape)
            and type(dataset["training_images"]) is int and dataset["training_images"] > 0)
    if not good:
        raise ValueError("what it tells of the data set makes no sense")


def number(text):
    """What a cell of metrics.csv holds: an int, a float, or None when it is empty."""
    if not text:
        return None
    value = int(text) if text.isdecimal() else float(text)
    float(value)  # raises OverflowError for what nobody can plot
    return value


class replacing:
    """Open a file for writing that takes `path`'s place only when it is whole."""

    def __init__(self, path, mode="w", **options):
        self.path = pathlib.Path(path)
        self.scratch = scratch(self.path)
        self.file = open(self.scratch, mode, **options,
                         **({} if "b" in mode else {"encoding": "utf-8"}))

    def __enter__(self):
        return self.file

    def __exit__(self, kind, error, _):
        try:
            with self.file:
                if kind is None:
                    self.file.flush()
                    os.fsync(self.file.fileno())
            if kind is None:
                os.replace(self.scratch, self.path)
        except OSError as late:  # what was left in the file's buffer did not fit either
            error = late
        finally:
            self.scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:  # a write does not know its file's name
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def scratch(path):
    """Where what is to take `path`'s place is written, beside it."""
    return path.with_name(f".{path.name}.part")


def old(path):
    """Where what another takes the place of goes for a moment."""
    return path.with_name(f"{path.name}.old")


def remove(path):
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def save_figure(figure, path):
    """Write a matplotlib figure, in the format that the path ends with, whole or not at all."""
    with replacing(path, "wb") as out:
        figure.savefig(out, format=pathlib.Path(path).suffix[1:] or "png", dpi=figure.dpi)


def write_json(path, content):
    with replacing(path) as out:
        json.dump(content, out, indent=2)
        out.write("\n")


def read_json(path):
    """The dictionary in a JSON file.

    Raises:
      console.UserError: no such file, or not a JSON dictionary.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise console.UserError(f"{path}: no such file; is this the folder of a run?") from None
    except (ValueError, RecursionError) as error:
        raise console.UserError(f"{path}: damaged, not JSON ({error})") from error
    if not isinstance(content, dict):
        raise console.UserError(f"{path}: damaged, expected a JSON dictionary")
    return content
