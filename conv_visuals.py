"""Pictures of what a convolutional network does with an image.

    python conv_visuals.py                     chapter 9's first look, with random filters
    python conv_visuals.py --run runs/lrn_cnn  every layer of a network that cnn_train.py trained

The functions that readers of *Machine Learning with TensorFlow* (N. Shukla, chapter 9) know
show a picture in a window, or write it where a file name is given:

    show_some_examples  show_weights  show_conv_results
"""

import itertools
import pathlib
import sys

import console
from training.run_folder import RunFolder, save_figure

IMAGE_INDEX = 4  # the image that the chapter looks at
RANDOM_FILTERS = {  # option: (default, lowest, highest, help)
    "filters": (32, 1, 1024, "how many"),
    "filter-size": (5, 1, 24, "their height and width"),
    "seed": (0, 0, 2 ** 31 - 1, "of their weights and biases"),
}
LAYER_WORDS = {"relu": "ReLU", "max_pool": "max-pool", "lrn": "local response normalization"}


# ---------------------------------------------------------------------------------------
# What chapter 9's readers know


def show_weights(W, filename=None, title="Weights"):
    """Show a convolution's filters, or write the picture to `filename`.

    Args:
      W: float [height, width, inputs, filters].
      filename: where to; None shows a window.
      title: heading of the picture, further lines are remarks.

    Raises:
      ValueError: W is not such an array.
    """
    import pictures
    _show_or_write(filename, pictures.draw_weights, W, title)


def show_conv_results(data, filename=None, title="Convolution results"):
    """Show what a layer makes of an image, channel by channel, or write it to `filename`.

    Args:
      data: float [batch, height, width, channels], of which the first image is shown.
      filename: where to; None shows a window.
      title: heading of the picture, further lines are remarks.

    Raises:
      ValueError: data is not such an array.
    """
    import pictures
    _show_or_write(filename, pictures.draw_channels, data, title)


def show_some_examples(names, data, labels, filename="cifar_examples.png", title="Examples"):
    """Write a picture of ten images of every class.

    Args:
      names: list of str, the classes.
      data: float32 [N, 576], as `cifar_tools.read_data` gives it.
      labels: int [N].
      filename: where to; None shows a window.
      title: heading of the picture, further lines are remarks.
    """
    import numpy as np

    import pictures
    images = np.asarray(data, np.float32).reshape(-1, 24, 24, 1)
    _show_or_write(filename, pictures.draw_examples, names, images, labels, title)


def _show_or_write(filename, draw, *what):
    if filename is None:
        from matplotlib import pyplot
        draw(pyplot.figure(), *what)
        pyplot.show()
    else:
        from matplotlib.figure import Figure
        figure = Figure()
        draw(figure, *what)
        save_figure(figure, filename)


# ---------------------------------------------------------------------------------------
# The script


def parse_arguments(arguments=None):
    parser = console.ArgumentParser(
        description="Draw what a convolution does with an image: with random filters, or, with "
        "--run, the filters and layers of a trained network.")
    parser.add_argument("--run", metavar="RUN", help="run folder, such as runs/lrn_cnn")
    parser.add_argument("--checkpoint", metavar="C",
                        help="best, latest or the path of a checkpoint of the run (default: the "
                        "weights the training's final figure was measured on)")
    parser.add_argument("--data-dir", metavar="D",
                        help="folder of the data set (default: the usual places; where CIFAR-10 "
                        "cannot be had, drawn shapes stand in for it)")
    parser.add_argument("--out", metavar="DIR",
                        help="where the pictures go (default: pictures, or RUN/pictures)")
    image = parser.add_mutually_exclusive_group()
    image.add_argument("--image-index", metavar="N", type=int,
                       help="which training image, with --run which test image, counted from 0 "
                       f"(default: {IMAGE_INDEX})")
    image.add_argument("--image", metavar="FILE", help="a picture of your own, PNG or JPEG")
    group = parser.add_argument_group("random filters, without --run")
    for name, (default, _, _, words) in RANDOM_FILTERS.items():
        group.add_argument(f"--{name}", metavar="N", type=int,
                           help=f"{words} (default: {default})")
    options = parser.parse_args(arguments)

    for name, (default, lowest, highest, _) in RANDOM_FILTERS.items():
        field = name.replace("-", "_")
        value = getattr(options, field)
        if value is None:
            setattr(options, field, default)
        elif options.run:
            raise console.UserError(f"--{name} is of the random filters; leave it out with --run")
        elif not lowest <= value <= highest:
            raise console.UserError(f"--{name} {value}, expected {lowest} to {highest}")
    if options.checkpoint and not options.run:
        raise console.UserError("--checkpoint is of a run; name the run's folder with --run")
    return options


def load_data(data_dir):
    """CIFAR-10, or, where it cannot be had and nobody said where it is, the drawn shapes."""
    import datasets
    try:
        return datasets.load("cifar10", data_dir)
    except console.Failure as failure:
        print(f"conv_visuals.py: {failure}; taking the data set shapes instead", file=sys.stderr)
        return datasets.load("shapes")


