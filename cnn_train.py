"""Train a network on CIFAR-10: `python cnn_train.py`.

Trains a recipe in a run folder and tests the weights that did best on held-out images.
The same command again takes the run up where it stopped.
"""

import argparse
import dataclasses
import pathlib
import platform
import re
import sys

import console
import recipes
from training.run_folder import RunFolder


def parse_arguments(arguments=None):
    """What a command line asks for.

    Returns:
      (recipe, options): a `recipes.Recipe`, and a namespace with recipe (the name),
      list_recipes, data_dir, run_dir, device, profile, overwrite and dataset_asked (whether
      --dataset is on the line).

    Raises:
      console.UserError: it cannot be done.
    """
    chooser = console.ArgumentParser(add_help=False)
    _add_recipe_choice(chooser)
    recipe = recipes.RECIPES[chooser.parse_known_args(arguments)[0].recipe]

    parser = console.ArgumentParser(
        description="Train a network on CIFAR-10 and test it. The same command again takes the "
        "run up where it stopped; a larger --epochs or --steps trains on.",
        epilog="Then look at the run with restore_model.py and conv_visuals.py.")
    _add_recipe_choice(parser)
    parser.add_argument("--list-recipes", action="store_true", help="tell what recipes there are")
    parser.add_argument("--data-dir", metavar="D", help="folder of the data set (default: "
                        "$CIFAR10_DIR, ./cifar-10-batches-py, the cache, else a download)")
    parser.add_argument("--run-dir", metavar="R", help="run folder (default: runs/RECIPE)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto",
                        help="what to compute on (default: auto, a GPU if there is one)")
    parser.add_argument("--profile", action="store_true",
                        help="trace three calls of session.run, to R/profile/, for "
                        "chrome://tracing or ui.perfetto.dev")
    parser.add_argument("--overwrite", action="store_true",
                        help="start anew in a run folder that holds a run")
    group = parser.add_argument_group("settings, with the recipe's defaults")
    for field in dataclasses.fields(recipe):
        _add_field(group, field, getattr(recipe, field.name))
    options = parser.parse_args(arguments)

    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(recipe)
             if hasattr(options, field.name)}
    if {"epochs", "steps"} <= given.keys():
        raise console.UserError("--epochs and --steps both say how long to train; give one")
    if "epochs" in given:
        given["steps"] = 0
    if "augment" in given:
        if "none" in given["augment"] and len(given["augment"]) > 1:
            raise console.UserError("--augment none stands alone")
        given["augment"] = tuple(  # in one order, so that the same names are the same setting
            name for name in recipes.AUGMENTATIONS if name in given["augment"])
        if given["augment"]:
            given.setdefault("steps_per_run", 1)
    options.dataset_asked = "dataset" in given
    try:
        return dataclasses.replace(recipe, **given), options
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        raise console.UserError(f"{_flag(name)} {rest}") from error


def _add_recipe_choice(parser):
    parser.add_argument("--recipe", choices=recipes.RECIPES, default="lrn_cnn",
                        help="the settings to start from (default: lrn_cnn)")


def _flag(name):
    return "--" + name.replace("_", "-")


def _add_field(group, field, default):
    settings = {"default": argparse.SUPPRESS}
    shown = default
    if field.type is bool:
        settings["action"] = argparse.BooleanOptionalAction
        shown = "yes" if default else "no"
    elif field.type is tuple:
        settings.update(nargs="+", choices=(*field.metadata["choices"], "none"))
        shown = " ".join(default) or "none"
    else:
        settings.update(type=field.type, choices=field.metadata["choices"])
        if not settings["choices"]:
            settings["metavar"] = "N" if field.type is int else "X"
    help_text = field.metadata["help"].replace("%", "%%")
    group.add_argument(_flag(field.name), help=f"{help_text} (default: {shown})", **settings)


def list_recipes():
    """Print a line for every recipe."""
    for name, recipe in recipes.RECIPES.items():
        length = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs"
        print(f"{name:14}  {recipe.network} on {recipe.dataset}, batch {recipe.batch_size}, "
              f"{length}")


