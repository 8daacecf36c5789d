"""Restore a trained run, test it, and let it tell what is on your own pictures.

    python restore_model.py runs/lrn_cnn                    test it again
    python restore_model.py runs/lrn_cnn cat.png dog.jpg    classify pictures
"""

import sys

import console
from training.run_folder import VIAS, RunFolder, save_figure


def parse_arguments(arguments=None):
    parser = console.ArgumentParser(
        description="Restore a trained run and test it, or classify your own pictures with it.")
    parser.add_argument("run", metavar="RUN", help="run folder, such as runs/lrn_cnn")
    parser.add_argument("images", metavar="IMAGE", nargs="*", default=[],
                        help="pictures to classify, PNG or JPEG, any size; none: test the run")
    parser.add_argument("--checkpoint", metavar="C", help="best, latest or the path of a "
                        "checkpoint (default: what the training's final figure was measured on)")
    parser.add_argument("--via", choices=VIAS, default="saver",
                        help="how to restore: build the graph and read its variables, import "
                        "the saved graph, or load the SavedModel (default: saver)")
    parser.add_argument("--data-dir", metavar="D",
                        help="folder of the data set (default: where the training found it)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto",
                        help="what to compute on (default: auto, a GPU if there is one)")
    return parser.parse_intermixed_args(arguments)


def test(session, dataset, prepare, folder):
    """Print accuracy, whole and per class, and draw confusion_matrix.png."""
    import numpy as np

    from training import loop
    labels = dataset.test.labels
    result = loop.evaluate(session, dataset.test, prepare)
    print(result.line())
    counts = np.zeros((len(dataset.class_names),) * 2, int)
    np.add.at(counts, (labels, result.predictions), 1)
    width = max(map(len, dataset.class_names))
    for name, row, right in zip(dataset.class_names, counts, counts.diagonal()):
        print(f"  {name:{width}}  {right / max(row.sum(), 1):.4f} ({right}/{row.sum()})")
    file = folder.path / "confusion_matrix.png"
    save_figure(confusion_matrix(
        counts, dataset.class_names, f"{dataset.name}: {result.line()}"), file)
    print(f"measured on {dataset.name} ({dataset.directory}); drew {file}")


def confusion_matrix(counts, class_names, title):
    """A figure of how often images of each class are taken for each other one.

    Args:
      counts: int [classes, classes], row: the label, column: the prediction.
      class_names: list of str.
      title: str.
    """
    import numpy as np
    from matplotlib.figure import Figure
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(8, 7.2), dpi=120, layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="predicted", ylabel="label")
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(class_names)), class_names, rotation=45, ha="right")
    axes.set_yticks(range(len(class_names)), class_names)
    for row, column in np.ndindex(*counts.shape):
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=9,
                  color="white" if shares[row, column] > 0.5 else "black")
    figure.colorbar(shown, label="share of the label's images", shrink=0.8)
    return figure


def classify(session, files, images, prepare, class_names, title, folder):
    """Print the three likeliest classes of each picture and draw predictions.png."""
    import numpy as np
    probabilities = session.run("probabilities:0",
                                {"images:0": prepare(np.stack(images))})
    lines = []
    for file, row in zip(files, probabilities):
        likeliest = row.argsort()[::-1][:3]
        lines.append([f"{class_names[index]} {row[index]:.3f}" for index in likeliest])
        print(f"{file}: {', '.join(lines[-1])}")
    file = folder.path / "predictions.png"
    save_figure(predictions(images, files, lines, title), file)
    print(f"{title}; drew {file}")


def predictions(images, files, lines, title):
    """A figure of pictures, as small as the data set's, with what the network takes them for.

    Args:
      images: list of uint8 [height, width, channels].
      files: their paths.
      lines: for each, a list of short texts.
      title: str.
    """
    import pathlib

    from matplotlib.figure import Figure
    columns = min(len(images), 5)
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(2.2 * max(columns, 2), 2.9 * rows + 0.4), dpi=120,
                    layout="constrained")
    figure.suptitle(title)  # file names below are no mathematics, whatever signs they hold
    for number, (image, file, texts) in enumerate(zip(images, files, lines), 1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
        name = console.plain(pathlib.Path(file).name)
        axes.set_title(name if len(name) <= 24 else name[:21] + "...", fontsize=9,
                       parse_math=False)
        axes.set_xlabel("\n".join(texts), fontsize=9)
        axes.set(xticks=[], yticks=[])
    return figure


def main():
    options = parse_arguments()
    folder = RunFolder(options.run)
    name, recipe, data = folder.read_description()
    import cifar_tools
    if options.images:
        images = [cifar_tools.read_image(file, data["image_shape"]) for file in options.images]
    else:
        import datasets
        dataset = datasets.load_again(data, options.data_dir)
        if cifar_tools.fingerprint(dataset) != data["crc32"]:
            print(f"{dataset.directory} holds other images than the run was trained and tested on; "
                  "its figures are not comparable", file=sys.stderr)
    with console.quiet_tensorflow():
        from training import restore
    with restore.restored(folder, options.checkpoint, options.via, options.device) as (
            session, path):
        print(f"restored {path}, global step {session.run('global_step:0')}, via {options.via}")
        if options.images:
            classify(session, options.images, images, folder.prepare(recipe),
                     data["class_names"], f"{name} trained on {data['name']}", folder)
        else:
            test(session, dataset, folder.prepare(recipe), folder)


if __name__ == "__main__":
    console.run(main, "restore_model.py")
