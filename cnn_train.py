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
from tf1cifar.training import hosts, resume, sources
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
      list_recipes, summary, data_dir, run_dir, device, profile, overwrite, map, source (a
      `sources.Source` or None), dataset_named (whether --dataset is on the line), words (the
      command line) and the options of `hosts.add_arguments`.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    chooser = console.ArgumentParser(add_help=False)
    _add_choices(chooser)
    chosen = chooser.parse_known_args(arguments)[0]
    source = None
    if chosen.init_from:
        chosen.run_dir = chosen.run_dir or sources.run_dir(chosen.init_from)
        source = sources.find(chosen.init_from, chosen.run_dir)
        if not chosen.recipe and source.name:
            known = source.name.partition(" ")[0]  # 'lrn_cnn with network linear'
            chosen.recipe = known if known in recipes.RECIPES else None
    chosen.recipe = chosen.recipe or "lrn_cnn"
    recipe = recipes.RECIPES[chosen.recipe]
    if source:
        recipe = sources.settings(recipe, source)

    parser = console.ArgumentParser(
        usage="%(prog)s [--recipe NAME] [options]",
        description="Train a network on CIFAR-10 and test it. The same command again resumes the "
        "run; a larger --epochs or --steps trains on. restore_model.py and "
        "conv_visuals.py then show the trained run.", epilog=EXAMPLES)
    common = parser.add_argument_group("common settings")
    _add_choices(common)
    common.add_argument("--data-dir", metavar="D", help="folder of the data set (default: "
                        "$CIFAR10_DIR, ./cifar-10-batches-py, the cache, or a download)")
    common.add_argument("--overwrite", action="store_true",
                        help="delete the run in the run folder and start anew")
    common.add_argument("--map", metavar="OURS=THEIRS", action="append", default=[],
                        help="with --init-from: the weight or layer OURS comes from the variable "
                        "or scope THEIRS, or starts anew with OURS=new; may be given several times")
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
    parser.add_argument("--summary", action="store_true",
                        help="print the layers of the network and exit")
    options = parser.parse_args(arguments)
    options.words = parser.words(arguments)

    if options.map and not source:
        raise errors.UserError("--map says where initial weights come from; give --init-from too")
    options.source, options.recipe, options.run_dir = source, chosen.recipe, chosen.run_dir
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
    if "freeze" in given:
        given["freeze"] = tuple(sorted({scope.rstrip("/") for scope in given["freeze"]}))
    if source and source.recipe and given.get("dataset", recipe.dataset) == "folders":
        given.setdefault("image_size", source.description["image_shape"][0])
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


def _add_choices(parser):
    """Add the options that decide over the defaults of all others."""
    parser.add_argument("--recipe", choices=recipes.RECIPES, metavar="NAME",
                        help=f"recipe to start from: {', '.join(recipes.RECIPES)} "
                        "(default: lrn_cnn, with --init-from that of the run)")
    parser.add_argument("--init-from", metavar="S", help="run folder or checkpoint from which the "
                        "initial weights come; a run also decides over network and preparation, "
                        "and with other classes the last layer starts anew")
    parser.add_argument("--run-dir", metavar="R", help="run folder (default: runs/RECIPE, for "
                        "another network or data set runs/RECIPE-NETWORK, runs/RECIPE-DATASET, "
                        "with --init-from runs/SOURCE-tuned)")


def _flag(name):
    return "--" + name.replace("_", "-")


def _add_field(group, field, default):
    settings = {"default": argparse.SUPPRESS}
    shown, help_text = default, field.metadata["help"]
    if field.type is bool:
        settings["action"] = argparse.BooleanOptionalAction
        shown = "yes" if default else "no"
    elif field.type is tuple and not field.metadata["choices"]:
        settings.update(nargs="+", metavar="NAME")
        shown = " ".join(default) or "none"
    elif field.type is tuple:
        settings.update(nargs="+", choices=(*field.metadata["choices"], "none"), metavar="NAME")
        help_text = f"{help_text}: {', '.join(field.metadata['choices'])}, or none"
        shown = " ".join(default) or "none"
    else:
        settings.update(type=field.type, choices=field.metadata["choices"])
        if field.metadata["choices"] and len(",".join(field.metadata["choices"])) > 44:
            settings["metavar"] = "NAME"  # the help text explains each of them
        elif not settings["choices"]:
            settings["metavar"] = "N" if field.type is int else "X"
    help_text = f"{help_text} (default: {shown})".replace("%", "%%")
    group.add_argument(_flag(field.name), help=help_text, **settings)


