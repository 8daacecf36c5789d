"""Draw the filters of a convolutional network, and the results of its layers for an image.

    python conv_visuals.py                     chapter 9's pictures, with random filters
    python conv_visuals.py --run runs/lrn_cnn  every layer of a network that cnn_train.py trained

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
import itertools
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
        "convolution, or, with --run, the filters and all layers of a trained network.",
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
      A list of (file name, function of `drawing`, array, heading).
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
        ("step0_weights.png", drawing.filters, weights,
         f"Step 0: random weights, N(0, 1), seed {seed}"),
        ("step1_convs.png", drawing.channels, convolved, "Step 1: convolved with the image"),
        ("step2_conv_outs.png", drawing.channels, rectified, "Step 2: after bias and ReLU"),
        ("step3_maxpool.png", drawing.channels, pooled, "Step 3: after max-pool 2"),
    ]


def trained_layers(folder, recipe, checkpoint, image):
    """The filters of a trained network, and the result of each of its layers for an image.

    Args:
      folder: the `RunFolder`.
      recipe: the run's `recipes.Recipe`.
      checkpoint: see `training.restore.restored`.
      image: uint8 [height, width, channels].

    Returns:
      (pixels, layers, probabilities, step): the prepared image, float32 [height, width,
      channels]; a list of (file name, function of `drawing`, array, heading); float32 [classes];
      the checkpoint's training step.
    """
    with console.quiet_tensorflow() as tf:
        from tf1cifar import drawing
        from tf1cifar.networks.layers import ACTIVATIONS
        from tf1cifar.training import restore
    pixels = restore.prepare_function(folder, recipe)(image[None])
    with restore.restored(folder, checkpoint) as (session, path):
        filters = [variable for variable in tf.trainable_variables() if len(variable.shape) == 4]
        activations = [x for x in tf.get_collection(ACTIVATIONS) if len(x.shape) == 4]
        weights, results, probabilities, step = session.run(
            [filters, activations, "probabilities:0", "global_step:0"], {"images:0": pixels})
    print(f"restored {path}, global step {step}")
    layers = []
    for draw, nodes, arrays in ((drawing.filters, filters, weights),
                                (drawing.channels, activations, results)):
        for node, array in zip(nodes, arrays):
            # The name of a node may repeat the layer's kind: conv1/lrn/lrn is the lrn of conv1.
            *scope, kind = [part for part, _ in itertools.groupby(node.op.name.split("/"))]
            layers.append(("_".join([*scope, kind]) + ".png", draw, array,
                           ": ".join(["/".join(scope), LAYER_WORDS.get(kind, kind)])))
    return pixels[0], layers, probabilities[0], step


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
        pixels, layers, probabilities, step = trained_layers(folder, recipe, options.checkpoint,
                                                             image)
        about = f"{name} trained on {title}, step {step}; {image_words}"
    else:
        pixels = preparation.prepare(image[None], "gray24")[0]
        layers = random_layers(pixels[None], **options.random_filters)
        about = f"data set {title}; {image_words}"

    from tf1cifar import drawing  # after `quiet_tensorflow`, which imports matplotlib
    pictures = [
        ("cifar_examples.png", drawing.examples, dataset.class_names, dataset.train.images,
         dataset.train.labels, f"Training images\ndata set {title}"),
        ("input_image.png", drawing.network_input, image, pixels, f"The input image\n{about}")]
    if folder:
        pictures.append(
            ("probabilities.png", drawing.class_probabilities, image, dataset.class_names,
             probabilities, f"The predicted probabilities\n{about}"))
    pictures += [(file, draw, array, f"{heading}\n{about}")
                 for file, draw, array, heading in layers]
    out.mkdir(parents=True, exist_ok=True)
    for file, draw, *arguments in pictures:
        _show_or_write(out / file, draw, *arguments)
        print(f"drew {out / file}")


if __name__ == "__main__":
    console.run(main, "conv_visuals.py")