def choose_image(options, dataset):
    """(image uint8 [height, width, channels], what it is in words).

    Raises:
      console.UserError: no such image.
    """
    import cifar_tools
    if options.image:
        image = cifar_tools.read_image(options.image, dataset.train.images.shape[1:])
        return image, f"picture {console.plain(pathlib.Path(options.image).name)}"
    name, split = ("test", dataset.test) if options.run else ("training", dataset.train)
    number = IMAGE_INDEX if options.image_index is None else options.image_index
    if not 0 <= number < len(split.labels):
        raise console.UserError(f"--image-index {number}, expected 0 to {len(split.labels) - 1}: "
                                f"{dataset.name} has {len(split.labels)} {name} images")
    return split.images[number], (
        f"{name} image {number} ({dataset.class_names[split.labels[number]]})")


def random_layers(pixels, filters, size, seed):
    """What a convolution with random filters makes of an image, in the chapter's four steps.

    Args:
      pixels: float32 [1, height, width, channels].
      filters: how many.
      size: their height and width.
      seed: decides their weights and biases.

    Returns:
      A list of (file name, function of `pictures` that draws, array, heading).
    """
    import pictures
    with console.quiet_tensorflow() as tf:
        from training.loop import explained, session_config
    with tf.Graph().as_default(), explained():
        tf.set_random_seed(seed)
        x = tf.placeholder(tf.float32, pixels.shape)
        W = tf.Variable(tf.random_normal([size, size, pixels.shape[-1], filters]))
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
        ("step0_weights.png", pictures.draw_weights, weights,
         f"Step 0: random weights, N(0, 1), seed {seed}"),
        ("step1_convs.png", pictures.draw_channels, convolved, "Step 1: convolved with the image"),
        ("step2_conv_outs.png", pictures.draw_channels, rectified, "Step 2: after bias and ReLU"),
        ("step3_maxpool.png", pictures.draw_channels, pooled, "Step 3: after max-pool 2"),
    ]


def trained_layers(folder, checkpoint, pixels):
    """What every layer of a trained network makes of an image.

    Args:
      folder: a `RunFolder`.
      checkpoint: see `training.restore.choose`.
      pixels: float32 [1, height, width, channels].

    Returns:
      (layers, probabilities, step): a list of (file name, function of `pictures` that
      draws, array, heading); float32 [classes]; the checkpoint's training step.
    """
    import pictures
    with console.quiet_tensorflow() as tf:
        from networks.layers import ACTIVATIONS
        from training import restore
    with restore.restored(folder, checkpoint) as (session, path):
        filters = [variable for variable in tf.trainable_variables() if len(variable.shape) == 4]
        activations = [x for x in tf.get_collection(ACTIVATIONS) if len(x.shape) == 4]
        weights, results, probabilities, step = session.run(
            [filters, activations, "probabilities:0", "global_step:0"], {"images:0": pixels})
    print(f"restored {path}, global step {step}")
    layers = []
    for draw, things, values in ((pictures.draw_weights, filters, weights),
                                 (pictures.draw_channels, activations, results)):
        for thing, value in zip(things, values):
            # conv1/lrn/lrn is conv1's lrn.
            *scope, kind = [part for part, _ in itertools.groupby(thing.op.name.split("/"))]
            layers.append(("_".join([*scope, kind]) + ".png", draw, value,
                           ": ".join(["/".join(scope), LAYER_WORDS.get(kind, kind)])))
    return layers, probabilities[0], step


def main():
    options = parse_arguments()
    folder = RunFolder(options.run) if options.run else None
    name, recipe, description = folder.read_description() if folder else (None,) * 3
    out = pathlib.Path(options.out or (folder.path / "pictures" if folder else "pictures"))
    there = next(path for path in (out, *out.parents) if path.exists())
    if not there.is_dir():
        raise console.UserError(f"--out {out}: {there} is not a folder")
    import datasets
    dataset = (datasets.load_again(description, options.data_dir) if folder
               else load_data(options.data_dir))
    image, image_words = choose_image(options, dataset)

    import cifar_tools
    pixels = (folder.prepare(recipe)(image[None]) if folder
              else cifar_tools.prepare(image[None], "gray24"))
    print(f"data set {dataset.name} ({dataset.directory}), {image_words}")
    if folder:
        layers, probabilities, step = trained_layers(folder, options.checkpoint, pixels)
        about = f"{name} trained on {dataset.name}, step {step}; {image_words}"
    else:
        layers = random_layers(pixels, options.filters, options.filter_size, options.seed)
        about = f"data set {dataset.name}; {image_words}"

    import pictures
    drawings = [
        ("cifar_examples.png", pictures.draw_examples, dataset.class_names, dataset.train.images,
         dataset.train.labels, f"Training images\ndata set {dataset.name}"),
        ("input_image.png", pictures.draw_input, image, pixels[0], f"The input image\n{about}")]
    if folder:
        drawings.append(
            ("probabilities.png", pictures.draw_probabilities, image, dataset.class_names,
             probabilities, f"What the network takes the image for\n{about}"))
    drawings += [(file, draw, value, f"{heading}\n{about}")
                 for file, draw, value, heading in layers]
    out.mkdir(parents=True, exist_ok=True)
    for file, draw, *what in drawings:
        _show_or_write(out / file, draw, *what)
        print(f"drew {out / file}")


if __name__ == "__main__":
    console.run(main, "conv_visuals.py")
