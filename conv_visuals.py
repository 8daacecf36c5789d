"""Draw the filters of a convolutional network, and the results of its layers for an image.

    python conv_visuals.py                     chapter 9's pictures, with random filters
    python conv_visuals.py --run runs/lrn_cnn  a network that cnn_train.py trained: its filters
                                               before and after, every layer, and its mistakes

The functions of *Machine Learning with TensorFlow* (N. Shukla, chapter 9) show a picture in a
window, or write the picture to a file if a file name is given:

    show_some_examples  show_weights  show_conv_results
"""

import os
import sys

if __name__ == "__main__":  # `python -I` and PYTHONSAFEPATH=1 leave out the script's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tf1cifar  # noqa: I001 - first, because it refuses a Python that is too old

if __name__ == "__main__":
    sys.excepthook = tf1cifar.excepthook
import argparse
import functools
import pathlib

from tf1cifar import console, errors, files
from tf1cifar.training.run_folder import RunFolder

# The settings of the chapter's pictures.
IMAGE_INDEX = 4
FILTERS = 32
FILTER_SIZE = 5

LAYER_WORDS = {"relu": "ReLU", "max_pool": "max-pool", "lrn": "local response normalization"}


# ---------------------------------------------------------------------------------------
# The functions of chapter 9


def show_weights(W, filename=None, title="Weights"):
    """Draw a convolution's filters.

    Args:
      W: float [height, width, inputs, filters].
      filename: path of the picture to write. None opens a window.
      title: heading of the picture; further lines are remarks.

    Raises:
      ValueError: W does not have four dimensions, or is empty.
    """
    from tf1cifar import drawing
    _show_or_write(filename, drawing.filters, W, title)


def show_conv_results(data, filename=None, title="Convolution results"):
    """Draw the result of a layer for one image, channel by channel.

    Args:
      data: float [batch, height, width, channels], of which the first image is drawn.
      filename: path of the picture to write. None opens a window.
      title: heading of the picture; further lines are remarks.

    Raises:
      ValueError: `data` does not have four dimensions, or is empty.
    """
    from tf1cifar import drawing
    _show_or_write(filename, drawing.channels, data, title)


def show_some_examples(names, data, labels, filename="cifar_examples.png", title="Examples"):
    """Draw ten images of every class.

    Args:
      names: list of str, the classes.
      data: float32 [N, 576], the gray 24x24 images of `cifar_tools.read_data`.
      labels: int [N].
      filename: path of the picture to write. None opens a window.
      title: heading of the picture; further lines are remarks.
    """
    import numpy as np

    from tf1cifar import drawing
    images = np.asarray(data, np.float32).reshape(-1, 24, 24, 1)
    _show_or_write(filename, drawing.examples, names, images, labels, title)


def _show_or_write(filename, draw, *arguments):
    """Call a function of `drawing`; show the figure in a window or write it to `filename`."""
    if filename is None:
        from matplotlib import pyplot
        draw(*arguments, figure=pyplot.figure())
        pyplot.show()
    else:
        files.save_figure(draw(*arguments), filename)


# ---------------------------------------------------------------------------------------
# The script


