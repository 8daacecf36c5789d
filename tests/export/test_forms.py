"""Every form, as the program that it is for runs it, and the clients of the model card."""

import contextlib
import importlib.util
import io
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from export.conftest import CLASSES, need, random_run
from matplotlib import image

from tf1cifar import errors, files
from tf1cifar.data import own_pictures
from tf1cifar.export import FORMS, OTHERS, browser, clients, comparison, consumers, html, writing
from tf1cifar.training.run_folder import RunFolder

ONNX = all(map(importlib.util.find_spec, writing.PACKAGES["onnx"]))
WITHOUT_PROCESSES = ("saved_model", "tflite", "tflite-int8", "pb", "npz")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """An export of `run`, as `writing.write` leaves it, written without starting processes."""
    folder = tmp_path_factory.mktemp("export")
    forms = [*WITHOUT_PROCESSES, "html", *(["onnx"] if ONNX else [])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "measure", lambda form, made, run: ([], []))
        patch.setattr(RunFolder, "read_versions", lambda folder: ({"tensorflow": "2.x"}, []))
        export = writing.write(run, RunFolder(folder), forms, folder)
    assert not export.refused
    return folder


def answers(consumer, path, run):
    answer, version = consumers.CONSUMERS[consumer](str(path))
    assert version
    return answer(run.images)


@pytest.mark.parametrize("form, consumer", [
    (form, consumer) for form in ("saved_model", "tflite", "pb", "onnx")
    for consumer in comparison.CONSUMERS[form]])
def test_form_answers_as_the_session(form, consumer, exported, run):
    if form == "onnx":
        need(ONNX, "onnxruntime")
    path = exported / FORMS[form]
    if form == "saved_model":
        path /= str(run.step)
    measured = comparison.compare(consumer, answers(consumer, path, run), 0.001, run)
    assert comparison.faults(form, [measured]) == [] and measured.relative < 1e-5


def test_int8_weights_are_smaller_and_nearly_alike(exported, run):
    small, large = (exported / FORMS[form] for form in ("tflite-int8", "tflite"))
    assert small.stat().st_size < 0.4 * large.stat().st_size
    measured = comparison.compare("litert", answers("litert", small, run), 0.001, run)
    assert 1e-5 < measured.relative < 0.2


def test_weights_are_equal_to_the_bit(exported, run):
    assert comparison.measure("npz", exported, run) == ([], [])
    with np.load(exported / "weights.npz") as stored:
        assert set(stored) == {*run.weights, "mean_image"}
        np.testing.assert_array_equal(stored["mean_image"], run.mean)
    name = next(iter(run.weights))
    other = run._replace(weights={**run.weights, name: run.weights[name] + 1})
    with pytest.raises(errors.Failure, match="weights.npz does not hold"):
        comparison.measure("npz", exported, other)


def test_saved_model_reads_pictures_of_any_size_and_the_bytes_of_files(exported, run, tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), np.uint8)
    image.imsave(tmp_path / "photo.png", pixels)
    small = own_pictures.read_image(tmp_path / "photo.png", run.image_shape)
    import tensorflow as tf2
    signatures = tf2.saved_model.load(str(exported / "saved_model/7")).signatures
    expected = signatures["serving_default"](images=tf.constant(small[None]))
    for answer in (signatures["serving_default"](images=tf.constant(pixels[None])),
                   signatures["image_bytes"](
                       image_bytes=tf.constant([(tmp_path / "photo.png").read_bytes()]))):
        assert set(answer) == {"logits", "probabilities", "classes"}
        np.testing.assert_allclose(answer["logits"], expected["logits"], rtol=1e-5)
        assert answer["classes"].numpy()[0].decode() == CLASSES[answer["logits"].numpy().argmax()]


def test_what_belongs_to_an_export(exported, run):
    assert (exported / "labels.txt").read_text(encoding="utf-8").splitlines() == list(CLASSES)
    with np.load(exported / "check.npz") as check:
        np.testing.assert_array_equal(check["images"], run.images)
        np.testing.assert_allclose(check["probabilities"].sum(1), 1, rtol=1e-6)
        np.testing.assert_array_equal(check["probabilities"].argmax(1), run.labels)
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert run.description["crc32"] in card and '"network": "two_layer_fc"' in card
    assert {path.name for path in exported.iterdir()} <= {*FORMS.values(), *OTHERS}


@pytest.mark.parametrize("form, title, program", clients.CLIENTS,
                         ids=[title for _, title, _ in clients.CLIENTS])
def test_client_of_the_card_classifies_a_photo(form, title, program, exported, run, monkeypatch):
    if form == "onnx":
        need(ONNX, "onnxruntime")
    if form == "tflite":
        need(importlib.util.find_spec("ai_edge_litert"), "ai-edge-litert")
    program = clients.filled(program, run)
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert f"```python\n{program}```" in card and len(program.splitlines()) <= 16
    image.imsave(exported / "photo.png", run.images[3])
    monkeypatch.chdir(exported)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(program, {})
    (exported / "photo.png").unlink()
    if form != "npz":
        name, _, probability = out.getvalue().strip().rpartition(" ")
        assert name == CLASSES[run.labels[3]]
        assert float(probability) == pytest.approx(comparison.softmax(run.logits)[3].max(),
                                                   abs=1e-4)