def load_data(recipe, options):
    """(recipe, dataset): the data set, and the recipe with the one that was found.

    A data set that nobody insisted on is replaced by the built-in shapes when it is neither
    here nor to be had; three lines on standard error say so.
    """
    import datasets
    try:
        return recipe, datasets.load(recipe.dataset, options.data_dir)
    except console.Failure as error:
        how = datasets.HOW_TO_GET[recipe.dataset]
        if options.dataset_asked:
            raise console.UserError(f"no data set {recipe.dataset}: {error}. {how}") from error
        title = datasets.TITLES[recipe.dataset]
        print(f"NO {title} HERE: {error}; not in the usual folders or the cache either.\n"
              f"TRAINING ON THE BUILT-IN DATA SET shapes INSTEAD: no figure below is {title}'s.\n"
              f"{how} Then train with --overwrite.", file=sys.stderr)
        recipe = dataclasses.replace(recipe, dataset="shapes")
        return recipe, datasets.load("shapes")


def native_bfloat16():
    """Whether the processor multiplies bfloat16 itself, without which it is slow."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return False
    return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", flags))


def resolved(recipe, device, folder=None):
    """The recipe with what 'auto' means: what the run in `folder` began with, else what fits here.

    A GPU gets float32; bfloat16 is a choice there, since what it gains was never measured. The
    `lrn` of a new run stays 'auto' until TensorFlow is there to choose, see `training.faster`.
    """
    if folder and folder.begun():
        run = folder.read_description()[1]
        if recipe.precision == "auto":
            recipe = dataclasses.replace(recipe, precision=run.precision)
        if recipe.lrn == "auto" and recipe.network == run.network:
            recipe = dataclasses.replace(recipe, lrn=run.lrn)
    if recipe.precision != "auto":
        return recipe
    gpu = device != "cpu" and any(pathlib.Path("/dev").glob("nvidia[0-9]*"))
    return dataclasses.replace(
        recipe, precision="bfloat16" if native_bfloat16() and not gpu else "float32")


def check(recipe, description):
    """Raise a `console.UserError` if the recipe cannot be trained on the data set."""
    import cifar_tools
    if description["training_images"] < 1:
        raise console.UserError(f"--held-out {recipe.held_out} leaves no image to train on")
    if "hue" in recipe.augment and description["image_shape"][-1] != 3:
        raise console.UserError(f"--augment hue needs colours, and {recipe.dataset} has none")
    cifar_tools.prepared_shape(description["image_shape"], recipe.preparation)


def main():
    recipe, options = parse_arguments()
    if options.list_recipes:
        return list_recipes()
    folder = RunFolder(options.run_dir or f"runs/{options.recipe}")
    recipe = resolved(recipe, options.device, None if options.overwrite else folder)
    recipe, dataset = load_data(recipe, options)
    import datasets
    description = datasets.describe(dataset, recipe)
    check(recipe, description)
    resume = not options.overwrite and folder.can_resume(recipe, description)
    if resume and (finished := folder.finished(recipe, description)):
        print(finished)
        return None

    print(f"recipe {options.recipe} on {dataset.name} ({dataset.directory}): "
          f"{description['training_images']:,} training, {description['held_out_images']:,} "
          f"held-out and {description['test_images']:,} test images", flush=True)
    if dataset.note:
        print(dataset.note)
    with console.quiet_tensorflow() as tf:
        import matplotlib
        import numpy

        from training import faster, loop
    loop.session_config(options.device)  # refuses a device that is not there
    with folder.locked():
        # Another process may have trained here and died while TensorFlow was imported.
        recipe = resolved(recipe, options.device, None if options.overwrite else folder)
        resume = not options.overwrite and folder.can_resume(recipe, description)
        if not resume:
            recipe = faster.choose_lrn(recipe, options.device)
            folder.clear()
        folder.write_description(options.recipe, recipe, description, {
            "python": platform.python_version(), "tensorflow": tf.__version__,
            "numpy": numpy.__version__, "matplotlib": matplotlib.__version__})
        result = loop.train(recipe, dataset, folder, options.device, options.profile)
    print(result.line())
    print(f"on {dataset.name}, with {folder.read_result()['checkpoint']}; everything is in "
          f"{folder.path}: checkpoints, metrics.csv, learning_curve.png, events, saved_model")
    return None


if __name__ == "__main__":
    console.run(main, "cnn_train.py")
