"""Restore a trained run and evaluate it on the test set, or classify your own pictures.

    python restore_model.py runs/lrn_cnn                    evaluate it, and write report.html
    python restore_model.py runs/lrn_cnn cat.png dog.jpg    classify pictures
    python restore_model.py runs/lrn_cnn photos             classify all pictures of a folder
"""

import os
import sys

if __name__ == "__main__":  # `python -I` and PYTHONSAFEPATH=1 leave out the script's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tf1cifar  # noqa: I001 - first, because it refuses a Python that is too old

if __name__ == "__main__":
    sys.excepthook = tf1cifar.excepthook
import argparse
import contextlib
import csv
import errno
import itertools
import pathlib

from tf1cifar import console, files, machine
from tf1cifar.training.run_folder import RunFolder

RESTORE_METHODS = ("saver", "meta_graph", "saved_model")
FIGURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")
MOST_DRAWN = 100  # pictures in a figure
MOST_CLASSES = 20  # classes whose accuracy is printed
SURE = 0.5  # probability of the likeliest class below which a line says so
FIT_WORDS = {"crop": "The central part of each picture is taken (--fit pad takes all of it).",
             "pad": "The whole of each picture is taken (--fit pad)."}
PREPARATION_WORDS = {
    "gray24": "All pictures get the same mean brightness and the same contrast.",
    "standardized24": "All pictures get the same mean brightness and the same contrast.",
    "minus_mean": "The mean training image is subtracted.", "unit": ""}


