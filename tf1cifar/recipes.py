"""Settings of every tutorial, by name, as data.

    Recipe       the settings of a training run; nothing else decides how a network is trained
    RECIPES      name -> Recipe of a tutorial
    NETWORKS     name of a network -> the settings that only some networks have
    to_dict      a Recipe as JSON; from_dict reads it back, of this and of every older format
    options      the options of cnn_train.py that make a recipe
    differences  the settings that keep a run from being resumed

The command line names a recipe and overrides single fields. The run folder keeps the result as
JSON, and restoring rebuilds the graph from it.

This file does not import TensorFlow or NumPy, so `--help` and argument errors are instant.
"""

import dataclasses
import math

FORMAT = 4  # format of recipe.json; files without a number have format 1, see `upgrade`

# Each network of tf1cifar/networks/ and the recipe fields that are the keyword-only parameters of
# its `inference`. A test compares this table with the functions.
NETWORKS = {
    "batchnorm_cnn": ("dropout", "batch_norm_decay"),
    "dropout_cnn": ("dropout",),
    "fast_cnn": ("width", "batch_norm_decay"),
    "linear": (),
    "lrn_cnn": ("initialization", "conv_layers", "dropout", "lrn"),
    "tutorial_cnn": ("dropout", "lrn"),
    "two_layer_fc": ("dropout",),
}

# Names of objects that are defined elsewhere, in files that import NumPy or TensorFlow. Tests
# compare these tuples with the definitions.
DATASETS = ("cifar10", "cifar100", "cifar100-coarse", "mnist", "shapes", "folders")
PREPARATIONS = ("gray24", "standardized24", "unit", "minus_mean")
AUGMENTATIONS = ("scale", "crop", "shift", "flip", "alternating_flip", "hue", "contrast",
                 "brightness", "noise")
LOSSES = ("softmax_cross_entropy", "hinge", "multiclass_hinge")

# Headings of the fields in --help.
GROUPS = DATA, LOSS, COMPUTATION, LENGTH, REPORTS = (
    "network and data", "loss and optimizer", "computation", "length and order",
    "reports and checkpoints")


