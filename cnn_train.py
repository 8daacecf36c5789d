"""Train a network on CIFAR-10: `python cnn_train.py`.

The script trains a recipe in a run folder and tests the weights that did best on held-out images.
The same command again resumes the run.
"""

import os
import sys

if __name__ == "__main__":  # `python -I` and PYTHONSAFEPATH=1 leave out the script's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tf1cifar  # noqa: I001 - first, because it refuses a Python that is too old

if __name__ == "__main__":
    sys.excepthook = tf1cifar.excepthook
import argparse
import dataclasses
import pathlib
import platform
import signal

from tf1cifar import console, errors, machine, recipes, signals
from tf1cifar.training import hosts, resume
from tf1cifar.training.run_folder import RunFolder

EXAMPLES = """examples:
  python cnn_train.py --data-dir ~/data --epochs 20
  python cnn_train.py --recipe dropout_cnn --run-dir runs/mine --seed 7"""

LINE_WIDTH = 79  # columns of the line of the classes
ENOUGH_STEPS = 500  # of a training on own pictures


def parse_arguments(arguments=None):
    """The request that a command line makes.

    Returns:
      (recipe, options): a `recipes.Recipe`, and a namespace with recipe (its name),
      list_recipes, data_dir, run_dir, device, profile, overwrite, dataset_named (whether
      --dataset is on the line), words (the command line) and the options of
      `hosts.add_arguments`.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    chooser = console.ArgumentParser(add_help=False)
    _add_recipe_choice(chooser)
    recipe = recipes.RECIPES[chooser.parse_known_args(arguments)[0].recipe]

    parser = console.ArgumentParser(
        usage="%(prog)s [--recipe NAME] [options]",
        description="Train a network on CIFAR-10 and test it. The same command again resumes the "
        "run; a larger --epochs or --steps trains on. restore_model.py and "
        "conv_visuals.py then show the trained run.", epilog=EXAMPLES)
    common = parser.add_argument_group("common settings")
    _add_recipe_choice(common)
    common.add_argument("--data-dir", metavar="D", help="folder of the data set (default: "
                        "$CIFAR10_DIR, ./cifar-10-batches-py, the cache, or a download)")
    common.add_argument("--run-dir", metavar="R", help="run folder (default: runs/RECIPE, for "
                        "another network or data set runs/RECIPE-NETWORK, runs/RECIPE-DATASET)")
    common.add_argument("--overwrite", action="store_true",
                        help="delete the run in the run folder and start anew")
    groups = {title: parser.add_argument_group(title) for title in recipes.GROUPS}
    fields = dataclasses.fields(recipe)
    for field in fields:
        _add_field(common if field.metadata["common"] else groups[field.metadata["group"]], field,
                   getattr(recipe, field.name))
    groups[recipes.COMPUTATION].add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto",
        help="processor to compute on (default: auto, a GPU if there is one)")
    groups[recipes.REPORTS].add_argument(
        "--profile", action="store_true", help="write traces of three calls of session.run to "
        "R/profile/, for chrome://tracing or ui.perfetto.dev")
    hosts.add_arguments(parser)
    parser.add_argument("--list-recipes", action="store_true", help="list the recipes and exit")
    options = parser.parse_args(arguments)
    options.words = parser.words(arguments)

    given = {field.name: getattr(options, field.name) for field in fields
             if hasattr(options, field.name)}
    if {"epochs", "steps"} <= given.keys():
        raise errors.UserError("--epochs and --steps both say how long to train; give one")
    if "epochs" in given:
        given["steps"] = 0
    if "augment" in given:
        if "none" in given["augment"] and len(given["augment"]) > 1:
            raise errors.UserError("--augment none stands alone")
        given["augment"] = tuple(  # in one order, so that the same names are the same setting
            name for name in recipes.AUGMENTATIONS if name in given["augment"])
        if given["augment"]:
            given.setdefault("steps_per_run", 1)
    # Another network does not inherit settings that it does not have.
    known = recipes.NETWORKS[given.get("network", recipe.network)]
    for field in fields:
        if field.name in recipes.NETWORKS[recipe.network] and field.name not in known:
            given.setdefault(field.name, field.default)
    options.dataset_named = "dataset" in given
    try:
        return dataclasses.replace(recipe, **given), options
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        raise errors.UserError(f"{_flag(name)} {rest}") from error


def _add_recipe_choice(parser):
    parser.add_argument("--recipe", choices=recipes.RECIPES, default="lrn_cnn", metavar="NAME",
                        help=f"recipe to start from: {', '.join(recipes.RECIPES)} "
                        "(default: lrn_cnn)")


def _flag(name):
    return "--" + name.replace("_", "-")


def _add_field(group, field, default):
    settings = {"default": argparse.SUPPRESS}
    shown, help_text = default, field.metadata["help"]
    if field.type is bool:
        settings["action"] = argparse.BooleanOptionalAction
        shown = "yes" if default else "no"
    elif field.type is tuple:
        settings.update(nargs="+", choices=(*field.metadata["choices"], "none"), metavar="NAME")
        help_text = f"{help_text}: {', '.join(field.metadata['choices'])}, or none"
        shown = " ".join(default) or "none"
    else:
        settings.update(type=field.type, choices=field.metadata["choices"])
        if not settings["choices"]:
            settings["metavar"] = "N" if field.type is int else "X"
    help_text = f"{help_text} (default: {shown})".replace("%", "%%")
    group.add_argument(_flag(field.name), help=help_text, **settings)


def list_recipes():
    """Print a line for every recipe."""
    for name, recipe in recipes.RECIPES.items():
        length = f"{recipe.steps} steps" if recipe.steps else f"{recipe.epochs} epochs"
        print(f"{name:14}  {recipe.network} on {recipe.dataset}, batch {recipe.batch_size}, "
              f"{length}")


def load_data(recipe, options):
    """Load the recipe's data set.

    If the data set was not named with --dataset and can be neither found nor downloaded, the
    built-in data set `shapes` is used and three lines on standard error say so.

    Returns:
      (recipe, dataset): the recipe with the name of the data set, and a `base.Dataset`.

    Raises:
      errors.UserError: there is no such data set.
    """
    from tf1cifar import data
    try:
        return recipe, data.load(recipe.dataset, options.data_dir, recipe.image_size)
    except errors.Failure as error:
        hint = data.DOWNLOAD_HINTS[recipe.dataset]
        if options.dataset_named:
            raise errors.UserError(f"no data set {recipe.dataset}: {error}. {hint}") from error
        title = data.TITLES[recipe.dataset]
        if console.progress.silent:  # the chief says it
            return _shapes(recipe)
        print(f"NO {title} HERE: {error}; not in the usual folders or the cache either.\n"
              f"TRAINING ON THE BUILT-IN DATA SET shapes INSTEAD: no figure below is {title}'s.\n"
              f"{hint} Then run this command again{' with --overwrite' * bool(options.run_dir)}.",
              file=sys.stderr)
        return _shapes(recipe)


def _shapes(recipe):
    from tf1cifar import data
    return dataclasses.replace(recipe, dataset="shapes"), data.load("shapes")


def check(recipe, description, where=None):
    """Raise an `errors.UserError` if the recipe cannot be trained on the data set described.

    Args:
      where: the `hosts.Hosts` of several tasks, None for a training in one process.
    """
    from tf1cifar.data import preparation
    if description["training_images"] < 1:
        raise errors.UserError(f"--held-out {recipe.held_out} leaves no image to train on")
    if "hue" in recipe.augment and description["image_shape"][-1] != 3:
        raise errors.UserError(f"--augment hue needs colours, and {recipe.dataset} has none")
    preparation.prepared_shape(description["image_shape"], recipe.preparation)
    if where:
        from tf1cifar.data import feed
        tasks, images = len(where.addresses), description["training_images"]
        smallest = feed.smallest_batch(images, recipe.batch_size, recipe.order)
        if smallest < tasks:
            raise errors.UserError(
                f"{tasks} tasks need an image each of every batch, but --batch-size "
                f"{recipe.batch_size} divides the {images:,} training images so that a batch has "
                f"{smallest}; give another --batch-size or fewer tasks")


def oversized_batch(recipe, images):
    """The line about a batch that is larger than the number of training images."""
    batch = ("a batch draws images more than once" if recipe.order == "with_replacement"
             else "a batch holds them all")
    return (f"--batch-size {recipe.batch_size} is more than the {images:,} training images: "
            f"{batch}, and an epoch is one step")


def few_steps(recipe, images):
    """The line about a training on own pictures that is too short to learn much, '' for others."""
    steps = recipe.total_steps(images)
    if recipe.dataset != "folders" or recipe.steps or steps >= ENOUGH_STEPS:
        return ""
    epochs = -(-ENOUGH_STEPS // recipe.steps_per_epoch(images))
    return (f"{recipe.epochs} epochs of {images:,} pictures are {steps} training steps, which is "
            f"little; --epochs {epochs} makes {ENOUGH_STEPS:,}")


def class_line(names):
    """The line with the names of the classes, as many as fit."""
    return console.cut(f"{len(names):,} classes: {', '.join(names)}", LINE_WIDTH)


def next_commands(path):
    """The lines that end a run at `path`: the commands that use it."""
    restore, visuals = (machine.shown_path(pathlib.Path(__file__).with_name(name))
                        for name in ("restore_model.py", "conv_visuals.py"))
    return (f"to test it or classify pictures: {machine.command(restore, path)}\n"
            f"to draw its layers: {machine.command(visuals, '--run', path)}")


def main(arguments=None):
    """Run the script.

    Args:
      arguments: the command line as a list, or as a str; by default that of the process.
    """
    recipe, options = parse_arguments(arguments)
    if options.list_recipes:
        return list_recipes()
    line = hosts.not_needed(options, os.environ)
    if line:
        return print(line)
    where = hosts.from_options(options, os.environ)
    if options.processes > 1 and not where:
        return hosts.launch(__file__, options.words, options.processes)
    if where and not where.chief:
        return work(where, recipe, options)
    recipe, dataset = load_data(recipe, options)
    from tf1cifar import data
    description = data.describe(dataset, recipe)
    check(recipe, description, where)
    folder = (RunFolder(options.run_dir) if options.run_dir
              else resume.default_folder(options.recipe, recipe, description))
    with folder.locked():
        plan = resume.decide(folder, recipe, description, options.overwrite)
        if plan.finished:
            print(plan.finished)
        else:
            images = description["training_images"]
            console.say(f"recipe {resume.run_name(options.recipe, recipe)} on {dataset.name} "
                        f"({dataset.directory}): {images:,} training, "
                        f"{description['held_out_images']:,} held-out and "
                        f"{description['test_images']:,} test images")
            if dataset.name == "folders":  # whose classes may be other folders than were meant
                console.say(class_line(dataset.class_names))
            if dataset.note:
                console.say(dataset.note)
            if recipe.batch_size > images:
                print(oversized_batch(recipe, images), file=sys.stderr)
            if few_steps(recipe, images):
                print(few_steps(recipe, images), file=sys.stderr)
        if where:
            lead(where, recipe, plan, dataset, folder, options)
        elif not plan.finished:
            train(plan, dataset, folder, options)
    return None


def lead(where, recipe, plan, dataset, folder, options):
    """Be the chief of several tasks: tell the others whether to train, and `train`."""
    with console.quiet_tensorflow():
        from tf1cifar.training import cluster
    with cluster.join(where, options.device, recipe, plan.description) as tasks:
        if plan.finished:
            tasks.of_chief(None)
        else:
            train(plan, dataset, folder, options, tasks)


def work(where, recipe, options):
    """Be another task than the chief: train what the chief says, and write and print nothing."""
    console.progress.silent = True
    recipe, dataset = load_data(recipe, options)
    from tf1cifar import data
    description = data.describe(dataset, recipe)
    check(recipe, description, where)
    with console.quiet_tensorflow():
        from tf1cifar.training import cluster, loop
    with cluster.join(where, options.device, recipe, description) as tasks:
        chosen = tasks.of_chief(None)
        if chosen:
            with signals.caught() as caught:
                loop.train(recipes.from_dict(chosen), dataset, None, options.device,
                           should_stop=lambda: stop_signal(caught, where), tasks=tasks)


def stop_signal(caught, where):
    """The signal that ends the training: one that this process got, or its launcher's end."""
    if caught:
        return caught[0]
    return signal.SIGTERM if where and where.launcher_gone() else 0


