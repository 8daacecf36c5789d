"""Restore a trained run and evaluate it on the test set, or classify your own pictures.

    python restore_model.py runs/lrn_cnn                    evaluate it
    python restore_model.py runs/lrn_cnn cat.png dog.jpg    classify pictures
"""

import sys

from tf1cifar import console, files
from tf1cifar.training.run_folder import RunFolder

RESTORE_METHODS = ("saver", "meta_graph", "saved_model")


def parse_arguments(arguments=None):
    """The namespace of a command line.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    parser = console.ArgumentParser(
        description="Restore a trained run and evaluate it on the test set, or classify your own "
        "pictures with it.",
        epilog="examples:\n  python restore_model.py runs/lrn_cnn\n"
        "  python restore_model.py runs/lrn_cnn cat.png dog.jpg")
    parser.add_argument("run", metavar="RUN", help="run folder, such as runs/lrn_cnn")
    parser.add_argument("images", metavar="IMAGE", nargs="*", default=[],
                        help="pictures to classify, PNG or JPEG of any size; without pictures, "
                        "the run is evaluated on the test set")
    parser.add_argument("--checkpoint", metavar="C",
                        help="best, latest, or the path of a checkpoint (default: the checkpoint "
                        "on which training measured its final accuracy)")
    parser.add_argument("--via", choices=RESTORE_METHODS, default="saver",
                        help="way to restore: saver builds the graph and reads its variables, "
                        "meta_graph imports the saved graph, saved_model loads the SavedModel "
                        "(default: saver)")
    parser.add_argument("--data-dir", metavar="D",
                        help="folder of the data set (default: the folder used in training)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto",
                        help="processor to compute on (default: auto, a GPU if there is one)")
    return parser.parse_intermixed_args(arguments)


def evaluate_run(session, dataset, prepare, folder):
    """Print the test accuracy, whole and per class, and draw confusion_matrix.png."""
    import numpy as np

    from tf1cifar import drawing
    from tf1cifar.training.evaluation import evaluate
    labels = dataset.test.labels
    result = evaluate(session, dataset.test, prepare)
    print(result.line())
    counts = np.zeros((len(dataset.class_names),) * 2, int)
    np.add.at(counts, (labels, result.predictions), 1)
    width = max(map(len, dataset.class_names))
    for name, row, right in zip(dataset.class_names, counts, counts.diagonal()):
        print(f"  {name:{width}}  {right / max(row.sum(), 1):.4f} ({right}/{row.sum()})")
    file = folder.path / "confusion_matrix.png"
    files.save_figure(drawing.confusion_matrix(
        counts, dataset.class_names, f"{dataset.name}: {result.line()}"), file)
    print(f"measured on {dataset.name} ({dataset.directory}); drew {file}")


def classify(session, paths, images, prepare, class_names, title, folder):
    """Print the likeliest classes of each picture and draw predictions.png."""
    import numpy as np

    from tf1cifar import drawing
    probabilities = session.run("probabilities:0", {"images:0": prepare(np.stack(images))})
    lines = []
    for path, row in zip(paths, probabilities):
        likeliest = row.argsort()[::-1][:3]
        lines.append([f"{class_names[index]} {row[index]:.3f}" for index in likeliest])
        print(f"{path}: {', '.join(lines[-1])}")
    file = folder.path / "predictions.png"
    files.save_figure(drawing.predictions(images, paths, lines, title), file)
    print(f"{title}; drew {file}")


def main():
    """Run the script."""
    options = parse_arguments()
    folder = RunFolder(options.run)
    name, recipe, description = folder.read_description()
    from tf1cifar import data
    from tf1cifar.data import base, own_pictures
    if options.images:
        images = [own_pictures.read_image(file, description["image_shape"])
                  for file in options.images]
    else:
        dataset = data.reload(description, options.data_dir)
        if base.fingerprint(dataset) != description["crc32"]:
            print(f"{dataset.directory} holds other images than the run was trained and tested on; "
                  "its figures are not comparable", file=sys.stderr)
    with console.quiet_tensorflow():
        from tf1cifar.training import restore
    with restore.restored(folder, options.checkpoint, options.via, options.device) as (
            session, path):
        print(f"restored {path}, global step {session.run('global_step:0')}, via {options.via}")
        prepare = restore.prepare_function(folder, recipe)
        if options.images:
            classify(session, options.images, images, prepare, description["class_names"],
                     f"{name} trained on {description['name']}", folder)
        else:
            evaluate_run(session, dataset, prepare, folder)


if __name__ == "__main__":
    console.run(main, "restore_model.py")