def _field(group, default, help, choices=None, minimum=None, maximum=None, above=None, below=None,
           resumable=False, common=False):
    """A field of a `Recipe`, with its limits and its place in --help.

    `choices` are the allowed values, of a tuple the allowed items. `minimum` and `maximum` are
    allowed values, `above` and `below` are not. A run can be resumed with another value of a
    `resumable` field. --help shows the `common` fields first.
    """
    return dataclasses.field(default=default, metadata={
        "group": group, "help": help, "choices": choices, "minimum": minimum, "maximum": maximum,
        "above": above, "below": below, "resumable": resumable, "common": common})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Raises:
      ValueError: a value has the wrong type or is out of its range. The message names the field,
        the value and the expected values.
    """

    network: str = _field(DATA, "lrn_cnn", "network, a file in tf1cifar/networks/", NETWORKS)
    dataset: str = _field(DATA, "cifar10", "data set; folders is your own pictures, see the README",
                          DATASETS, common=True)
    image_size: int = _field(
        DATA, 32, "height and width in pixels to which --dataset folders resizes your pictures",
        minimum=24, maximum=128)
    preparation: str = _field(
        DATA, "gray24", "preparation of the pixels: gray24 (chapter 9's clean: gray, central "
        "24x24, standardized), standardized24 (the same in colour), unit (pixels divided by 255) "
        "or minus_mean (pixels minus the mean training image)", PREPARATIONS)
    augment: tuple = _field(DATA, (), "random changes of the training images", AUGMENTATIONS,
                            common=True)
    held_out: float = _field(
        DATA, 0.1, "share of the training images that is held out to choose the best checkpoint; "
        "0 for none", minimum=0.0, below=1.0, common=True)
    initialization: str = _field(
        DATA, "he", "initial weights: he (suited to ReLU layers), he_small_first (he, but a first "
        "convolution near zero, so that its filters become visible) or normal (the book's N(0, 1))",
        ("he", "he_small_first", "normal"))
    conv_layers: int = _field(DATA, 2, "number of convolutions", minimum=2, maximum=32)
    width: int = _field(
        DATA, 32, "number of filters of the first trained convolutions; the later ones have four "
        "times as many", minimum=1, maximum=1024)
    dropout: float = _field(
        DATA, 0.0, "dropout rate, the share of the dense layers' outputs that is dropped in "
        "training", minimum=0.0, below=1.0, common=True)
    batch_norm_decay: float = _field(
        DATA, 0.99, "decay of batch norm's moving mean and variance; 1 never updates them",
        minimum=0.0, maximum=1.0)

    loss: str = _field(
        LOSS, "softmax_cross_entropy", "loss function: softmax_cross_entropy, hinge (each class "
        "against all others) or multiclass_hinge (every other class against the right one)",
        LOSSES)
    l2: float = _field(
        LOSS, 0.0, "factor of L2 regularization, half the sum of the squared weights; 0 for none",
        minimum=0.0)
    label_smoothing: float = _field(
        LOSS, 0.0, "share of each label that is spread evenly over all classes, for --loss "
        "softmax_cross_entropy", minimum=0.0, below=1.0)
    optimizer: str = _field(
        LOSS, "adam", "optimizer: adam, momentum, nesterov (momentum that looks a step ahead), "
        "muon (orthogonal steps for the filters, nesterov for all else) or gradient_descent",
        ("adam", "momentum", "nesterov", "muon", "gradient_descent"))
    beta1: float = _field(LOSS, 0.9, "beta1 of --optimizer adam", minimum=0.0, below=1.0)
    momentum: float = _field(
        LOSS, 0.9, "momentum of --optimizer momentum, nesterov and muon", minimum=0.0, below=1.0)
    learning_rate: float = _field(
        LOSS, 0.001, "initial learning rate; with --optimizer muon that of the filters",
        above=0.0, common=True)
    nesterov_rate: float = _field(
        LOSS, 0.1, "initial learning rate of all but the filters with --optimizer muon", above=0.0)
    schedule: str = _field(
        LOSS, "cosine", "learning rate schedule: constant, cosine or linear (down to 0 at the last "
        "step), steps (times --decay-rate after every --decay-epochs) or exponential (the same "
        "decay, spread over all steps)", ("constant", "cosine", "linear", "steps", "exponential"))
    decay_rate: float = _field(
        LOSS, 0.1, "factor of the learning rate in the schedules steps and exponential", above=0.0)
    decay_epochs: int = _field(
        LOSS, 10, "number of epochs in which the learning rate falls by --decay-rate once",
        minimum=1)
    moving_average: float = _field(
        LOSS, 0.0, "decay of moving averages of the weights, which are then evaluated in the "
        "weights' place; 0 for none", minimum=0.0, below=1.0)
    freeze: tuple = _field(
        LOSS, (), "layers that are not trained, such as conv1: their weights and batch statistics "
        "stay as they are at the start")

    steps_per_run: int = _field(
        COMPUTATION, 1, "number of training steps in one session.run, as a loop in the graph over "
        "images in its memory; more than 1 is faster for small networks and needs --augment none",
        minimum=1, maximum=100)
    precision: str = _field(
        COMPUTATION, "auto", "number format of products and convolutions; auto is bfloat16 if a "
        "timing of the costliest layers shows that it is faster here, else float32; variables and "
        "losses are always float32", ("auto", "float32", "bfloat16"), common=True)
    lrn: str = _field(
        COMPUTATION, "auto", "implementation of local response normalization: product (a matrix "
        "product) or native (TensorFlow's operation); auto is product",
        ("auto", "product", "native"))

    batch_size: int = _field(LENGTH, 250, "number of images in a batch", minimum=1, common=True)
    order: str = _field(
        LENGTH, "shuffled", "order of the training images: shuffled (anew for every epoch), "
        "in_order (the order of the files) or with_replacement (drawn at random)",
        ("shuffled", "in_order", "with_replacement"))
    epochs: int = _field(LENGTH, 10, "number of passes over the training images", minimum=1,
                         resumable=True, common=True)
    steps: int = _field(LENGTH, 0, "number of training steps, instead of epochs; 0 for the epochs",
                        minimum=0, resumable=True, common=True)
    early_stopping: int = _field(
        LENGTH, 0, "number of epochs without a better held-out accuracy after which training "
        "stops; 0 for no early stopping", minimum=0, resumable=True)
    seed: int = _field(LENGTH, 0, "seed of the initial weights, the order of the images, the "
                       "augmentation and the dropout", minimum=0, common=True)

    test_every_epoch: bool = _field(
        REPORTS, False, "test after every epoch, as the tutorials do, not only at the end",
        resumable=True, common=True)
    summary_every: int = _field(
        REPORTS, 500, "number of steps between TensorBoard histograms and images; 0 for none",
        minimum=0, resumable=True)
    checkpoint_every: int = _field(
        REPORTS, 0, "number of steps between checkpoints within an epoch; 0 for checkpoints at "
        "the end of each epoch only", minimum=0, resumable=True, common=True)
    max_to_keep: int = _field(REPORTS, 5, "number of checkpoints to keep, beside the best",
                              minimum=1, resumable=True)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if unknown := set(NETWORKS[self.network]) - {field.name for field in
                                                     dataclasses.fields(self)}:
            raise ValueError(f"NETWORKS[{self.network!r}] names {', '.join(sorted(unknown))}, "
                             "expected fields of Recipe")
        others = {name for names in NETWORKS.values() for name in names}
        others -= set(NETWORKS[self.network])
        for field in dataclasses.fields(self):
            if field.name in others and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}, but the network "
                                 f"{self.network} has no such option; leave it out")
        if self.image_size != 32 and self.dataset != "folders":
            raise ValueError(f"image_size is {self.image_size}, expected 32: only the data set "
                             "folders has pictures of other sizes")
        if self.steps_per_run > 1 and self.augment:
            raise ValueError(f"steps_per_run is {self.steps_per_run}, expected 1 with --augment, "
                             "which makes new images for every step")
        if {"flip", "alternating_flip"} <= set(self.augment):
            raise ValueError("augment is flip and alternating_flip, expected one of them")
        if self.label_smoothing and self.loss != "softmax_cross_entropy":
            raise ValueError(f"label_smoothing is {self.label_smoothing}, expected 0 with the loss "
                             f"{self.loss}, which has no such option")
        if self.early_stopping and not self.held_out:
            raise ValueError(f"early_stopping is {self.early_stopping}, expected 0 without "
                             "held-out images; give --held-out 0.1")

    def freezes(self, name):
        """Whether the variable `name` is in one of the scopes in `freeze`."""
        return any(f"{name}/".startswith(f"{scope}/") for scope in self.freeze)

    def steps_per_epoch(self, training_images):
        """Number of batches in one pass over `training_images` images; the last may be smaller."""
        return -(-training_images // self.batch_size)

    def total_steps(self, training_images):
        """Number of training steps of the whole run on `training_images` images."""
        return self.steps or self.epochs * self.steps_per_epoch(training_images)


def _check(field, value):
    """Raise a ValueError unless `value` has the field's type and lies within its limits."""
    limits = field.metadata
    if type(value) is not field.type:
        raise ValueError(f"{field.name} is {value!r}, expected {field.type.__name__}")
    if field.type is tuple and not limits["choices"] and not all(
            isinstance(item, str) and 0 < len(item) <= 200 for item in value[:1000]):
        raise ValueError(f"{field.name} is {str(value)[:200]}, expected names")
    if limits["choices"]:
        for item in value if field.type is tuple else (value,):
            if item not in limits["choices"]:
                raise ValueError(f"{field.name} is {item!r}, expected one of "
                                 f"{', '.join(limits['choices'])}")
    if field.type is float and not math.isfinite(value):
        raise ValueError(f"{field.name} is {value}, expected a finite number")
    for limit, fits, words in (("minimum", lambda a, b: a >= b, "at least"),
                               ("maximum", lambda a, b: a <= b, "at most"),
                               ("above", lambda a, b: a > b, "more than"),
                               ("below", lambda a, b: a < b, "less than")):
        if limits[limit] is not None and not fits(value, limits[limit]):
            raise ValueError(f"{field.name} is {value}, expected {words} {limits[limit]:g}")
    if field.type is int and value >= 2 ** 31:
        raise ValueError(f"{field.name} is {value}, expected less than {2 ** 31}")