def list_recipes():
    """Print a line for every recipe."""
    for name, recipe in recipes.RECIPES.items():
        length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs} epochs"
        accuracy, minutes = recipes.MEASURED[name]
        print(f"{name:14} {accuracy} % in {minutes:g} min: {recipe.network} on {recipe.dataset}, "
              f"{length} of {recipe.batch_size} images")
    print("accuracies and times on two cores of an AMD EPYC, see docs/results.md")


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


def print_summary(recipe, image_shape, num_classes):
    """Print the layers of the recipe's network.

    Args:
      recipe: a `recipes.Recipe`.
      image_shape: (height, width, channels) of the images of the data set.
      num_classes: number of classes.
    """
    from tf1cifar.data import preparation
    from tf1cifar.training import network_summary
    shape = preparation.prepared_shape(image_shape, recipe.preparation)
    for line in network_summary.lines(recipe, shape, num_classes):
        console.say(line)


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


def next_commands(path, recipe, data_dir=None):
    """The lines that end a run at `path`: the commands that use it, and a better recipe."""
    restore, visuals, train = (machine.shown_path(pathlib.Path(__file__).with_name(name))
                               for name in ("restore_model.py", "conv_visuals.py", "cnn_train.py"))
    lines = [f"to test it or classify pictures: {machine.command(restore, path)}",
             f"to draw its layers: {machine.command(visuals, '--run', path)}"]
    if (recipe.network, recipe.dataset) == ("lrn_cnn", "cifar10"):
        place = ("--data-dir", data_dir) if data_dir else ()
        lines.append("for a higher accuracy in less time: "
                     f"{machine.command(train, '--recipe', 'fast', *place)}")
    return "\n".join(lines)


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
    if options.summary and recipe.dataset != "folders":  # which needs no data
        from tf1cifar import data
        with console.quiet_tensorflow():
            return print_summary(recipe, *data.FORMS[recipe.dataset])
    where = hosts.from_options(options, os.environ)
    if options.processes > 1 and not where and not options.summary:
        return hosts.launch(__file__, options.words, options.processes)
    if where and not where.chief and not options.summary:
        return work(where, recipe, options)
    recipe, dataset = load_data(recipe, options)
    from tf1cifar import data
    description = data.describe(dataset, recipe)
    check(recipe, description, where)
    if options.summary:
        with console.quiet_tensorflow():
            return print_summary(recipe, description["image_shape"], len(dataset.class_names))
    if options.source:
        sources.check(options.source, recipe, description)
    folder = (RunFolder(options.run_dir) if options.run_dir
              else resume.default_folder(options.recipe, recipe, description))
    with folder.locked():
        plan = resume.decide(folder, recipe, description, options.overwrite, options.source,
                             options.map)
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
        from tf1cifar.training import alone, initialization, loop, precision, session
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
    initial = None
    if not plan.resume:
        initial = initialization.read(options.source, recipe, plan.description, options.map)
        for line in initial.lines if initial else ():
            console.say(line)
        folder.clear()
    name = resume.run_name(options.recipe, recipe)
    on_gpu = options.device != "cpu" and tf.config.list_physical_devices("GPU")
    versions, changes = {
        "python": platform.python_version(), "tensorflow": tf.__version__,
        "numpy": numpy.__version__, "matplotlib": matplotlib.__version__, **machine.record(),
        "device": "GPU" if on_gpu else "CPU", "tasks": str(tasks.count)}, []
    began = None
    if plan.resume:
        began = sources.record(folder)
        versions, changes, lines = resume.changes(folder, versions)
        for line in lines:
            print(line, file=sys.stderr)
    else:
        print_summary(recipe, plan.description["image_shape"], len(dataset.class_names))
    folder.write_description(name, recipe, plan.description, versions, changes,
                             initial.record if initial else began)
    if initial and initial.mean is not None:
        preparation.write_mean_image(folder.mean_image_file, initial.mean)
    with signals.caught() as caught:
        result = loop.train(recipe, dataset, folder, options.device, options.profile,
                            should_stop=lambda: stop_signal(caught, tasks.where),
                            initial=initial, tasks=tasks)
    console.say(result.line())
    title = base.title(dataset.name, dataset.directory)
    console.say(f"on {title}, with {folder.read_result()['checkpoint']}; {folder.path} "
                "holds checkpoints, metrics.csv, learning_curve.png, events and saved_model")
    console.say(next_commands(folder.path, recipe, options.data_dir))


if __name__ == "__main__":
    console.run(main, "cnn_train.py")
