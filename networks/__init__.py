"""One file a network: `inference(images, num_classes, is_training, ...) -> logits`.

To add one, write `networks/NAME.py` with an `inference` function and an entry in
`recipes.RECIPES` that names it. The recipe fields a network wants to know are the
keyword-only parameters of its `inference`.

Images may come in bfloat16; `layers` cast the variables to that, and a network's own products
must too. A network may be built a second time on the same variables, see `cnn_graph.Several`.
"""

import ast
import functools
import importlib
import pathlib

FOLDER = pathlib.Path(__file__).parent
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.py")
                     if file.stem not in ("__init__", "layers")))


@functools.lru_cache
def options(name):
    """Names of the recipe fields that the network called `name` takes.

    They are read from its file without importing it, which would take TensorFlow seconds.
    """
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    (inference,) = [node for node in tree.body
                    if isinstance(node, ast.FunctionDef) and node.name == "inference"]
    return [argument.arg for argument in inference.args.kwonlyargs]


def get(name):
    """The `inference` function of the network called `name`, one of NAMES."""
    if name not in NAMES:
        raise ValueError(f"network {name!r}, expected one of {', '.join(NAMES)}")
    return importlib.import_module(f"networks.{name}").inference