def to_dict(recipe):
    """The recipe as a dictionary that JSON can hold, in the format FORMAT."""
    return dataclasses.asdict(recipe)


def from_dict(settings, format=FORMAT):
    """The recipe from which `to_dict` made `settings`.

    Args:
      settings: a dictionary, field name -> value.
      format: the format of `settings`, 1 to FORMAT.

    Returns:
      A `Recipe`.

    Raises:
      ValueError: the format is unknown, `settings` is not a dictionary, a field is unknown or
        missing, or a value is bad. The message names the format or the field.
    """
    if type(format) is not int or format < 1:
        raise ValueError(f"format is {format!r}, expected a number from 1 to {FORMAT}")
    if format > FORMAT:
        raise ValueError(f"format {format} was written by a newer version of this project; this "
                         f"one reads up to {FORMAT}")
    if not isinstance(settings, dict):
        raise ValueError(f"expected a dictionary of settings, found {type(settings).__name__}")
    settings = upgrade(settings, format)
    names = [field.name for field in dataclasses.fields(Recipe)]
    if unknown := settings.keys() - set(names):
        raise ValueError(f"unknown setting {', '.join(sorted(map(str, unknown)))}")
    if missing := [name for name in names if name not in settings]:
        raise ValueError(f"missing setting {', '.join(missing)}")
    settings = {name: tuple(value) if isinstance(value, list) else value  # JSON has no tuples
                for name, value in settings.items()}
    return Recipe(**settings)


