"""Write an export: every form, measured by its consumer, then what tells about them.

    require  refuse a form whose packages are not installed
    write    fill the folder of an export
"""

import functools
import importlib.util
from typing import NamedTuple

import numpy as np

from tf1cifar import console, errors, files, machine
from tf1cifar.export import FORMS, card, comparison, forms, html

CHECKED = 20  # test images in check.npz
WRITERS = {"saved_model": forms.saved_model, "tflite": forms.tflite,
           "tflite-int8": functools.partial(forms.tflite, int8=True), "pb": forms.frozen_graph,
           "npz": forms.weights, "onnx": forms.onnx, "html": html.page}
PACKAGES = {"onnx": ("tf2onnx", "onnx", "onnxruntime")}


class Export(NamedTuple):
    """The figures of an export; the keys are those of `FORMS`."""
    measured: dict  # form -> list of `comparison.Measured`
    sizes: dict     # form -> bytes
    refused: dict   # form that is left out -> a line that says why


def require(form):
    """Raise an `errors.UserError` if a package that a form needs is not installed."""
    missing = [name for name in PACKAGES.get(form, ()) if not importlib.util.find_spec(name)]
    if missing:
        pip = machine.command("-m", "pip", "install", "-r", "requirements-export.txt")
        raise errors.UserError(f"{FORMS[form]} needs {', '.join(missing)}; install the packages "
                               f"with '{pip}'")


def write(run, folder, names, made):
    """Write forms and what belongs to them.

    A line on standard output tells the figures of each form. A form that cannot be written here, or
    that differs from the session, is left out.

    Args:
      run: an `inference.Run`.
      folder: its `run_folder.RunFolder`.
      names: the forms, keys of `FORMS`.
      made: the `pathlib.Path` of an empty folder.

    Returns:
      An `Export`.

    Raises:
      errors.Failure: no form can be written.
    """
    measured, sizes, refused = {}, {}, {}
    for form in (name for name in FORMS if name in names):
        path = made / FORMS[form]
        try:
            require(form)
            WRITERS[form](run, path)
            rows, absent = comparison.measure(form, made, run)
            if faults := comparison.faults(form, rows):
                raise errors.Failure(f"{FORMS[form]} is left out: {'; '.join(faults)}")
        except (errors.UserError, errors.Failure) as error:
            files.remove(path)
            refused[form] = str(error)
            continue
        measured[form], sizes[form] = rows, _bytes(path)
        for line in lines(form, rows, absent):
            console.say(line)
    if not measured:
        raise errors.Failure("; ".join(refused.values()))
    versions, _ = folder.read_versions()
    with files.open_new(made / "labels.txt") as out:
        out.write("".join(f"{console.cut(name)}\n" for name in run.class_names).encode())
    with files.open_new(made / "check.npz") as out:
        np.savez(out, images=run.images[:CHECKED],
                 probabilities=comparison.softmax(run.logits[:CHECKED]).astype(np.float32))
    text = card.text(run, measured, sizes, refused.values(), folder.read_result(), versions,
                     min(CHECKED, len(run.images)))
    with files.open_new(made / "README.md") as out:
        out.write(text.encode())
    return Export(measured, sizes, refused)


def lines(form, rows, absent):
    """The lines on standard output about a form."""
    if form == "npz":
        yield f"{FORMS[form]}: equal to the bit"
    for one in rows:
        yield (f"{FORMS[form]}: accuracy {one.accuracy:.4f} on {one.images:,} test images, "
               f"{one.same:.2%} same class, {one.milliseconds:.2f} ms a picture, by {one.consumer}")
    for name in absent:
        yield f"{FORMS[form]}: not run, since {name} is not on this machine"


def _bytes(path):
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*"))
               if file.is_file())
