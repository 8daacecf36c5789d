"""The decision about a run folder: start anew, resume, or leave a finished run alone."""

import dataclasses
import pathlib
import re
from typing import NamedTuple

from tf1cifar import errors, recipes
from tf1cifar.training.checkpoints import Checkpoints


class Plan(NamedTuple):
    """The decision about a run folder."""
    recipe: recipes.Recipe  # 'auto' settings of a run that resumes are those of that run
    resume: bool            # False clears the folder first
    finished: str           # a line that says that the run is done, '' while it is not


def decide(folder, recipe, description, device="auto", overwrite=False):
    """Decide between a new run, a resumed one and a finished one.

    Args:
      folder: a locked `run_folder.RunFolder`.
      recipe: the `recipes.Recipe` of the command.
      description: the dictionary of `data.describe`.
      device: 'auto', 'cpu' or 'gpu'.
      overwrite: whether to delete a run that is there.

    Returns:
      A `Plan`.

    Raises:
      errors.UserError: the folder holds something that the command cannot continue.
    """
    if overwrite:
        return Plan(resolve_auto(recipe, device), False, "")
    if not folder.has_recipe():
        if leftover := folder.leftover_files():
            raise errors.UserError(f"{leftover[0]} is there, but no recipe.json; give another "
                                   "--run-dir, or --overwrite to delete it")
        return Plan(resolve_auto(recipe, device), False, "")
    if not folder.has_checkpoints():
        if folder.metrics_file.exists() or folder.result_file.exists():
            raise errors.UserError(f"{folder.checkpoints} is empty or gone, so the run cannot "
                                   "resume; give another --run-dir, or --overwrite to start anew")
        return Plan(resolve_auto(recipe, device), False, "")  # no checkpoint yet: nothing to keep

    _, run, dataset = folder.read_description()
    recipe = resolve_auto(recipe, device, run)
    changed = recipes.differences(run, recipe)
    if not changed and dataset["crc32"] != description["crc32"]:
        changed = [f"other images in {description['directory']} than in "
                   f"{dataset['directory']} before"]
    if changed:
        raise errors.UserError(
            f"{folder.path} holds a run with other settings ({'; '.join(changed)}); give "
            "the same settings to resume it, another --run-dir, or --overwrite to start anew")
    asked, saved = (recipe.total_steps(description["training_images"]),
                    Checkpoints(folder.checkpoints).saved())
    if saved and saved[-1][0] > asked:
        raise errors.UserError(f"{folder.path} is trained for {saved[-1][0]} steps already, "
                               f"more than the {asked} asked for; give a larger --epochs or "
                               "--steps")
    return Plan(recipe, True, finished(folder, recipe, description))


def finished(folder, recipe, description):
    """A line that says that the run is done and how to train on; '' while it is not done."""
    result = folder.read_result()
    if not result:
        return ""
    trained, images = result["trained_steps"], description["training_images"]
    if trained < recipe.total_steps(images):
        if not recipe.early_stopping or recipe.early_stopping > result["early_stopping"]:
            return ""
        longer = f"--early-stopping {2 * recipe.early_stopping}"
    else:
        longer = f"--steps {2 * trained}" if recipe.steps else f"--epochs {2 * recipe.epochs}"
    epochs = trained / recipe.steps_per_epoch(images)
    return (f"{folder.path} is finished: {trained} steps "
            f"({epochs:.4g} epoch{'s' * (epochs != 1)}) on {description['name']}, "
            f"test accuracy {result['test_accuracy']:.4f} "
            f"({result['test_correct']}/{result['test_images']}); train on with a larger "
            f"number, such as {longer}")


def resolve_auto(recipe, device, run=None):
    """Replace 'auto' settings by those of a run, or by the defaults of this machine.

    A GPU gets float32. The `lrn` of a new run stays 'auto' until TensorFlow can be asked, see
    `lrn_timing.choose_lrn`.

    Args:
      recipe: a `recipes.Recipe`.
      device: 'auto', 'cpu' or 'gpu'.
      run: the recipe of the run that resumes, None for a new run.

    Returns:
      A recipe whose `precision` is not 'auto'.
    """
    if run and recipe.precision == "auto":
        recipe = dataclasses.replace(recipe, precision=run.precision)
    if run and recipe.lrn == "auto" and recipe.network == run.network:
        recipe = dataclasses.replace(recipe, lrn=run.lrn)
    if recipe.precision == "auto":
        gpu = device != "cpu" and any(pathlib.Path("/dev").glob("nvidia[0-9]*"))
        recipe = dataclasses.replace(
            recipe, precision="bfloat16" if native_bfloat16() and not gpu else "float32")
    return recipe


def native_bfloat16():
    """Whether the processor has instructions for bfloat16, without which it is slow."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False
    return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", flags))
