"""Every form is run by its own consumer and compared with the session.

    Measured   the figures of a form as a consumer runs it
    measure    run the consumers of a form
    faults     the reasons to refuse a form
    softmax    probabilities from logits
"""

import io
import subprocess
import sys
from typing import NamedTuple

import numpy as np

from tf1cifar import console, errors
from tf1cifar.export import FORMS, browser, consumers

CONSUMERS = {"saved_model": ("tensorflow2", "tensorflow1", "keras"), "pb": ("frozen_graph",),
             "tflite": ("litert",), "tflite-int8": ("litert",), "onnx": ("onnxruntime",),
             "npz": (), "html": ("chromium",)}
TITLES = {"tensorflow2": "TensorFlow 2's loader", "tensorflow1": "TensorFlow 1's loader",
          "keras": "Keras's TFSMLayer", "frozen_graph": "TensorFlow's import_graph_def",
          "litert": "LiteRT", "onnxruntime": "onnxruntime", "chromium": "Chromium"}
BROWSER_IMAGES = 250  # test images of the page, whose interpreter is slow


class Limits(NamedTuple):
    """The differences up to which a form is good."""
    same: float = 0.99         # least share of images with the session's class
    accuracy: float = 0.005    # largest difference of accuracy
    relative: float = 1e-3     # largest difference of a logit, see `Measured`


LIMITS = {"tflite-int8": Limits(0.97, 0.01, np.inf)}


class Measured(NamedTuple):
    """Figures of a form as one consumer runs it, on N test images."""
    consumer: str         # with its version
    images: int           # N
    accuracy: float       # of the consumer
    session: float        # accuracy of the session on the same images
    same: float           # share of the images with the session's class
    difference: float     # largest difference of a probability
    relative: float       # largest difference of a logit, in units of the mean of the images'
                          # largest logits
    milliseconds: float   # time of one picture alone


def measure(form, folder, run):
    """Run the consumers of a form on the test images.

    Args:
      form: a key of `FORMS`.
      folder: the `pathlib.Path` of the export.
      run: the `inference.Run`.

    Returns:
      (measured, absent): a list of `Measured`, and the names of consumers that this machine lacks.

    Raises:
      errors.Failure: a consumer cannot run the form.
    """
    if form == "npz":
        with np.load(folder / FORMS[form]) as stored:
            if any(not np.array_equal(stored[name], run.weights[name]) for name in run.weights):
                raise errors.Failure(f"{FORMS[form]} does not hold the weights")
        return [], []
    measured, absent = [], []
    path = folder / FORMS[form]
    if form == "saved_model":
        path /= str(run.step)
    for consumer in CONSUMERS[form]:
        count = BROWSER_IMAGES if consumer == "chromium" else len(run.images)
        if consumer == "chromium":
            answers = browser.find() and browser.answers(path, run.images[:count])
        else:
            answers = _answers(consumer, path, run.images)
        if answers:
            measured.append(compare(f"{TITLES[consumer]} {answers[2]}", *answers[:2], run))
        else:
            absent.append(TITLES[consumer])
    return measured, absent


def _answers(consumer, path, images):
    """(logits, seconds, version) of a consumer in a process of its own, None if it is missing."""
    content = io.BytesIO()
    np.save(content, images)
    process = subprocess.run([sys.executable, "-I", consumers.__file__, consumer, str(path)],
                             input=content.getvalue(), capture_output=True, check=False)
    if process.returncode:
        words = process.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        if words[-1].startswith("ModuleNotFoundError"):
            return None
        raise errors.Failure(f"{path.name} cannot be run by {TITLES[consumer]}: "
                             f"{console.cut(words[-1])}")
    answers = np.load(io.BytesIO(process.stdout))
    return answers["logits"], float(answers["seconds"]), str(answers["version"])


def compare(consumer, logits, seconds, run):
    """The `Measured` of a consumer's logits of the first test images."""
    count = len(logits)
    labels, expected = run.labels[:count], run.logits[:count]
    classes, right = logits.argmax(1), expected.argmax(1)
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        return Measured(consumer, count, 0.0, float((right == labels).mean()), 0.0, 1.0, np.inf,
                        1000 * seconds)
    return Measured(
        consumer, count, float((classes == labels).mean()), float((right == labels).mean()),
        float((classes == right).mean()),
        float(abs(softmax(logits) - softmax(expected)).max()),
        float(abs(logits - expected).max() / abs(expected).max(1).mean()), 1000 * seconds)


def softmax(logits):
    """The probabilities of logits [N, num_classes], float64."""
    powers = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def faults(form, measured):
    """The reasons to refuse a form, as a list of str; empty for a good form.

    Args:
      form: a key of `FORMS`.
      measured: a list of `Measured`.
    """
    limits, found = LIMITS.get(form, Limits()), []
    for one in measured:
        if one.same < limits.same:
            found.append(f"{one.same:.2%} of the test images get the session's class, expected "
                         f"{limits.same:.0%}")
        if abs(one.accuracy - one.session) > limits.accuracy:
            found.append(f"its accuracy is {one.accuracy:.4f}, that of the session "
                         f"{one.session:.4f}")
        if one.relative > limits.relative:
            found.append(f"a logit differs by {one.relative:.1e} of the usual logit, expected at "
                         f"most {limits.relative:.0e}")
    return found