def parse_arguments(arguments=None):
    """The namespace of a command line.

    `random_filters` is a dictionary with the given options of the random filters, which are
    arguments of `random_layers`.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    parser = console.ArgumentParser(
        description="Draw filters, and the results of layers for an image: random filters and one "
        "convolution, or, with --run, a trained network: its filters before and after training, "
        "all its layers, the pixels that decide, and the hits and mistakes of its test.",
        epilog="examples:\n  python conv_visuals.py --filters 16\n"
        "  python conv_visuals.py --run runs/lrn_cnn --image cat.png")
    parser.add_argument("--run", metavar="RUN", help="run folder, such as runs/lrn_cnn")
    parser.add_argument("--checkpoint", metavar="C",
                        help="best, latest, or the path of a checkpoint of the run (default: the "
                        "checkpoint on which training measured its final accuracy)")
    parser.add_argument("--data-dir", metavar="D",
                        help="folder of the data set (default: the usual places; if CIFAR-10 can "
                        "be neither found nor downloaded, the data set shapes is used)")
    parser.add_argument("--out", metavar="DIR",
                        help="folder for the pictures (default: pictures, or RUN/pictures)")
    parser.add_argument("--format", choices=("png", "pdf", "svg"), default="png",
                        help="format of the pictures; pdf and svg are for printing (default: png)")
    image = parser.add_mutually_exclusive_group()
    image.add_argument("--image-index", metavar="N", type=int,
                       help="number of a training image, or with --run of a test image, counted "
                       f"from 0 (default: {IMAGE_INDEX})")
    image.add_argument("--image", metavar="FILE", help="picture of your own, PNG or JPEG")
    random_filters = parser.add_argument_group("random filters, without --run")
    random_filters.add_argument(
        "--filters", metavar="N", type=console.bounded(1, 1024), default=argparse.SUPPRESS,
        help=f"number of filters (default: {FILTERS})")
    random_filters.add_argument(
        "--filter-size", metavar="N", type=console.bounded(1, 24), default=argparse.SUPPRESS,
        help=f"height and width of the filters (default: {FILTER_SIZE})")
    random_filters.add_argument(
        "--seed", metavar="N", type=console.bounded(0, 2 ** 31 - 1), default=argparse.SUPPRESS,
        help="seed of the filters' weights and biases (default: 0)")
    options = parser.parse_args(arguments)

    options.random_filters = {name: value for name, value in vars(options).items()
                              if name in ("filters", "filter_size", "seed")}
    if options.run and options.random_filters:
        flag = "--" + next(iter(options.random_filters)).replace("_", "-")
        raise errors.UserError(f"{flag} is an option of the random filters; leave it out with "
                               "--run")
    if options.checkpoint and not options.run:
        raise errors.UserError("--checkpoint names a checkpoint of a run; name the run's folder "
                               "with --run")
    return options


def load_data(data_dir):
    """CIFAR-10, or the data set shapes if CIFAR-10 can be neither found nor downloaded.

    Args:
      data_dir: folder of CIFAR-10; None tries the usual places.

    Returns:
      A `data.base.Dataset`.
    """
    from tf1cifar import data
    try:
        return data.load("cifar10", data_dir)
    except errors.Failure as failure:
        print(f"conv_visuals.py: {failure}; using the data set shapes instead", file=sys.stderr)
        return data.load("shapes")


def read_image(options, dataset):
    """The image to draw.

    Args:
      options: the namespace of `parse_arguments`.
      dataset: a `data.base.Dataset`.

    Returns:
      (image, words): uint8 [height, width, channels], and a short description.

    Raises:
      errors.UserError: there is no such image.
    """
    from tf1cifar.data import own_pictures
    if options.image:
        image = own_pictures.read_image(files.expanded(options.image),
                                        dataset.train.images.shape[1:])
        return image, f"picture {console.plain(pathlib.Path(options.image).name)}"
    name, split = ("test", dataset.test) if options.run else ("training", dataset.train)
    number = IMAGE_INDEX if options.image_index is None else options.image_index
    if not 0 <= number < len(split.labels):
        raise errors.UserError(f"--image-index {number}, expected 0 to {len(split.labels) - 1}: "
                               f"{dataset.name} has {len(split.labels)} {name} images")
    return split.images[number], (
        f"{name} image {number} ({dataset.class_names[split.labels[number]]})")


def random_layers(pixels, filters=FILTERS, filter_size=FILTER_SIZE, seed=0):
    """The chapter's four steps: random filters, convolution, bias and ReLU, max-pooling.

    Args:
      pixels: float32 [1, height, width, channels].
      filters: number of filters.
      filter_size: height and width of the filters.
      seed: seed of the weights and biases.

    Returns:
      A list of (file name without suffix, function of a title -> figure, heading).
    """
    with console.quiet_tensorflow() as tf:
        from tf1cifar import drawing
        from tf1cifar.training.session import session_config, tensorflow_errors_as_failures
    with tf.Graph().as_default(), tensorflow_errors_as_failures():
        tf.set_random_seed(seed)
        x = tf.placeholder(tf.float32, pixels.shape)
        W = tf.Variable(tf.random_normal([filter_size, filter_size, pixels.shape[-1], filters]))
        b = tf.Variable(tf.random_normal([filters]))
        conv = tf.nn.conv2d(x, W, strides=[1, 1, 1, 1], padding="SAME")
        conv_out = tf.nn.relu(tf.nn.bias_add(conv, b))
        maxpool = tf.nn.max_pool(conv_out, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1],
                                 padding="SAME")
        with tf.Session(config=session_config("auto")) as session:
            session.run(tf.global_variables_initializer())
            weights, convolved, rectified, pooled = session.run([W, conv, conv_out, maxpool],
                                                                {x: pixels})
    return [
        ("step0_weights", functools.partial(drawing.filters, weights),
         f"Step 0: random weights, N(0, 1), seed {seed}"),
        ("step1_convs", functools.partial(drawing.channels, convolved),
         "Step 1: convolved with the image"),
        ("step2_conv_outs", functools.partial(drawing.channels, rectified),
         "Step 2: after bias and ReLU"),
        ("step3_maxpool", functools.partial(drawing.channels, pooled), "Step 3: after max-pool 2"),
    ]


def trained_pictures(folder, recipe, checkpoint, dataset, image, image_words, about):
    """The figures of a trained network: its weights, its layers for an image, and its test.

    Args:
      folder: the `RunFolder`.
      recipe: the run's `recipes.Recipe`.
      checkpoint: see `training.restore.restored`.
      dataset: a `data.base.Dataset`.
      image: uint8 [height, width, channels].
      image_words: str, what the image is.
      about: str, what the run is.

    Returns:
      (pixels, step, pictures): the prepared image, float32 [height, width, channels]; the
      checkpoint's training step; a list of (file name without suffix, function of a title ->
      figure, title).
    """
    with console.quiet_tensorflow() as tf:
        from tf1cifar import drawing
        from tf1cifar.networks.layers import ACTIVATIONS
        from tf1cifar.training import evaluation, inspection, pictures, restore
    prepare = restore.prepare_function(folder, recipe)
    pixels = prepare(image[None])
    with restore.restored(folder, checkpoint) as (session, path):
        activations = [x for x in tf.get_collection(ACTIVATIONS) if len(x.shape) == 4]
        results, (probabilities,), step = session.run(
            [activations, "probabilities:0", "global_step:0"], {"images:0": pixels})
        print(f"restored {path}, global step {step}")
        found = pictures.of_weights(session, pixels.shape[1:], dataset.class_names)
        decision = pictures.of_decision(session, image[None], ["the image"], dataset.class_names,
                                        prepare, classes=min(3, len(dataset.class_names)))
        layers = inspection.layers()
        test = evaluation.evaluate(session, dataset.test, prepare,
                                   [inspection.peaks(layer) for layer in layers.values()])
        peaks = pictures.of_peaks(session, layers, test.fetched, dataset, prepare)
    of_image = [pictures.Picture("probabilities", "The predicted probabilities", "",
                                 functools.partial(drawing.class_probabilities, image,
                                                   dataset.class_names, probabilities)), decision]
    for node, array in zip(activations, results):
        scope, kind = inspection.scope_and_kind(node)
        of_image.append(pictures.Picture(
            f"{scope.replace('/', '_')}_{kind}", f"{scope}: {LAYER_WORDS.get(kind, kind)}", "",
            functools.partial(drawing.channels, array)))
    of_run = [*found, *peaks, *pictures.of_test(dataset, test.probabilities)]
    about = f"{about}, step {step}"
    return pixels[0], step, [
        (picture.file, picture.draw, f"{picture.heading}\n{words}")
        for group, words in ((of_image, f"{about}; {image_words}"), (of_run, about))
        for picture in group]


def main(arguments=None):
    """Run the script.

    Args:
      arguments: the command line as a list, or as a str; by default that of the process.
    """
    options = parse_arguments(arguments)
    folder = RunFolder(options.run) if options.run else None
    if folder:
        name, recipe, description = folder.read_description()
    out = files.expanded(options.out or (folder.path / "pictures" if folder else "pictures"))
    files.require_folder(out, "--out")
    from tf1cifar import data
    dataset = data.reload(description, options.data_dir) if folder else load_data(options.data_dir)
    image, image_words = read_image(options, dataset)
    print(f"data set {dataset.name} ({dataset.directory}), {image_words}")

    from tf1cifar.data import base, preparation
    title = console.plain(base.title(dataset.name, dataset.directory))
    if folder:
        pixels, step, layers = trained_pictures(folder, recipe, options.checkpoint, dataset, image,
                                                image_words, f"{name} trained on {title}")
        about = f"{name} trained on {title}, step {step}; {image_words}"
    else:
        pixels = preparation.prepare(image[None], "gray24")[0]
        layers = random_layers(pixels[None], **options.random_filters)
        about = f"data set {title}; {image_words}"
        layers = [(file, draw, f"{heading}\n{about}") for file, draw, heading in layers]

    from tf1cifar import drawing  # after `quiet_tensorflow`, which imports matplotlib
    drawn = [
        ("cifar_examples", functools.partial(
            drawing.examples, dataset.class_names, dataset.train.images, dataset.train.labels),
         f"Training images\ndata set {title}"),
        ("input_image", functools.partial(drawing.network_input, image, pixels),
         f"The input image\n{about}")]
    drawn += layers
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    with console.progress(len(drawn), "drawing") as bar:
        for number, (file, draw, title) in enumerate(drawn):
            path = out / f"{file}.{options.format}"
            _show_or_write(path, draw, title)
            lines.append(f"drew {path}")
            bar.update(number + 1)
    print("\n".join(lines))


if __name__ == "__main__":
    console.run(main, "conv_visuals.py")
