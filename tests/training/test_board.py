"""TensorBoard's pictures and hyperparameters, read by another decoder than they were written by."""

import io

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from PIL import Image

from tf1cifar import drawing, recipes
from tf1cifar.data import base
from tf1cifar.training import board
from tf1cifar.training.evaluation import Evaluation

TEXT, MESSAGE, WHOLE = 9, 11, 5  # FieldDescriptorProto.Type: string, message, int32
# The parts of tensorboard/plugins/hparams/{api,plugin_data}.proto that runs have.
FIELDS = {
    "Data": [("version", 1, WHOLE), ("start", 3, "Start"), ("end", 4, "End")],
    "Start": [("hparams", 1, "Item")],
    "Item": [("key", 1, TEXT), ("value", 2, "google.protobuf.Value")],
    "End": [("status", 1, WHOLE)]}
REPEATED = {"hparams"}


@pytest.fixture(scope="module")
def decode():
    """Function: bytes -> a message with the FIELDS of Data."""
    file = descriptor_pb2.FileDescriptorProto(name="hparams_test.proto", syntax="proto3",
                                              dependency=["google/protobuf/struct.proto"])
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            known = kind in (TEXT, WHOLE)
            message.field.add(
                name=field, number=number, type=kind if known else MESSAGE,
                label=3 if field in REPEATED else 1,
                type_name=None if known else f".{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Data")).FromString


def test_hyperparameters_are_those_of_the_recipe(decode):
    recipe = recipes.RECIPES["lrn_cnn"]
    (start,) = board.hyperparameters(recipes.to_dict(recipe))
    assert start.tag == "_hparams_/session_start_info"
    assert start.metadata.plugin_data.plugin_name == "hparams"
    data = decode(start.metadata.plugin_data.content)
    settings = {item.key: getattr(item.value, item.value.WhichOneof("kind"))
                for item in data.start.hparams}
    assert data.version == 0
    tuples = {name: " ".join(value) or "none" for name, value in recipes.to_dict(recipe).items()
              if isinstance(value, tuple)}
    assert tuples["augment"] == "crop flip"
    assert settings == {**recipes.to_dict(recipe), **tuples}


def test_hyperparameters_are_read_by_tensorboard():
    """Where the package is installed, which nothing of this project needs."""
    plugin_data = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    (start,) = board.hyperparameters({"seed": 3, "schedule": "x" * 300})
    data = plugin_data.HParamsPluginData.FromString(start.metadata.plugin_data.content)
    assert data.session_start_info.hparams["seed"].number_value == 3
    assert data.session_start_info.hparams["schedule"].string_value == "x" * 300


def pixels(value):
    return np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))


def test_filters_are_on_one_scale():
    weights = np.zeros((2, 3, 1, 2), np.float32)
    weights[0, 0, 0, 0], weights[1, 2, 0, 1] = 2.0, -1.0
    (value,) = board.filters("epoch/filters", weights, (24, 24, 1))
    image = pixels(value)
    side = board.ENLARGED
    assert value.tag == "epoch/filters"
    assert (value.image.height, value.image.width) == image.shape
    first, last = image[0, 0], image[-1, -1]
    assert (int(first), int(last)) == (255, 64)  # the largest weight; minus half of it
    assert image[0, 2 * side] == 128             # zero
    assert (image[:side, :side] == 255).all()


def test_filters_of_a_dense_layer_are_pictures_of_the_inputs():
    weights = np.random.default_rng(1).normal(size=(6 * 5 * 3, 4)).astype(np.float32)
    (value,) = board.filters("epoch/filters", weights, (6, 5, 3))
    image = pixels(value)
    scaled = weights[:, 0].reshape(6, 5, 3) / abs(weights).max() * 127.5 + 127.5
    side = board.ENLARGED
    np.testing.assert_allclose(image[:6 * side:side, :5 * side:side], scaled, atol=0.51)


@pytest.mark.parametrize("shape", [(7, 4), (3, 3, 8, 4), (5,)])
def test_filters_of_other_weights_are_left_out(shape):
    assert board.filters("epoch/filters", np.ones(shape), (6, 5, 3)) == []


def test_result_has_the_counts_and_the_worst_mistakes(monkeypatch, decode):
    drawn = {}

    def record(name, function):
        def wrapper(*arguments):
            drawn[name] = arguments
            return function(*arguments)
        monkeypatch.setattr(drawing, name, wrapper)

    record("confusion_matrix", drawing.confusion_matrix)
    record("predictions", drawing.predictions)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 30)
    shares = rng.dirichlet((1, 1, 1), 30)
    images = rng.integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    test = base.Split(images, labels)
    data = base.Dataset("any", "/nowhere", ("a", "$b", "c"), test, test)
    predictions = shares.argmax(1)
    correct = int((predictions == labels).sum())
    result = Evaluation(predictions, 1.0, correct, correct / 30, shares)
    values = {value.tag: value for value in board.result(
        result, 0.25, data, lambda images: images / 255, "a title")}
    assert values["accuracy/test"].simple_value == pytest.approx(correct / 30)
    assert values["accuracy/held_out"].simple_value == 0.25
    expected = np.zeros((3, 3), int)
    for label, prediction in zip(labels, predictions):
        expected[label, prediction] += 1
    np.testing.assert_array_equal(drawn["confusion_matrix"][0], expected)
    wrong = sorted((number for number in range(30) if predictions[number] != labels[number]),
                   key=lambda number: -shares[number].max())[:board.MISTAKES]
    np.testing.assert_array_equal(drawn["predictions"][0], images[wrong])
    assert drawn["predictions"][3][0] == [
        f"is {data.class_names[labels[wrong[0]]]}",
        f"predicted {data.class_names[predictions[wrong[0]]]}",
        f"probability {shares[wrong[0]].max():.3f}"]
    for tag in ("result/confusion_matrix", "result/mistakes"):
        picture = values[tag].image
        assert pixels(values[tag]).shape[:2] == (picture.height, picture.width)
    assert decode(values["_hparams_/session_end_info"].metadata.plugin_data.content).end.status == 1


def test_result_without_mistakes_and_held_out_images():
    test = base.Split(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1]))
    data = base.Dataset("any", "/nowhere", ("a", "b"), test, test)
    result = Evaluation(np.array([0, 1]), 0.0, 2, 1.0, np.eye(2))
    tags = [value.tag for value in board.result(result, None, data, lambda images: images, "any")]
    assert tags == ["accuracy/test", "result/confusion_matrix",
                    "_hparams_/session_end_info"]
