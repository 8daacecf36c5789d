"""Every tutorial's settings, by name, as data.

A `Recipe` holds all that decides how a network is trained, and nothing else does. The
command line names one and overrides single fields; the run folder keeps it as JSON.

Nothing here imports TensorFlow or NumPy, so `--help` and argument errors stay instant.
"""

import dataclasses
import math

import networks


def _field(default, help, choices=None, minimum=None, maximum=None, above=None, below=None,
           resumable=False):
    """A field with its help, its limits and whether a run may be taken up with another value."""
    return dataclasses.field(default=default, metadata={
        "help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "above": above,
        "below": below, "resumable": resumable})


# Names of things that are made elsewhere, where NumPy is needed; tests hold them together.
DATASETS = ("cifar10", "mnist", "shapes")
PREPARATIONS = ("gray24", "standardized24", "unit", "minus_mean")
AUGMENTATIONS = ("scale", "crop", "flip", "hue", "contrast", "brightness", "noise")

# The fields that only some networks know, as keyword-only parameters of their `inference`.
NETWORK_OPTIONS = ("initialization", "conv_layers", "dropout", "batch_norm_decay", "lrn")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Raises:
      ValueError: a value of the wrong type or out of its range; the message names the
        field, the value and what was expected.
    """

    # the network and its data
    network: str = _field("lrn_cnn", "the file in networks/ that builds it", networks.NAMES)
    dataset: str = _field("cifar10", "data set", DATASETS)
    preparation: str = _field(
        "gray24", "what is done to the pixels: gray24 is chapter 9's clean; standardized24 the "
        "same in colour; unit divides by 255; minus_mean takes the mean training image away",
        PREPARATIONS)
    augment: tuple = _field((), "random changes of the training images", AUGMENTATIONS)
    held_out: float = _field(0.1, "share of the training images kept from training to choose "
                             "the best checkpoint; 0 for none", minimum=0.0, below=1.0)

    # what the network is made with; each is for networks that know it
    initialization: str = _field("he", "first weights: he for ReLU layers, or normal, the "
                                 "book's N(0, 1)", ("he", "normal"))
    conv_layers: int = _field(2, "convolutions", minimum=2, maximum=32)
    dropout: float = _field(0.0, "share of the dense layers' outputs dropped in training",
                            minimum=0.0, below=1.0)
    batch_norm_decay: float = _field(0.99, "of batch normalization's moving statistics; 1 never "
                                     "updates them", minimum=0.0, maximum=1.0)

    # what is minimized, and how
    loss: str = _field("softmax_cross_entropy", "what is minimized: hinge is one class against "
                       "all others, multiclass_hinge every other class against the right one",
                       ("softmax_cross_entropy", "hinge", "multiclass_hinge"))
    l2: float = _field(0.0, "times half the weights' squares is added to the loss", minimum=0.0)
    optimizer: str = _field("adam", "optimizer", ("adam", "momentum", "gradient_descent"))
    beta1: float = _field(0.9, "Adam's decay of the gradient's mean", minimum=0.0, below=1.0)
    momentum: float = _field(0.9, "of the momentum optimizer", minimum=0.0, below=1.0)
    learning_rate: float = _field(0.001, "at the start", above=0.0)
    schedule: str = _field("cosine", "the learning rate's way: constant; cosine, down to 0 at the "
                           "last step; steps, times decay-rate after every decay-epochs; "
                           "exponential, the same smoothly",
                           ("constant", "cosine", "steps", "exponential"))
    decay_rate: float = _field(0.1, "factor of the schedules steps and exponential", above=0.0)
    decay_epochs: int = _field(10, "epochs to that factor", minimum=1)
    moving_average: float = _field(0.0, "decay of moving averages of the weights, which are then "
                                   "what is evaluated; 0 for none", minimum=0.0, below=1.0)

    # how it is computed
    steps_per_run: int = _field(1, "training steps that one session.run takes, in a loop in the "
                                "graph on images in its memory; more than 1 is faster where a "
                                "step is short, and needs --augment none", minimum=1,
                                maximum=100)
    precision: str = _field(
        "auto", "of products and convolutions; variables and losses are float32 always. auto is "
        "bfloat16 where the processor has instructions for it, else float32",
        ("auto", "float32", "bfloat16"))
    lrn: str = _field(
        "auto", "how local response normalization is computed, by a matrix product or by "
        "TensorFlow's native operation; auto is the product, but on a GPU where the operation "
        "is clearly the faster one", ("auto", "product", "native"))

    # how long, in which batches
    batch_size: int = _field(250, "images a step", minimum=1)
    order: str = _field("shuffled", "of the training images: shuffled anew every epoch, in_order "
                        "of the files, or drawn with_replacement",
                        ("shuffled", "in_order", "with_replacement"))
    epochs: int = _field(10, "passes over the training images", minimum=1, resumable=True)
    steps: int = _field(0, "steps to train, instead of epochs; 0 goes by the epochs", minimum=0,
                        resumable=True)
    early_stopping: int = _field(0, "stop when the held-out accuracy has not grown for so many "
                                 "epochs; 0 never does", minimum=0, resumable=True)
    seed: int = _field(0, "decides first weights, order, augmentation and dropout", minimum=0)

    # what is told and kept
    test_every_epoch: bool = _field(False, "test after every epoch, as the tutorials do, "
                                    "not only at the end", resumable=True)
    summary_every: int = _field(500, "steps between TensorBoard's histograms and images; 0 for "
                                "none", minimum=0, resumable=True)
    checkpoint_every: int = _field(0, "steps between checkpoints within an epoch; 0 for those at "
                                   "its end only", minimum=0, resumable=True)
    max_to_keep: int = _field(5, "checkpoints to keep beside the best", minimum=1,
                              resumable=True)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        known = networks.options(self.network)
        for field in dataclasses.fields(self):
            if (field.name in NETWORK_OPTIONS and field.name not in known
                    and getattr(self, field.name) != field.default):
                raise ValueError(f"{field.name} is {getattr(self, field.name)}, expected "
                                 f"{field.default}: the network {self.network} has no such option")
        if self.steps_per_run > 1 and self.augment:
            raise ValueError(f"steps_per_run is {self.steps_per_run}, expected 1 with --augment, "
                             "which makes new images for every step")
        if self.early_stopping and not self.held_out:
            raise ValueError(f"early_stopping is {self.early_stopping}, expected 0 without "
                             "held-out images; give --held-out 0.1")

    def steps_per_epoch(self, training_images):
        """Batches in one pass over so many images; the last may be smaller."""
        return -(-training_images // self.batch_size)

    def total_steps(self, training_images):
        """Number of training steps on so many images."""
        return self.steps or self.epochs * self.steps_per_epoch(training_images)


def _check(field, value):
    limits = field.metadata
    if type(value) is not field.type:
        raise ValueError(f"{field.name} is {value!r}, expected {field.type.__name__}")
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
    """The recipe as a dictionary that JSON can hold."""
    return dataclasses.asdict(recipe)


def from_dict(settings):
    """The recipe that `to_dict` made `settings` of.

    A missing field has its default, or what was done before there was such a field, so that
    older runs can still be read.

    Raises:
      ValueError: not a dictionary, an unknown field, or a bad value.
    """
    if not isinstance(settings, dict):
        raise ValueError(f"expected a dictionary of settings, found {type(settings).__name__}")
    names = {field.name for field in dataclasses.fields(Recipe)}
    if unknown := settings.keys() - names:
        raise ValueError(f"unknown setting {', '.join(sorted(map(str, unknown)))}")
    recorded, settings = settings, {"precision": "float32", **settings}
    if isinstance(settings.get("augment"), list):  # JSON has no tuples
        settings["augment"] = tuple(settings["augment"])
    recipe = Recipe(**settings)
    if "lrn" not in recorded and "lrn" in networks.options(recipe.network):
        recipe = dataclasses.replace(recipe, lrn="product")
    return recipe


def differences(old, new):
    """What keeps `new` from going on where `old` stopped: 'field: OLD before, NEW now' each.

    How long to train and what to tell are not: other values of these are no other run.
    """
    return [f"{field.name}: {getattr(old, field.name)!r} before, {getattr(new, field.name)!r} now"
            for field in dataclasses.fields(Recipe)
            if not field.metadata["resumable"]
            and getattr(old, field.name) != getattr(new, field.name)]


# Where a listing does something else than its text intends, the recipe does what is intended;
# benchmarks/reproduce.py measures both.
RECIPES = {
    # N. Shukla, Machine Learning with TensorFlow, chapter 9, made to learn: see the README. Half
    # the book's batch and 0.6 of its rate gain two points in ten epochs over 250 and 0.001.
    "lrn_cnn": Recipe(augment=("crop", "flip"), batch_size=125, learning_rate=0.0006),

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
}