def parse_arguments(arguments=None):
    """The namespace of a command line.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    parser = console.ArgumentParser(
        usage="%(prog)s RUN [IMAGE ...] [options]",
        description="Restore a trained run and evaluate it on the test set, or classify your own "
        f"pictures with it. '(unsure)' marks a picture whose likeliest class has a probability "
        f"below {SURE}.",
        epilog="examples:\n  python restore_model.py runs/lrn_cnn\n"
        "  python restore_model.py runs/lrn_cnn cat.png dog.jpg\n"
        "  python restore_model.py runs/lrn_cnn photos --results photos.csv")
    parser.add_argument("run", metavar="RUN", nargs="?", help="run folder, such as runs/lrn_cnn")
    parser.add_argument("images", metavar="IMAGE", nargs="*", default=[],
                        help="pictures to classify, of any size up to 200 megapixels: PNG, JPEG, "
                        "GIF, WebP, BMP, TIFF or AVIF. A folder stands for all pictures in it and "
                        "in its subfolders, a pattern such as 'photos/*.jpg' for all that match. "
                        "Without pictures, the run is evaluated on the test set")
    parser.add_argument("--fit", choices=tuple(FIT_WORDS),
                        help="part of a picture that is resized: crop takes the central part in "
                        "the shape of the training images, pad takes the whole picture and adds a "
                        "border in the mean colour of its edge (default: crop)")
    parser.add_argument("--invert", action="store_true",
                        help="exchange bright and dark, as for dark digits on white paper and a "
                        "network that was trained on white digits on black")
    parser.add_argument("--views", action="store_true",
                        help="tell the test accuracy by the mean over six views of each image too: "
                        "mirrored, and shifted by one pixel")
    parser.add_argument("--results", metavar="FILE",
                        help="write a table to FILE.csv or FILE.json: the probabilities of all "
                        "classes for each picture, or the error about it; without pictures, the "
                        "accuracy of each class, and how many of its images got which class")
    parser.add_argument("--out", metavar="PATH",
                        help="folder for the figure and, of a test, report.html, or file with the "
                        "suffix .png, .pdf or .svg for the figure alone (default: the run folder)")
    parser.add_argument("--checkpoint", metavar="C",
                        help="best, latest, or the path of a checkpoint (default: the checkpoint "
                        "on which training measured its final accuracy)")
    parser.add_argument("--via", choices=RESTORE_METHODS, default="saver",
                        help="way to restore: saver builds the graph and reads its variables, "
                        "meta_graph imports the saved graph, saved_model loads the SavedModel; "
                        "report.html needs saver (default: saver)")
    parser.add_argument("--data-dir", metavar="D",
                        help="folder of the data set (default: the folder used in training)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto",
                        help="processor to compute on (default: auto, a GPU if there is one)")
    parser.add_argument("--run", dest="run_option", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    if options.run_option:
        words = [word for word in (options.run, *options.images) if word]
        parser.error(f"the run folder needs no --run here: {command(options.run_option, *words)}")
    if not options.run:
        parser.error("the following arguments are required: RUN")
    if options.via == "saved_model" and options.checkpoint:
        parser.error("--via saved_model has one set of weights; leave out --checkpoint")
    if options.views and options.images:
        parser.error("--views is for the test set; leave out the IMAGEs")
    for flag in ("fit", "invert"):
        if getattr(options, flag) and not options.images:
            parser.error(f"--{flag} is for pictures; name at least one IMAGE")
    options.run = files.expanded(options.run)
    if options.run.is_file():
        parser.error(f"{options.run} is a file; name the folder of a run first: "
                     f"{command(likeliest_run(), options.run, *options.images)}")
    options.fit = options.fit or "crop"
    options.data_dir = options.data_dir and files.expanded(options.data_dir)
    if options.results:
        options.results = files.expanded(options.results)
        if options.results.suffix.lower() not in (".csv", ".json") or options.results.is_dir():
            parser.error(f"--results {options.results}: expected a file name that ends with .csv "
                         "or .json")
        if not options.results.parent.is_dir():
            parser.error(f"--results {options.results}: there is no folder "
                         f"{options.results.parent}")
    options.report = options.via == "saver"
    if options.out:
        options.out = files.expanded(options.out)
        is_file = options.out.suffix.lower() in FIGURE_SUFFIXES and not options.out.is_dir()
        files.require_folder(options.out.parent if is_file else options.out, "--out")
        options.report = not is_file and options.via == "saver"
        if not is_file:
            options.out /= "predictions.png" if options.images else "confusion_matrix.png"
    return options


def command(*words):
    """The command line of this script with arguments, see `machine.command`."""
    return machine.command(machine.shown_path(__file__), *words)


def likeliest_run():
    """The folder in runs/ of the run that began last, 'RUN' if there is none."""
    runs = max(pathlib.Path("runs").glob("*/recipe.json"), key=os.path.getmtime, default=None)
    return runs.parent if runs else "RUN"


# ---------------------------------------------------------------------------------------
# Evaluation


def evaluate_run(session, dataset, prepare, place, fetches=()):
    """Print the test accuracy, whole and per class, and draw the confusion matrix.

    Args:
      session: a session on the run's graph.
      dataset: a `data.base.Dataset`.
      prepare: the function of `restore.prepare_function`.
      place: see `save_figure`.
      fetches: see `evaluation.evaluate`.

    Returns:
      (evaluation, counts): the `evaluation.Evaluation`, and int [classes, classes], the confusion
      counts: how many test images of a class (the row) got which class (the column).
    """
    import numpy as np

    from tf1cifar import assessment, drawing
    from tf1cifar.data import base
    from tf1cifar.training.evaluation import evaluate
    result = evaluate(session, dataset.test, prepare, fetches)
    print(result.line())
    counts = assessment.confusion(dataset.test.labels, result.predictions,
                                  len(dataset.class_names))
    totals = counts.sum(1)
    shares = counts.diagonal() / np.maximum(totals, 1)
    order = range(len(totals))
    if len(totals) > MOST_CLASSES:
        order = np.where(totals, shares, np.inf).argsort(kind="stable")[:MOST_CLASSES]
        print(f"the {MOST_CLASSES} of {len(totals):,} classes with the lowest accuracy "
              "(--results FILE.csv writes all):")
    width = max(len(dataset.class_names[number]) for number in order)
    for number in order:
        print(f"  {dataset.class_names[number]:{width}}  {shares[number]:.4f} "
              f"({counts[number, number]}/{totals[number]})")
    title = console.plain(base.title(dataset.name, dataset.directory))
    drawn = save_figure(lambda: drawing.confusion_matrix(
        counts, dataset.class_names, f"{title}: {result.line()}"), *place)
    print(f"measured on {dataset.name} ({dataset.directory}){drawn}")
    return result, counts


def save_figure(draw, path, may_fail):
    """Draw and write a figure.

    Args:
      draw: function that returns the figure.
      path: `pathlib.Path` of the file.
      may_fail: whether a folder that only can be read is no error. The figure is left out then,
        with a word on standard error.

    Returns:
      '; drew PATH', or '' if the figure is left out.
    """
    with _allowed_to_fail(path, may_fail, "no figure is drawn"):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.save_figure(draw(), path)
        return f"; drew {path}"
    return ""


@contextlib.contextmanager
def _allowed_to_fail(path, may_fail, loss):
    """Turn the error that `path` cannot be written into a line on standard error."""
    try:
        yield
    except OSError as error:
        if not may_fail or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        console.complain("restore_model.py", f"{loss}, since {path} cannot be written "
                         f"({error.strerror}); --out names another place", 0, kind="")


# ---------------------------------------------------------------------------------------
# Pictures


def read_pictures(options, image_shape, mistakes):
    """Read the pictures of the command line; those that cannot be read are named.

    Args:
      options: the namespace of `parse_arguments`.
      image_shape: (height, width, channels) of the images of the data set.
      mistakes: list to which (path, reason) is added for each picture that cannot be read.

    Yields:
      (paths, images): a list of N str, and uint8 [N, height, width, channels]; N is at least 1.
    """
    from tf1cifar.data import picture_files

    def complain(pairs):
        mistakes.extend(pairs)
        for path, reason in pairs:
            console.complain("restore_model.py", f"{path}: {reason}", 2)

    found, notes, unknown = picture_files.find(options.images)
    for note in notes:
        console.complain("restore_model.py", note, 0, kind="")
    complain(unknown)
    for paths, images, bad in picture_files.read_batches(found, image_shape, options.fit,
                                                         options.invert):
        complain(bad)
        if paths:
            yield paths, images


def classify(session, batches, prepare, description):
    """Print the likeliest classes of each picture.

    Args:
      session: a session on the run's graph.
      batches: iterable of what `read_pictures` yields.
      prepare: the function of `restore.prepare_function`.
      description: the run's dictionary of the data set.

    Returns:
      (rows, drawn, unlike): a list of (path, probabilities of all classes), one for each picture;
      the first MOST_DRAWN pictures, as the first four arguments of `drawing.predictions`; the paths
      of pictures that `own_pictures.unlike_training` finds.
    """
    import numpy as np

    from tf1cifar.data import own_pictures
    class_names = description["class_names"]
    rows, unlike, shown, lines = [], [], [], []
    for paths, images in batches:
        pixels = prepare(images)
        probabilities = session.run("probabilities:0", {"images:0": pixels})
        room = MOST_DRAWN - len(lines)
        if room:
            shown.append((images[:room], pixels[:room]))
        for path, row in zip(paths, probabilities):
            likeliest = row.argsort()[::-1][:3]
            unsure = "" if row[likeliest[0]] >= SURE else " (unsure)"
            found = [(class_names[number], f" {row[number]:.3f}") for number in likeliest]
            print(f"{console.cut(path, 1000)}: "
                  f"{', '.join(console.cut(name) + value for name, value in found)}{unsure}")
            if len(lines) < MOST_DRAWN:
                first, *more = [console.cut(name, 16) + value for name, value in found]
                lines.append([first + unsure, *more])
        rows += zip(paths, probabilities)
        unlike += itertools.compress(paths, own_pictures.unlike_training(images, description))
    drawn = *map(np.concatenate, zip(*shown)), [path for path, _ in rows[:len(lines)]], lines
    return rows, drawn, unlike


def warn_of_unlike(unlike, name, invert):
    """Warn of pictures that seem to have bright and dark exchanged.

    Args:
      unlike: their paths.
      name: name of the data set.
      invert: whether the pictures were inverted on request.
    """
    if unlike:
        names = ", ".join(console.cut(os.path.basename(path), 40) for path in unlike[:3])
        more = f" and {len(unlike) - 3:,} more" if len(unlike) > 3 else ""
        remedy = "leave out --invert" if invert else "--invert exchanges them"
        console.complain("restore_model.py", "compared with the training images of "
                         f"{name}, bright and dark seem to be exchanged in {names}{more}; {remedy}",
                         0, kind="warning: ")


def write_results(path, class_names, rows, mistakes):
    """Write the probabilities of all classes for each picture, then those that cannot be read.

    Args:
      path: `pathlib.Path` of a file whose suffix is .csv or .json.
      class_names: list of str.
      rows: list of (path, float [classes]).
      mistakes: list of (path, reason).
    """
    table = []
    for file, probabilities in rows:
        values = [round(float(value), 6) for value in probabilities]
        best = int(probabilities.argmax())
        table.append((file, class_names[best], values[best], None, values))
    table += [(file, None, None, reason, [None] * len(class_names)) for file, reason in mistakes]
    _write_table(path, ["file", "class", "probability", "error", *class_names],
                 [[*row, *values] for *row, values in table],
                 [{"file": file, "class": name, "probability": value, "error": reason,
                   "probabilities": dict(zip(class_names, values)) if name else None}
                  for file, name, value, reason, values in table])


def write_evaluation(path, class_names, counts):
    """Write the accuracy of each class, and how many of its test images got which class.

    Args:
      path: `pathlib.Path` of a file whose suffix is .csv or .json.
      class_names: list of str.
      counts: int [classes, classes], see `evaluate_run`.
    """
    table = [(name, round(row[number] / sum(row), 6) if sum(row) else None, row[number], sum(row),
              row) for number, (name, row) in enumerate(zip(class_names, counts.tolist()))]
    _write_table(path, ["class", "accuracy", "correct", "images", *class_names],
                 [[*row, *found] for *row, found in table],
                 [{"class": name, "accuracy": accuracy, "correct": correct, "images": images,
                   "predicted": dict(zip(class_names, found))}
                  for name, accuracy, correct, images, found in table])


def _write_table(path, header, rows, content):
    """Write `content` if the suffix of `path` is .json, otherwise `header` and `rows` as CSV."""
    if path.suffix.lower() == ".json":
        files.write_json(path, content)
    else:
        # The names of files need not be text.
        with files.replacing(path, newline="", errors="backslashreplace") as out:
            csv.writer(out).writerows([header, *rows])
    print(f"wrote {path}")


# ---------------------------------------------------------------------------------------
# The script


def main(arguments=None):
    """Run the script.

    Args:
      arguments: the command line as a list, or as a str; by default that of the process.

    Returns:
      The exit status, 2 if a picture cannot be read.
    """
    options = parse_arguments(arguments)
    folder = RunFolder(options.run)
    name, recipe, description = folder.read_description()
    if options.via != "saved_model":
        folder.checkpoint_path(options.checkpoint)  # whose errors need no TensorFlow
    file = "predictions.png" if options.images else "confusion_matrix.png"
    place = options.out or folder.path / file, not options.out
    from tf1cifar import data
    from tf1cifar.data import base
    if options.images:
        mistakes = []
        batches = read_pictures(options, description["image_shape"], mistakes)
        first = next(batches, None)
        if first is None:
            if options.results:
                write_results(options.results, description["class_names"], [], mistakes)
            return 2
    else:
        dataset = data.reload(description, options.data_dir)
        note = ""
        if base.fingerprint(dataset) != description["crc32"]:
            note = (f"{dataset.directory} holds other images than the run was trained and tested "
                    "on; its figures are not comparable")
            print(note, file=sys.stderr)
    with console.quiet_tensorflow():
        from tf1cifar.training import restore
    with restore.restored(folder, options.checkpoint, options.via, options.device) as (
            session, path):
        print(f"restored {path}, global step {session.run('global_step:0')}, via {options.via}")
        prepare = restore.prepare_function(folder, recipe)
        if not options.images:
            if options.report:
                from tf1cifar.training import report
            result, counts = evaluate_run(session, dataset, prepare, place,
                                          report.fetches() if options.report else ())
            if options.results:
                write_evaluation(options.results, description["class_names"], counts)
            if options.views:
                from tf1cifar.training.evaluation import evaluate_views
                correct = evaluate_views(session, dataset.test, prepare)
                images = len(dataset.test.labels)
                print(f"by six views of each image {correct / images:.4f} ({correct}/{images})")
            if not options.report:
                return 0
            page = report.build(session, folder, dataset, prepare, result, path, note)
            file = place[0].with_name("report.html")
            with _allowed_to_fail(file, place[1], "no report is written"):
                with files.replacing(file) as out:
                    out.write(page)
                print(f"wrote {file}; a browser shows it")
            return 0
        rows, drawn, unlike = classify(session, itertools.chain([first], batches), prepare,
                                       description)
    warn_of_unlike(unlike, description["name"], options.invert)
    if options.results:
        write_results(options.results, description["class_names"], rows, mistakes)
    from tf1cifar import drawing
    title = f"{name} trained on {base.title(description['name'], description['directory'])}"
    remarks = [FIT_WORDS[options.fit], "Bright and dark are exchanged." * options.invert,
               PREPARATION_WORDS.get(recipe.preparation, "")]
    end = save_figure(lambda: drawing.predictions(
        *drawn, f"{console.plain(title)}\n{' '.join(filter(None, remarks))}"), *place)
    if end and len(rows) > MOST_DRAWN:
        end += f" with the first {MOST_DRAWN} of {len(rows):,} pictures"
    print(title + end)
    return 2 if mistakes else 0


if __name__ == "__main__":
    console.run(main, "restore_model.py")
