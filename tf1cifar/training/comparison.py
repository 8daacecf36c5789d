"""Several runs side by side: their settings, results and times, as numbers and as texts.

    read         what the files of a run say
    entries      runs that differ in the seed alone become one entry
    differences  the settings in which entries differ
    wilson       the 95 % interval of an accuracy

This module imports neither TensorFlow nor NumPy, so a comparison is there at once. A stranger may
have written a run.
"""

import dataclasses
import math
import os.path
import statistics
from typing import NamedTuple

from tf1cifar import console, errors, locks, recipes
from tf1cifar.training.run_folder import RunFolder

NORMAL_QUANTILE = 1.959964  # between minus and plus this lie 95 % of the normal distribution
# Parts of the record in recipe.json on which seconds or last bits depend.
MACHINE = ("device", "processor", "cores", "tensorflow")
MOST_PARAMETERS = 10 ** 12
SHORTEST = 1e-6  # seconds of a run that are a time
LABEL_LENGTH = 60
# Settings on which no result depends, so that runs may differ in them.
REPORTS = tuple(field.name for field in dataclasses.fields(recipes.Recipe)
                if field.metadata["group"] == recipes.REPORTS)


class Run(NamedTuple):
    """What the files of a run say; a figure that they do not have is None."""
    path: str
    settings: dict             # names of settings -> values, the seed included
    format: int                # of recipe.json
    state: str                 # 'finished', 'running, epoch 3/10', ...
    finished: bool
    correct: int               # right predictions of test images
    test_images: int
    test_accuracy: float       # of result.json, or of the latest epoch that was tested
    held_out_accuracy: float   # the best one
    seconds: float             # of the training steps
    images: int                # of the training steps
    parameters: int
    rows: list                 # of metrics.csv

    def images_per_second(self):
        """The number of images in a second of training, None if it is not known."""
        return self.images / self.seconds if self.seconds and self.seconds > SHORTEST else None


class Entry(NamedTuple):
    """One run, or the runs that differ in the seed alone."""
    name: str
    runs: list

    def values(self, figure):
        """The values of a figure of all runs that have it, as a list.

        Args:
          figure: function of a `Run`.
        """
        return [value for value in map(figure, self.runs) if value is not None]


def read(path):
    """The `Run` in a folder.

    Raises:
      errors.UserError: there is no run, or a file of it is damaged.
      OSError: a file cannot be read.
    """
    folder = RunFolder(path)
    if not folder.has_recipe():
        raise errors.UserError(f"{path}: no run, since it has no recipe.json")
    name, recipe, dataset = folder.read_description()
    versions, _ = folder.read_versions()
    settings = {"recipe": name, **recipes.to_dict(recipe), "data": dataset["crc32"],
                **{key: versions.get(key) for key in MACHINE}}
    result, rows, times = folder.read_result(), folder.read_metrics(), folder.read_times()
    if any(not 0 <= value < 10 ** 15 for row in times for value in row.values()):
        raise errors.UserError(f"{folder.times_file}: damaged, a number is negative or too large")
    format = folder.read_format()
    finished, state = _state(folder, recipe, dataset, result, rows)
    correct, test_images, tested = None, None, [row["test_accuracy"] for row in rows]
    accuracy = next((value for value in reversed(tested) if _is_share(value)), None)
    if result:
        correct, test_images = result["test_correct"], result["test_images"]
        if not 0 <= correct <= test_images or not test_images:
            raise errors.UserError(f"{folder.result_file}: damaged, {correct} of {test_images} "
                                   "predictions are right")
        accuracy = correct / test_images
    parameters = (result or {}).get("parameters")
    if type(parameters) is not int or not 0 <= parameters < MOST_PARAMETERS:
        parameters = None
    return Run(str(path), settings, format,
               state + (f", format {format}" if format < recipes.FORMAT else ""), finished,
               correct, test_images, accuracy,
               max((row["held_out_accuracy"] for row in rows
                    if _is_share(row["held_out_accuracy"])), default=None),
               sum(row["seconds"] for row in times) if times else None,
               sum(row["images"] for row in times), parameters, rows)


def _is_share(value):
    return value is not None and 0 <= value <= 1


def _state(folder, recipe, dataset, result, rows):
    """(whether the run is finished, its state in words)."""
    images = dataset["training_images"]
    total, per_epoch = recipe.total_steps(images), recipe.steps_per_epoch(images)
    if result and (result["trained_steps"] >= total or result["early_stopping"]):
        return True, "stopped early" if result["trained_steps"] < total else "finished"
    state = "running" if locks.is_held(folder.lock_file) else "stopped"
    state += (f", epoch {rows[-1]['epoch']:.4g}/{total / per_epoch:.4g}" if rows
              else ", no epoch yet")
    if result:
        state += f", tested after epoch {result['trained_steps'] / per_epoch:.4g}"
    return False, state


def wilson(correct, images):
    """The 95 % interval of an accuracy by E. B. Wilson, 1927, also right near 0 and 1.

    Args:
      correct: number of right predictions.
      images: number of images, at least 1.

    Returns:
      (lowest, highest).
    """
    share, z = correct / images, NORMAL_QUANTILE
    middle = share + z * z / (2 * images)
    half = z * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    return ((middle - half) / (1 + z * z / images), (middle + half) / (1 + z * z / images))