def upgrade(settings, format):
    """The settings of a recipe.json of an older format, as settings of the current format.

    Format 1 has no number. Four of its fields were added over time; a run without such a field was
    trained as if it had the value below, whatever the field's default is today. Format 2 has no
    image_size, format 3 neither freeze nor the fields that came with the recipe `fast`.

    Args:
      settings: a dictionary, field name -> value.
      format: the format of `settings`, 1 to FORMAT.

    Returns:
      A dictionary; missing and unknown fields and bad values are still as they were.
    """
    if format == 1:
        has_lrn = "lrn" in NETWORKS.get(str(settings.get("network")), ())
        settings = {"checkpoint_every": 0, "steps_per_run": 1, "precision": "float32",
                    "lrn": "product" if has_lrn else "auto", **settings}
    if format <= 2:
        settings = {"image_size": 32, **settings}
    if format <= 3:
        settings = {"freeze": (), "width": 32, "label_smoothing": 0.0, "nesterov_rate": 0.1,
                    **settings}
    return settings


def differences(old, new):
    """The settings that keep the run of `old` from being resumed with `new`.

    Fields marked `resumable` (length and reports) may differ.

    Returns:
      A list of 'field: OLD before, NEW now'.
    """
    return [f"{field.name}: {getattr(old, field.name)!r} before, {getattr(new, field.name)!r} now"
            for field in dataclasses.fields(Recipe)
            if not field.metadata["resumable"]
            and getattr(old, field.name) != getattr(new, field.name)]


