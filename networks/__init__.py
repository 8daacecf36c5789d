"""One file a network: `inference(images, num_classes, is_training, ...) -> logits`.

To add one, write `networks/NAME.py` with an `inference` function and an entry in
`recipes.RECIPES` that names it. The recipe fields a network wants to know are the
keyword-only parameters of its `inference`.
"""

import importlib
import inspect
import pathlib

NAMES = tuple(sorted(file.stem for file in pathlib.Path(__file__).parent.glob("*.py")
                     if file.stem not in ("__init__", "layers")))


def options(inference):
    """Names of the recipe fields that `inference` takes."""
    return [name for name, parameter in inspect.signature(inference).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY]


def get(name):
    """The `inference` function of the network called `name`, one of NAMES."""
    if name not in NAMES:
        raise ValueError(f"network {name!r}, expected one of {', '.join(NAMES)}")
    return importlib.import_module(f"networks.{name}").inference