def mean_and_deviation(values):
    """(mean, standard deviation of a sample) of at least two numbers."""
    return statistics.fmean(values), statistics.stdev(values)


def entries(runs):
    """Put the runs that differ in the seed alone together, the highest test accuracy first.

    Runs of one seed that differ in nothing stay apart: they say nothing about chance. The names are
    the paths from the folder that holds all runs.

    Args:
      runs: list of `Run`.

    Returns:
      A list of `Entry`.
    """
    groups = {}
    for run in runs:
        key = tuple((name, str(value)) for name, value in run.settings.items()
                    if name not in ("seed", *MACHINE, *REPORTS))
        groups.setdefault(key, []).append(run)
    folder = os.path.commonpath([os.path.dirname(run.path) for run in runs])
    found = []

    def name(run):
        return os.path.relpath(run.path, folder or os.curdir) if len(runs) > 1 else run.path

    for group in groups.values():
        if len({run.settings["seed"] for run in group}) == len(group) > 1:
            found.append(Entry(common_name(list(map(name, group))), group))
        else:
            found += [Entry(console.cut(name(run), LABEL_LENGTH), [run]) for run in group]

    def accuracy(entry):
        return statistics.fmean(entry.values(lambda run: run.test_accuracy) or [-1])

    return sorted(found, key=lambda entry: -accuracy(entry))


def common_name(paths):
    """One name for several paths: what they have in common, and * for the rest."""
    start = os.path.commonprefix(paths)
    end = os.path.commonprefix([path[len(start):][::-1] for path in paths])[::-1]
    return console.cut(f"{start}*{end}", LABEL_LENGTH)


def differences(found):
    """The settings in which entries differ.

    Args:
      found: list of `Entry`.

    Returns:
      A dictionary from the name of a setting to a list of texts, one for each entry.
    """
    texts = {}
    for name in found[0].runs[0].settings:
        values = [sorted({setting_text(run.settings[name]) for run in entry.runs})
                  for entry in found]
        if name == "seed":
            values = [[f"{len(value)} seeds"] if len(value) > 1 else value for value in values]
        if name not in REPORTS and any(value != values[0] for value in values):
            texts[name] = [console.cut(", ".join(value), LABEL_LENGTH) for value in values]
    return texts


def setting_text(value):
    """The text of a setting as on the command line; - for one that the run does not tell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return " ".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(found):
    """The comparison as a table of texts; a column that no entry has a figure for is left out.

    Args:
      found: list of `Entry`.

    Returns:
      (head, lines): list of str, and a list of as long lists of str.
    """
    def filled(figures):
        texts = {title: [_text(entry, figure, form) for entry in found]
                 for title, (figure, form) in figures.items()}
        return {title: column for title, column in texts.items() if any(column)}

    columns = {"run": [entry.name for entry in found]} | filled({
        "test accuracy": ((lambda run: run.test_accuracy), "{:.4f}"),
        "95 % interval": (_interval, "{}"),
        "held-out": ((lambda run: run.held_out_accuracy), "{:.4f}")
    }) | differences(found) | filled({
        "seconds": ((lambda run: run.seconds), "{:,.1f}"),
        "images/s": ((lambda run: run.images_per_second()), "{:,.0f}"),
        "parameters": ((lambda run: run.parameters), "{:,}")
    }) | {"state": [_states(entry) for entry in found]}
    return list(columns), [list(line) for line in zip(*columns.values())]


def _interval(run):
    return (None if run.correct is None else
            "{:.4f}-{:.4f}".format(*wilson(run.correct, run.test_images)))


def _text(entry, figure, form):
    """The text of a figure: of several runs that do not all have the same, mean ± deviation."""
    values = entry.values(figure)
    if len(entry.runs) == 1 or len(set(values)) == 1 < len(values):
        return form.format(values[0]) if values else ""
    if not values or isinstance(values[0], str):
        return ""
    if len(values) == 1:
        return form.format(values[0]) + " (1 run)"
    return " ± ".join(form.format(value) for value in mean_and_deviation(values))


def _states(entry):
    """The state of an entry's runs: 'finished', or '2 of 3 finished'."""
    if len(entry.runs) == 1:
        return entry.runs[0].state
    states = {run.state for run in entry.runs}
    done = sum(run.finished for run in entry.runs)
    if len(states) == 1:
        return states.pop()
    return f"{done} of {len(entry.runs)} finished"


def records(runs):
    """One dictionary of plain values for each run, all with the same keys, for a CSV file."""
    for run in runs:
        low, high = wilson(run.correct, run.test_images) if run.correct is not None else ("", "")
        yield {"run": run.path, "state": run.state, "test_accuracy": run.test_accuracy,
               "test_correct": run.correct, "test_images": run.test_images,
               "interval_low": low, "interval_high": high,
               "held_out_accuracy": run.held_out_accuracy, "seconds": run.seconds,
               "images_per_second": run.images_per_second(), "parameters": run.parameters,
               **{name: setting_text(value) for name, value in run.settings.items()}}
