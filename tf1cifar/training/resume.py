"""The decision about a run folder: which one, and start anew, resume or leave a finished run alone.

    run_name        the name of a run, from which titles and the default folder are made
    title           the heading of a run's figures
    default_folder  the run folder of a command that names none
    decide          start anew, resume, or leave a finished run alone
    changes         what is different since the run began and decides over its bits
"""

import dataclasses
import sys
from typing import NamedTuple

from tf1cifar import console, errors, recipes
from tf1cifar.training import sources
from tf1cifar.training.checkpoints import Checkpoints
from tf1cifar.training.run_folder import RunFolder

# Parts of the record in recipe.json that decide over the last bits of a result.
DECISIVE = ("tensorflow", "processor", "cores", "TF_ENABLE_ONEDNN_OPTS", "device", "tasks")


class Plan(NamedTuple):
    """The decision about a run folder."""
    recipe: recipes.Recipe  # 'auto' settings are those of the run that is there, if they fit
    resume: bool            # False clears the folder first
    finished: str           # a line that says that the run is done, '' while it is not
    description: dict       # the data set, for recipe.json


def run_name(name, recipe):
    """The name of a run, which tells when another network than the named recipe's is trained.

    Args:
      name: a key of `recipes.RECIPES`.
      recipe: the `recipes.Recipe` of the command, which began as `RECIPES[name]`.
    """
    if recipe.network == recipes.RECIPES[name].network:
        return name
    return f"{name} with network {recipe.network}"


def title(folder):
    """The heading of the figures of the run in a `run_folder.RunFolder`."""
    from tf1cifar.data import base
    name, _, dataset = folder.read_description()
    return console.plain(f"{name} on {base.title(dataset['name'], dataset['directory'])}")


def default_folder(name, recipe, description):
    """The run folder of a command that names none.

    It is runs/NAME, and for another network or data set than the recipe's own runs/NAME-NETWORK,
    runs/NAME-DATASET or runs/NAME-NETWORK-DATASET. Earlier versions trained all of them in
    runs/NAME, so a run that is there goes on there, and is in no other run's way.

    Args:
      name, recipe: see `run_name`.
      description: the dictionary of `data.describe`.

    Returns:
      A `run_folder.RunFolder`.
    """
    own, plain = recipes.RECIPES[name], RunFolder(f"runs/{name}")
    changed = [now for now, before in ((recipe.network, own.network),
                                       (recipe.dataset, own.dataset)) if now != before]
    try:
        _, run, dataset = plain.read_description()
    except errors.UserError:  # no run, or one that `decide` refuses
        run = None
    if run and changed:
        folder = RunFolder("-".join([f"runs/{name}", *changed]))
        same = (not recipes.differences(run, keep_choices(recipe, run))
                and not _other_images(dataset, description))
        return plain if same and not folder.has_recipe() else folder
    if run:
        changed = [now for now, before in ((recipe.network, run.network),
                                           (recipe.dataset, run.dataset)) if now != before]
    return RunFolder("-".join([f"runs/{name}", *changed]))


def decide(folder, recipe, description, overwrite=False, source=None, asked=()):
    """Decide between a new run, a resumed one and a finished one.

    Args:
      folder: a locked `run_folder.RunFolder`.
      recipe: the `recipes.Recipe` of the command.
      description: the dictionary of `data.describe`.
      overwrite: whether to delete a run that is there.
      source, asked: the `sources.Source` of the initial weights and the list of --map.

    Returns:
      A `Plan`. The precision of a new run may still be 'auto', see `precision.choose`.

    Raises:
      errors.UserError: the folder holds something that the command cannot continue.
    """
    if overwrite:
        return Plan(resolve_lrn(recipe), False, "", description)
    if not folder.has_recipe():
        if leftover := folder.leftover_files():
            raise errors.UserError(f"{leftover[0]} is there, but no recipe.json; give another "
                                   "--run-dir, or --overwrite to delete it")
        return Plan(resolve_lrn(recipe), False, "", description)
    if not folder.has_checkpoints():
        if folder.metrics_file.exists() or folder.result_file.exists():
            raise errors.UserError(f"{folder.checkpoints} is empty or gone, so the run cannot "
                                   "resume; give another --run-dir, or --overwrite to start anew")
        return Plan(resolve_lrn(_as_chosen_before(folder, recipe)), False, "", description)

    _, run, dataset = folder.read_description()
    recipe = keep_choices(recipe, run)
    changed = (recipes.differences(run, recipe)
               + sources.differences(folder, source, asked))
    other_images = _other_images(dataset, description)
    if not changed and other_images and not _same_numbers(dataset, description):
        changed = [other_images]
    if changed:
        raise errors.UserError(
            f"{folder.path} holds a run with other settings ({'; '.join(changed)}); give "
            "the same settings to resume it, another --run-dir, or --overwrite to start anew")
    asked, saved = (recipe.total_steps(description["training_images"]),
                    Checkpoints(folder.checkpoints).saved())
    if saved and saved[-1][0] > asked:
        raise errors.UserError(f"{folder.path} is trained for {saved[-1][0]} steps already, "
                               f"more than the {asked} asked for; give a larger --epochs or "
                               "--steps, another --run-dir, or --overwrite to start anew")
    done = finished(folder, recipe, description)
    if other_images and not done:
        print(f"{other_images}; the run goes on with the pictures that are there now",
              file=sys.stderr)
        earlier = dataset.get("earlier_crc32")
        description = {**description, "earlier_crc32": [
            *(earlier if isinstance(earlier, list) else []), dataset["crc32"]]}
    return Plan(recipe, True, done, description)


def changes(folder, now):
    """What is different since a run began, or was taken up last, and decides over its bits.

    Args:
      folder: the `run_folder.RunFolder` of a run that is taken up.
      now: dictionary of str, the record of this process.

    Returns:
      (versions, changes, lines): the record of the process that began the run, completed where an
      older version of this project wrote it; all changes so far, for recipe.json; a line for each
      new one.
    """
    began, earlier = folder.read_versions()
    saved = Checkpoints(folder.checkpoints).saved()
    before = {"tasks": "1", **began,  # older versions of this project had one
               **{change["what"]: change["now"] for change in earlier}}
    new = [{"step": saved[-1][0] if saved else 0, "what": name, "before": before[name],
            "now": now[name]}
           for name in DECISIVE if name in now and before.get(name, now[name]) != now[name]]
    lines = [f"{change['what']}: {change['before']} before, {change['now']} now: the run may end "
             "in other bits than an undisturbed one" for change in new]
    return {**now, **began}, earlier + new, lines


def _other_images(before, now):
    from tf1cifar import data  # needs NumPy, which the caller has loaded for the description
    return data.difference(before, now)


def _same_numbers(before, now):
    """Whether own pictures have the classes and numbers that they had when the run began.

    A photo that was edited must not end a run. Other numbers would change the length of an epoch.
    """
    names = ("class_names", "image_shape", "training_images", "held_out_images", "test_images")
    return now["name"] == "folders" and all(before.get(name) == now[name] for name in names)


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
    from tf1cifar.data import base
    epochs = trained / recipe.steps_per_epoch(images)
    length = f" ({epochs:.4g} epoch{'s' * (epochs != 1)})" * (epochs >= 1)
    return (f"{folder.path} is finished: {trained} steps{length} on "
            f"{base.title(description['name'], description['directory'])}, "
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
