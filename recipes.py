"""Every tutorial's settings, by name, as data.

A `Recipe` holds all that decides how a network is trained, and nothing else does. The
command line names one and overrides single fields; the run folder keeps it as JSON.

Nothing here imports TensorFlow or NumPy, so `--help` and argument errors stay instant.
"""

import dataclasses
import math

import networks


def _field(default, help, choices=None, minimum=None, above=None, below=None):
    return dataclasses.field(default=default, metadata={
        "help": help, "choices": choices, "minimum": minimum, "above": above, "below": below})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    Raises:
      ValueError: a value of the wrong type or out of its range; the message names the
        field, the value and what was expected.
    """

    network: str = _field("lrn_cnn", "the file in networks/ that builds it", networks.NAMES)
    dataset: str = _field("cifar10", "data set", ("cifar10", "shapes"))
    preparation: str = _field("gray24", "what is done to the pixels", ("gray24",))
    augment: tuple = _field((), "random changes of the training images",
                            ("crop", "flip"))
    held_out: float = _field(0.1, "share of the training images kept from training to choose "
                             "the best checkpoint; 0 for none", minimum=0.0, below=1.0)
    initialization: str = _field("he", "first weights: he for ReLU layers, or normal, the "
                                 "book's N(0, 1)", ("he", "normal"))
    learning_rate: float = _field(0.001, "Adam's learning rate at the start", above=0.0)
    schedule: str = _field("cosine", "the learning rate's way: constant, or cosine, down to 0 "
                           "at the last step", ("constant", "cosine"))
    batch_size: int = _field(250, "images a step", minimum=1)
    shuffle: bool = _field(True, "a fresh order of the images every epoch")
    epochs: int = _field(10, "passes over the training images", minimum=1)
    steps: int = _field(0, "steps to train, instead of epochs; 0 goes by the epochs", minimum=0)
    seed: int = _field(0, "decides first weights, order and augmentation", minimum=0)
    test_every_epoch: bool = _field(False, "test after every epoch, as the tutorials do, "
                                    "not only at the end")
    max_to_keep: int = _field(5, "checkpoints to keep beside the best", minimum=1)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    def total_steps(self, steps_per_epoch):
        """Number of training steps when an epoch has `steps_per_epoch`."""
        return self.steps or self.epochs * steps_per_epoch


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

    Raises:
      ValueError: not a dictionary, an unknown or a missing field, or a bad value.
    """
    if not isinstance(settings, dict):
        raise ValueError(f"expected a dictionary of settings, found {type(settings).__name__}")
    names = {field.name for field in dataclasses.fields(Recipe)}
    if unknown := settings.keys() - names:
        raise ValueError(f"unknown setting {', '.join(sorted(map(str, unknown)))}")
    if missing := names - settings.keys():
        raise ValueError(f"no setting {', '.join(sorted(missing))}")
    if isinstance(settings["augment"], list):  # JSON has no tuples
        settings = {**settings, "augment": tuple(settings["augment"])}
    return Recipe(**settings)


def differences(old, new):
    """What keeps `new` from going on where `old` stopped: 'field: OLD before, NEW now' each.

    More epochs or steps are not a difference: they are how one trains on.
    """
    return [f"{name}: {before!r} before, {getattr(new, name)!r} now"
            for name, before in to_dict(old).items()
            if name not in ("epochs", "steps") and before != getattr(new, name)]


RECIPES = {
    # N. Shukla, Machine Learning with TensorFlow, chapter 9, made to learn: see the README. Half
    # the book's batch and 0.6 of its rate gain two points in ten epochs over 250 and 0.001.
    "lrn_cnn": Recipe(augment=("crop", "flip"), batch_size=125, learning_rate=0.0006),
}
