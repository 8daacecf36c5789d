"""Sessions: their configuration, and TensorFlow's errors as one line.

    session_config                 the processors and GPUs that a session uses
    unused_gpu                     the reason why a GPU is not used, and the remedy
    initialize                     the values of all variables before the first step
    device_name                    the device that a session computes on, in words
    tensorflow_errors_as_failures  a context that shortens TensorFlow's errors
    short_message                  the line of a TensorFlow error that has the cause
"""

import contextlib
import os
import re
import sys

import tensorflow.compat.v1 as tf

from tf1cifar import console, errors, machine, plain_paths
from tf1cifar.data import whitening
from tf1cifar.networks import layers


def session_config(device):
    """The `tf.ConfigProto` of a session.

    Args:
      device: 'cpu' hides the GPUs, 'gpu' requires one, 'auto' uses one if there is one.

    Raises:
      errors.UserError: `device` is 'gpu' and TensorFlow sees none.
    """
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    if device == "cpu":
        config.device_count["GPU"] = 0
    elif device == "gpu" and not tf.config.list_physical_devices("GPU"):
        reason = unused_gpu() or "TensorFlow sees no GPU on this machine"
        if gpus_hidden():
            reason += ", since CUDA_VISIBLE_DEVICES hides them all"
        raise errors.UserError(f"--device gpu: {reason}; use --device cpu or auto")
    return config


def gpus_hidden():
    """Whether the person hides every GPU from TensorFlow."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")


def unused_gpu():
    """The reason why TensorFlow does not use the NVIDIA GPU of this machine, and the remedy.

    Returns:
      A str, '' if TensorFlow sees a GPU, no program here knows of one, or the GPUs are hidden.
    """
    if tf.config.list_physical_devices("GPU") or gpus_hidden():
        return ""
    name, fault = machine.nvidia_gpu()
    if not name and not fault:
        return ""
    if fault:
        return f"TensorFlow sees no GPU: {console.cut(fault)}"
    reason = f"{console.cut(name)} is there, but TensorFlow sees no GPU: "
    pip = f"'{machine.command('-m', 'pip', 'install')} \"tensorflow[and-cuda]\"'"
    if tf.test.is_built_with_cuda():
        build = tf.sysconfig.get_build_info()
        return (f"{reason}it needs CUDA {build.get('cuda_version')} and cuDNN "
                f"{build.get('cudnn_version')}, which {pip} installs; TF_CPP_MIN_LOG_LEVEL=0 shows "
                "TensorFlow's own words")
    if sys.platform == "win32":
        return f"{reason}on Windows it uses none; in WSL2 it does, with {pip}"
    return f"{reason}this TensorFlow is built without CUDA; {pip} installs one with it"


def initialize(session, feed):
    """Give all variables the values with which a training starts.

    Args:
      session: a session on the default graph.
      feed: the `Feed` of the training, whose images decide about filters that whiten.
    """
    session.run(tf.global_variables_initializer())
    for filters in tf.get_collection(layers.WHITENING):
        filters.load(whitening.filters(feed.sample(whitening.IMAGES), filters.shape), session)


def device_name(session):
    """'GPU' or 'CPU': the device on which `session` places its operations.

    A graph of this project uses the first GPU, however many there are.
    """
    kinds = {device.device_type for device in session.list_devices()}
    return "GPU" if "GPU" in kinds else "CPU"


@contextlib.contextmanager
def tensorflow_errors_as_failures():
    """Turn TensorFlow's errors into an `errors.Failure` with their short message."""
    try:
        yield
    except tf.errors.OpError as error:
        message = f"TensorFlow: {short_message(error)}"
        # A full disk is "exhausted" as well.
        if isinstance(error, tf.errors.ResourceExhaustedError) and "allocat" in message:
            message += "; in training a smaller --batch-size needs less memory"
        raise errors.Failure(message) from error


def short_message(error):
    """The line of a TensorFlow error that has the cause.

    TensorFlow's message may begin with advice and a location in the graph, and ends with a stack
    trace. Only the line between them is kept.
    """
    text = (getattr(error, "message", None) or str(error)).rpartition("Original error:")[2]
    match = re.search(r"^Node: .*\n(?:\d+ root error.*\n)?\s*(?:\(0\) )?(.+)", text, re.MULTILINE)
    line = match[1] if match else (text.strip() or repr(error)).splitlines()[0]
    return plain_paths.real(line)
