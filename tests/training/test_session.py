"""Sessions: devices, and TensorFlow's errors in one line."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import errors, graph, recipes
from tf1cifar.data import feed, whitening
from tf1cifar.data.base import Split
from tf1cifar.networks import layers
from tf1cifar.training import session


def test_initialize_whitens_the_training_images():
    recipe = recipes.RECIPES["fast"]
    images = np.random.default_rng(0).integers(0, 256, (90, 32, 32, 3), np.uint8)
    training = feed.Feed(recipe, Split(images, np.arange(90) % 10))
    with tf.Graph().as_default(), tf.Session() as opened:
        graph.build(recipe, (32, 32, 3), 10, 90)
        session.initialize(opened, training)
        filters = opened.run(tf.get_collection(layers.WHITENING)[0])
    np.testing.assert_array_equal(
        filters, whitening.filters(images - training.mean, (4, 4, 3, 32)))


def test_session_config_refuses_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    with pytest.raises(errors.UserError, match="--device gpu"):
        session.session_config("gpu")
    assert session.session_config("cpu").device_count["GPU"] == 0
    assert session.session_config("auto").gpu_options.allow_growth


@pytest.mark.parametrize("gpu, cuda, platform, words", [
    (("NVIDIA H100", ""), True, "linux", ("NVIDIA H100 is there", "needs CUDA 12.5.1 and cuDNN 9",
                                          '-m pip install "tensorflow[and-cuda]"')),
    (("NVIDIA H100", ""), False, "linux", ("NVIDIA H100 is there", "built without CUDA",
                                           '-m pip install "tensorflow[and-cuda]"')),
    (("NVIDIA H100", ""), False, "win32", ("NVIDIA H100 is there", "on Windows", "WSL2")),
    (("", "nvidia-smi fails (x)"), True, "linux", ("sees no GPU: nvidia-smi fails (x)",))])
def test_unused_gpu_names_the_reason_and_the_remedy(gpu, cuda, platform, words, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    monkeypatch.setattr(tf.sysconfig, "get_build_info",
                        lambda: {"cuda_version": "12.5.1", "cudnn_version": "9"})
    monkeypatch.setattr(session.machine, "nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(session.sys, "platform", platform)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for word in words:
        assert word in session.unused_gpu()
        with pytest.raises(errors.UserError) as caught:
            session.session_config("gpu")
        assert word in str(caught.value) and "use --device cpu or auto" in str(caught.value)


def test_unused_gpu_is_silent_where_nothing_is_amiss(monkeypatch):
    def asked():
        raise AssertionError("needless")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(session.machine, "nvidia_gpu", lambda: ("", ""))
        patch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
        assert session.unused_gpu() == ""
    monkeypatch.setattr(session.machine, "nvidia_gpu", asked)
    with monkeypatch.context() as patch:
        patch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
        assert session.unused_gpu() == ""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert session.unused_gpu() == ""
        with pytest.raises(errors.UserError, match="CUDA_VISIBLE_DEVICES hides them"):
            session.session_config("gpu")


def test_device_name_is_that_of_the_one_device_that_computes():
    class Device:
        def __init__(self, kind):
            self.device_type = kind

    class Session:
        def list_devices(self):
            return list(map(Device, self.kinds))

    for kinds, name in ((["CPU"], "CPU"), (["CPU", "GPU", "GPU"], "GPU")):
        Session.kinds = kinds
        assert session.device_name(Session()) == name


def test_tensorflow_errors_as_failures_keeps_the_line_that_matters():
    with tf.Graph().as_default(), tf.Session() as running:
        x = tf.placeholder(tf.float32, [None, 2], "x")
        product = tf.matmul(tf.reshape(x, [-1, tf.size(x)]), tf.zeros([3, 1]), name="product")
        with pytest.raises(errors.Failure) as caught, session.tensorflow_errors_as_failures():
            running.run(product, {x: [[1, 2]]})
    message = str(caught.value)
    assert message.startswith("TensorFlow: Matrix size-incompatible: In[0]: [1,2], In[1]: [3,1]")
    assert "\n" not in message


@pytest.mark.parametrize("text, line", [
    ("just this", "just this"), ("first\nsecond", "first"),
    ("Graph execution error:\n\nOriginal error: this\nthen more", "this"),
    ("advice\nNode: 'a/b'\n2 root error(s) found.\n  (0) INTERNAL: this\nstack", "INTERNAL: this")])
def test_short_message(text, line):
    assert session.short_message(ValueError(text)) == line