def options(name, recipe):
    """The options of cnn_train.py that make `recipe`.

    Args:
      name: the recipe's name in `RECIPES`.
      recipe: the `Recipe`.

    Returns:
      A list of str, such as ['--recipe', 'lrn_cnn', '--batch-size', '250'].
    """
    words, own = ["--recipe", name], RECIPES.get(name, Recipe())
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if value == getattr(own, field.name) or (
                field.name == "steps" and not value):  # --epochs sets it to 0
            continue
        flag = "--" + field.name.replace("_", "-")
        if field.type is bool:
            words.append(flag if value else "--no-" + flag[2:])
        else:
            words += [flag, *((value or ["none"]) if field.type is tuple else [str(value)])]
    return words


# If the listing of a tutorial does not do what its text intends, the recipe follows the text;
# benchmarks/reproduce.py measures both.
RECIPES = {
    # N. Shukla, Machine Learning with TensorFlow, chapter 9, with changes that make it learn: see
    # docs/results.md. Half the book's batch and 0.6 of its learning rate gain two points of
    # accuracy in ten epochs over 250 and 0.001.
    "lrn_cnn": Recipe(initialization="he_small_first", augment=("crop", "flip"), batch_size=125,
                      learning_rate=0.0006),

    # I. Zafar et al., Hands-On Convolutional Neural Networks with TensorFlow.
    "hinge": Recipe(
        network="linear", preparation="unit", loss="multiclass_hinge", held_out=0.0,
        optimizer="gradient_descent", learning_rate=0.5, schedule="cosine",
        batch_size=100, epochs=10, steps_per_run=100),

    # W. Beyer, Simple Image Recognition with TensorFlow, parts 1 and 2.
    "softmax": Recipe(
        network="linear", preparation="minus_mean", held_out=0.0,
        optimizer="gradient_descent", learning_rate=0.005, schedule="cosine",
        batch_size=100, order="with_replacement", steps=1000, steps_per_run=100),
    "two_layer_fc": Recipe(
        network="two_layer_fc", preparation="minus_mean", held_out=0.0, l2=0.1,
        optimizer="gradient_descent", learning_rate=0.001, schedule="constant",
        batch_size=400, steps=2000, steps_per_run=100),

    # Edureka, Convolutional Neural Network (after exelban/tensorflow-cifar-10).
    "dropout_cnn": Recipe(
        network="dropout_cnn", preparation="unit", held_out=0.0, dropout=0.5,
        learning_rate=0.001, schedule="cosine", batch_size=128, epochs=10),

    # A machine-learning textbook's chapter on convolutional networks.
    "batchnorm_cnn": Recipe(
        network="batchnorm_cnn", dataset="mnist", preparation="unit", held_out=0.0, dropout=0.1,
        learning_rate=0.0002, beta1=0.5, schedule="constant", batch_size=128, epochs=10,
        max_to_keep=10),

    # TensorFlow's own CIFAR-10 tutorial.
    "tutorial_cnn": Recipe(
        network="tutorial_cnn", preparation="standardized24", held_out=0.0, l2=0.004,
        augment=("crop", "flip", "brightness", "contrast"),
        optimizer="gradient_descent", learning_rate=0.1, schedule="cosine",
        moving_average=0.9999, batch_size=128, epochs=40),

    # K. Jordan, 94 % on CIFAR-10 in 3.29 Seconds on a Single GPU, and its successor with Muon, for
    # a few processor cores.
    "fast": Recipe(
        network="fast_cnn", preparation="minus_mean", augment=("shift", "alternating_flip"),
        held_out=0.0, batch_norm_decay=0.88, label_smoothing=0.2, optimizer="muon", momentum=0.6,
        learning_rate=0.12, nesterov_rate=70.0, schedule="linear", batch_size=500, epochs=8),
}

# The test accuracy in per cent and the minutes of each recipe, as docs/results.md has them.
MEASURED = {"lrn_cnn": (70.7, 3), "hinge": (36.3, 0.1), "softmax": (32.9, 0.1),
            "two_layer_fc": (46.5, 0.1), "dropout_cnn": (78.5, 8), "batchnorm_cnn": (98.9, 1.2),
            "tutorial_cnn": (80.3, 10), "fast": (83.0, 1.5)}