# ---------------------------------------------------------------------------------------
# The page


@pytest.mark.parametrize("name", ["two_layer_fc", "lrn_cnn", "fast", "batchnorm_cnn"])
def test_page_in_chromium_answers_as_the_session(name, tmp_path):
    need(browser.find(), "chromium")
    run = random_run(name, (28, 28, 1) if name == "batchnorm_cnn" else (32, 32, 3))
    html.page(run, tmp_path / "index.html")
    logits, seconds, version = browser.answers(tmp_path / "index.html", run.images)
    measured = comparison.compare("chromium", logits, seconds, run)
    assert measured.relative < 3e-3 and version  # random weights, whose logits are near zero


def test_page_shows_photos_as_restore_model_does(run, tmp_path):
    need(browser.find(), "chromium")
    html.page(run, tmp_path / "index.html")
    pixels = np.random.default_rng(4).integers(0, 256, (60, 41, 4), np.uint8)
    pixels[..., 3] = 255
    image.imsave(tmp_path / "photo.png", pixels)
    (tmp_path / "text.png").write_text("no picture")
    small = own_pictures.read_image(tmp_path / "photo.png", run.image_shape)
    with browser.Browser(tmp_path / "index.html") as page:
        page.choose("input", [tmp_path / "photo.png", tmp_path / "text.png"])
        page.wait("document.querySelectorAll('li').length == 2")
        wrong, names = page.evaluate(
            "[...document.querySelectorAll('li')].map(item => item.innerText)")
        found = page.evaluate("read(document.querySelector('input').files[0])"
                              ".then(pixels => [...pixels])")
    assert wrong == "text.png: this browser cannot read it as a picture"
    assert names.startswith("photo.png\n") and set(CLASSES) == set(names.split("\n")[1::2])
    assert abs(np.array(found).reshape(small.shape) - small.astype(int)).max() <= 1


def test_page_escapes_names_and_names_an_unknown_operation(run, tmp_path, monkeypatch):
    html.page(run, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert CLASSES[1] not in text and text.count("<script") == 3
    model = json.loads(text.partition('id="model">')[2].partition("</script>")[0])
    assert model["classes"] == list(CLASSES)
    original = type(run).answers
    monkeypatch.setattr(type(run), "answers", lambda run, images: [
        tf.math.erf(tensor, name="strange") for tensor in original(run, images)])
    with pytest.raises(errors.Failure, match=r"^other.html cannot hold this network: its "
                       r"interpreter does not know the operation Erf \(strange\)$"):
        html.page(run, tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


# ---------------------------------------------------------------------------------------
# Refusals


def test_tflite_names_an_operation_that_it_cannot_hold(run, tmp_path, monkeypatch):
    original = type(run).answers
    monkeypatch.setattr(type(run), "answers", lambda run, images: [
        tf.math.bessel_i0e(tensor) for tensor in original(run, images)])
    with pytest.raises(errors.Failure, match="model.tflite cannot hold this network: .*BesselI0e"):
        writing.WRITERS["tflite"](run, tmp_path / "model.tflite")


@pytest.mark.parametrize("change, words", [
    (lambda logits: logits, ""), (lambda logits: logits * 1.002, "a logit differs"),
    (lambda logits: np.roll(logits, 1, 1), "0.00% of the test images get the session's class"),
    (lambda logits: logits * np.nan, "get the session's class")])
def test_faults(change, words, run):
    measured = comparison.compare("x", change(run.logits), 0.001, run)
    found = comparison.faults("pb", [measured])
    assert words in "; ".join(found) and bool(found) == bool(words)


def test_write_leaves_out_a_form_that_differs(run, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "measure", lambda form, made, run: ([
        comparison.compare("x", run.logits * (1 if form == "npz" else -1), 0.1, run)], []))
    monkeypatch.setattr(RunFolder, "read_versions", lambda folder: ({}, []))
    export = writing.write(run, RunFolder(tmp_path), ["pb", "npz"], tmp_path)
    assert list(export.measured) == ["npz"] and not (tmp_path / "model.pb").exists()
    assert export.refused["pb"].startswith("model.pb is left out: 0.00% of the test images")
    assert "model.pb is left out" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_require_names_the_command(monkeypatch):
    monkeypatch.setattr(writing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match="^model.onnx needs tf2onnx, onnx, onnxruntime; "
                       "install the packages with '.* -m pip install -r requirements-export.txt'"):
        writing.require("onnx")
    writing.require("pb")


def test_a_full_disk_leaves_the_earlier_export(run, tmp_path, monkeypatch):
    (tmp_path / "export").mkdir()
    (tmp_path / "export/labels.txt").write_text("earlier")
    monkeypatch.setattr(comparison, "measure", lambda form, made, run: ([], []))
    monkeypatch.setattr(RunFolder, "read_versions", lambda folder: ({}, []))
    original = files.open_new

    def full(path):
        if path.name == "check.npz":
            raise OSError(28, "No space left on device", str(path))
        return original(path)

    monkeypatch.setattr(files, "open_new", full)
    with pytest.raises(OSError, match="No space left"):
        with files.replacing_folder(tmp_path / "export") as made:
            made.mkdir()
            writing.write(run, RunFolder(tmp_path), ["npz"], made)
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert (tmp_path / "export/labels.txt").read_text() == "earlier"
