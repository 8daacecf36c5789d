"""The decision about a run folder: start anew, resume, or leave a finished run alone."""

import dataclasses
from typing import NamedTuple

from tf1cifar import errors, recipes
from tf1cifar.training.checkpoints import Checkpoints


class Plan(NamedTuple):
    """The decision about a run folder."""
    recipe: recipes.Recipe  # 'auto' settings are those of the run that is there, if they fit
    resume: bool            # False clears the folder first
    finished: str           # a line that says that the run is done, '' while it is not


def decide(folder, recipe, description, overwrite=False):
    """Decide between a new run, a resumed one and a finished one.

    Args:
      folder: a locked `run_folder.RunFolder`.
      recipe: the `recipes.Recipe` of the command.
      description: the dictionary of `data.describe`.
      overwrite: whether to delete a run that is there.

    Returns:
      A `Plan`. The precision of a new run may still be 'auto', see `precision.choose`.

    Raises:
      errors.UserError: the folder holds something that the command cannot continue.
    """
    if overwrite:
        return Plan(resolve_lrn(recipe), False, "")
    if not folder.has_recipe():
        if leftover := folder.leftover_files():
            raise errors.UserError(f"{leftover[0]} is there, but no recipe.json; give another "
                                   "--run-dir, or --overwrite to delete it")
        return Plan(resolve_lrn(recipe), False, "")
    if not folder.has_checkpoints():
        if folder.metrics_file.exists() or folder.result_file.exists():
            raise errors.UserError(f"{folder.checkpoints} is empty or gone, so the run cannot "
                                   "resume; give another --run-dir, or --overwrite to start anew")
        return Plan(resolve_lrn(_as_chosen_before(folder, recipe)), False, "")

    _, run, dataset = folder.read_description()
    recipe = keep_choices(recipe, run)
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


def keep_choices(recipe, run):
    """Replace 'auto' settings by those of the run that `recipe` continues.

    Args:
      recipe: a `recipes.Recipe`.
      run: the recipe of the run.

    Returns:
      A `recipes.Recipe`.
    """
    if recipe.precision == "auto":
        recipe = dataclasses.replace(recipe, precision=run.precision)
    if recipe.lrn == "auto" and recipe.network == run.network:
        recipe = dataclasses.replace(recipe, lrn=run.lrn)
    return recipe


def _as_chosen_before(folder, recipe):
    """The recipe with the choices of a run that was killed before its first checkpoint.

    The run starts anew, but a new timing must not decide differently. Other settings than those
    of the run, or a damaged recipe.json, make it another run.
    """
    try:
        run = folder.read_description()[1]
    except errors.UserError:
        return recipe
    kept = keep_choices(recipe, run)
    return recipe if recipes.differences(run, kept) else kept


def resolve_lrn(recipe):
    """Replace the setting 'auto' of `lrn` by 'product'.

    On a CPU the product with its gradient is 4 to 5 times as fast as TensorFlow's operation
    (benchmarks/lrn.py). On a GPU nobody has compared them yet; --lrn native is TensorFlow's.

    Args:
      recipe: a `recipes.Recipe`.

    Returns:
      A `recipes.Recipe`; `recipe` itself if its network has no option `lrn`.
    """
    if recipe.lrn == "auto" and "lrn" in recipes.NETWORKS[recipe.network]:
        return dataclasses.replace(recipe, lrn="product")
    return recipe