def train(plan, dataset, folder, options, tasks=None):
    """Train as planned in the locked run folder, and print the result.

    Args:
      tasks: a `cluster.Cluster` whose chief this process is; None for a training in one process.
    """
    with console.quiet_tensorflow() as tf:
        import matplotlib
        import numpy

        from tf1cifar.data import base, preparation
        from tf1cifar.training import alone, loop, precision, session
    tasks = tasks or alone.Alone()
    session.session_config(options.device)  # raises if the device does not exist
    gpu = session.unused_gpu() if options.device == "auto" else ""
    if gpu:
        print(f"computing on the CPU: {gpu}", file=sys.stderr)
    recipe = plan.recipe
    if recipe.precision == "auto":
        shape = preparation.prepared_shape(plan.description["image_shape"], recipe.preparation)
        chosen, line = precision.choose(recipe, shape, len(dataset.class_names), options.device)
        recipe = dataclasses.replace(recipe, precision=chosen)
        console.say(line)
    tasks.of_chief(recipes.to_dict(recipe))
    if not plan.resume:
        folder.clear()
    name = resume.run_name(options.recipe, recipe)
    on_gpu = options.device != "cpu" and tf.config.list_physical_devices("GPU")
    versions, changes = {
        "python": platform.python_version(), "tensorflow": tf.__version__,
        "numpy": numpy.__version__, "matplotlib": matplotlib.__version__, **machine.record(),
        "device": "GPU" if on_gpu else "CPU", "tasks": str(tasks.count)}, []
    if plan.resume:
        versions, changes, lines = resume.changes(folder, versions)
        for line in lines:
            print(line, file=sys.stderr)
    folder.write_description(name, recipe, plan.description, versions, changes)
    with signals.caught() as caught:
        result = loop.train(recipe, dataset, folder, options.device, options.profile,
                            should_stop=lambda: stop_signal(caught, tasks.where), tasks=tasks)
    console.say(result.line())
    title = base.title(dataset.name, dataset.directory)
    console.say(f"on {title}, with {folder.read_result()['checkpoint']}; {folder.path} "
                "holds checkpoints, metrics.csv, learning_curve.png, events and saved_model")
    console.say(next_commands(folder.path))


if __name__ == "__main__":
    console.run(main, "cnn_train.py")
