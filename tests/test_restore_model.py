"""restore_model.py: its command line, and what it prints, draws and writes of given predictions."""

import contextlib
import csv
import errno
import json
import os
import sys
import types

import numpy as np
import pytest
from PIL import Image

import restore_model
from tf1cifar import drawing, files, recipes
from tf1cifar.data.base import Dataset, Split
from tf1cifar.errors import UserError
from tf1cifar.training import evaluation, restore

SHAPE = (28, 28, 1)
DESCRIPTION = {"name": "mnist", "directory": "mnist", "class_names": ["w", "x", "y", "z"],
               "image_shape": list(SHAPE)}


@pytest.fixture
def dataset():
    """Three classes with four, two and one test image."""
    split = Split(np.zeros((7, 2, 2, 1), np.uint8), np.array([0, 0, 0, 0, 1, 1, 2]))
    return Dataset("cifar10", "data", ("cat", "dog", "goldfish"), split, split)


def predict(monkeypatch, predictions, correct):
    """Let every evaluation have these predictions."""
    monkeypatch.setattr(evaluation, "evaluate", lambda *_: evaluation.Evaluation(
        np.array(predictions), 0.5, correct, correct / len(predictions)))


def test_evaluate_run_counts_per_class(dataset, tmp_path, monkeypatch, capsys):
    predict(monkeypatch, [0, 1, 1, 2, 1, 1, 0], 3)  # three cats and the goldfish are wrong
    drawn, draw = [], drawing.confusion_matrix
    monkeypatch.setattr(drawing, "confusion_matrix", lambda *arguments: (
        drawn.append(arguments), draw(*arguments))[1])
    file = tmp_path / "new/confusion_matrix.png"
    restore_model.evaluate_run(None, dataset, None, (file, True))
    assert capsys.readouterr().out.splitlines() == [
        "test accuracy 0.4286 (3/7)",
        "  cat       0.2500 (1/4)",
        "  dog       1.0000 (2/2)",
        "  goldfish  0.0000 (0/1)",
        f"measured on cifar10 (data); drew {file}"]
    ((counts, names, title),) = drawn
    assert counts.tolist() == [[1, 2, 1], [0, 2, 0], [1, 0, 0]]  # a row is a label
    assert (names, title) == (dataset.class_names, "cifar10: test accuracy 0.4286 (3/7)")
    assert file.exists()


@pytest.mark.parametrize("count", [20, 21, 1000])
def test_evaluate_run_prints_the_worst_of_many_classes(count, tmp_path, monkeypatch, capsys):
    """Class 7 has no test image, 3 and 5 are always wrong, 9 is half right."""
    labels = np.repeat(np.delete(np.arange(count), 7), 2)
    predictions = labels.copy()
    predictions[np.isin(labels, (3, 5))] = 0
    predictions[np.flatnonzero(labels == 9)[0]] = 0
    split = Split(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)
    names = tuple(f"c{number}" for number in range(count))
    dataset = Dataset("folders", "data", names, split, split)
    predict(monkeypatch, predictions, len(labels) - 5)
    monkeypatch.setattr(drawing, "confusion_matrix", lambda *_: drawing.Figure())
    restore_model.evaluate_run(None, dataset, None, (tmp_path / "a.png", True))
    lines = capsys.readouterr().out.splitlines()[1:-1]
    if count == 20:
        assert [line.split()[0] for line in lines] == list(names)
        assert lines[7] == "  c7   0.0000 (0/0)"
        return
    assert lines[0] == f"the 20 of {count:,} classes with the lowest accuracy (--results "\
                       "FILE.csv writes all):"
    assert [line.split() for line in lines[1:5]] == [
        ["c3", "0.0000", "(0/2)"], ["c5", "0.0000", "(0/2)"], ["c9", "0.5000", "(1/2)"],
        ["c0", "1.0000", "(2/2)"]]
    assert len(lines) == 21 and not any(line.startswith("  c7 ") for line in lines)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
@pytest.mark.parametrize("may_fail", [True, False])
def test_save_figure_may_leave_out_what_cannot_be_written(number, may_fail, tmp_path, monkeypatch,
                                                         capsys):
    def fail(figure, path):
        raise OSError(number, "No way", str(path))

    monkeypatch.setattr(files, "save_figure", fail)
    if may_fail and number != errno.ENOSPC:
        assert restore_model.save_figure(drawing.Figure, tmp_path / "a.png", may_fail) == ""
        assert capsys.readouterr().err == (
            f"restore_model.py: no figure is drawn, since {tmp_path / 'a.png'} cannot be written "
            "(No way); --out names another place\n")
    else:
        with pytest.raises(OSError, match="No way"):
            restore_model.save_figure(drawing.Figure, tmp_path / "a.png", may_fail)


class Session:
    """Predicts a class by the brightness of a picture's centre: class 1 for 1, and so on."""

    def __init__(self, top=0.4):
        self.top = top

    def run(self, fetch, feed=None):
        if fetch == "global_step:0":
            return 7
        assert fetch == "probabilities:0"
        images = feed["images:0"]
        assert images.dtype == np.uint8
        probabilities = np.full((len(images), 4), (1 - self.top) / 3, np.float32)
        probabilities[np.arange(len(images)), images[:, 14, 14, 0] % 4] = self.top
        return probabilities


def image(value, border=0):
    """A picture of class `value` modulo 4."""
    pixels = np.full(SHAPE, border, np.uint8)
    pixels[4:-4, 4:-4] = value
    return pixels


def test_classify_prints_the_likeliest_classes_first(capsys):
    class Fixed:
        def run(self, fetch, feed):
            assert fetch == "probabilities:0" and feed["images:0"].shape == (3, *SHAPE)
            return np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.05, 0.15, 0.1],
                             [0.5, 0.3, 0.15, 0.05]])

    images = np.stack([image(0)] * 3)
    rows, drawn, unlike = restore_model.classify(
        Fixed(), [(["a.png", "b\x1b[1m.png", "c.png"], images)], lambda images: images / 255,
        DESCRIPTION)
    assert capsys.readouterr().out.splitlines() == [
        "a.png: z 0.400, y 0.300, x 0.200 (unsure)", "b [1m.png: w 0.700, y 0.150, z 0.100",
        "c.png: w 0.500, x 0.300, y 0.150"]
    assert [path for path, _ in rows] == ["a.png", "b\x1b[1m.png", "c.png"]
    assert rows[0][1].tolist() == [0.1, 0.2, 0.3, 0.4]
    shown, prepared, paths, lines = drawn
    np.testing.assert_array_equal(shown, images)
    np.testing.assert_array_equal(prepared, images / 255)
    assert paths == ["a.png", "b\x1b[1m.png", "c.png"]
    assert lines[0] == ["z 0.400 (unsure)", "y 0.300", "x 0.200"]
    assert lines[1] == ["w 0.700", "y 0.150", "z 0.100"]
    assert unlike == []


def test_classify_draws_a_hundred_of_many_batches(capsys):
    batches = [([f"{start + number}.png" for number in range(60)],
                np.stack([image(start + number) for number in range(60)]))
               for start in (0, 60, 120)]
    rows, drawn, _ = restore_model.classify(Session(), batches, lambda images: images, DESCRIPTION)
    assert [len(part) for part in (rows, *drawn)] == [180, 100, 100, 100, 100]
    assert drawn[0][:, 14, 14, 0].tolist() == list(range(100)) and drawn[2][99] == "99.png"
    assert capsys.readouterr().out.count("\n") == 180


def test_warn_of_unlike_names_pictures_and_remedy(capsys):
    restore_model.warn_of_unlike([], "mnist", False)
    restore_model.warn_of_unlike(["in/5.png"], "mnist", False)
    restore_model.warn_of_unlike([f"{number}.png" for number in range(9)], "mnist", True)
    assert capsys.readouterr().err.splitlines() == [
        "restore_model.py: warning: compared with the training images of mnist, bright and dark "
        "seem to be exchanged in 5.png; --invert exchanges them",
        "restore_model.py: warning: compared with the training images of mnist, bright and dark "
        "seem to be exchanged in 0.png, 1.png, 2.png and 6 more; leave out --invert"]


def test_write_results_has_every_probability(tmp_path):
    rows = [("a,b.png", np.float32([0.1, 0.7, 0.2])), ("\udcff.png", np.float32([0.5, 0.25, 0.25]))]
    names, bad = ["cat", "file", "dog"], [("c.png", "no such file")]
    restore_model.write_results(tmp_path / "r.csv", names, rows, bad)
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as source:
        assert list(csv.reader(source)) == [
            ["file", "class", "probability", "error", "cat", "file", "dog"],
            ["a,b.png", "file", "0.7", "", "0.1", "0.7", "0.2"],
            ["\\udcff.png", "cat", "0.5", "", "0.5", "0.25", "0.25"],
            ["c.png", "", "", "no such file", "", "", ""]]
    restore_model.write_results(tmp_path / "r.JSON", names, rows, bad)
    first, second, third = json.loads((tmp_path / "r.JSON").read_text())
    assert first == {"file": "a,b.png", "class": "file", "probability": 0.7, "error": None,
                     "probabilities": {"cat": 0.1, "file": 0.7, "dog": 0.2}}
    assert second["file"] == "\udcff.png"
    assert third == {"file": "c.png", "class": None, "probability": None, "error": "no such file",
                     "probabilities": None}


def test_write_evaluation_has_every_count(tmp_path):
    names, counts = ("cat", "dog", "fish"), np.array([[1, 2, 0], [0, 4, 0], [0, 0, 0]])
    restore_model.write_evaluation(tmp_path / "r.csv", names, counts)
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as source:
        assert list(csv.reader(source)) == [
            ["class", "accuracy", "correct", "images", "cat", "dog", "fish"],
            ["cat", "0.333333", "1", "3", "1", "2", "0"], ["dog", "1.0", "4", "4", "0", "4", "0"],
            ["fish", "", "0", "0", "0", "0", "0"]]
    restore_model.write_evaluation(tmp_path / "r.json", names, counts)
    assert json.loads((tmp_path / "r.json").read_text())[0] == {
        "class": "cat", "accuracy": 0.333333, "correct": 1, "images": 3,
        "predicted": {"cat": 1, "dog": 2, "fish": 0}}


# ---------------------------------------------------------------------------------------
# The whole script, but for TensorFlow


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Function (*arguments) that runs main(): (status, lines of output, lines of errors)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    recipe = recipes.Recipe("lrn_cnn", preparation="unit")
    folder = types.SimpleNamespace(
        path=tmp_path / "run", checkpoint_path=lambda name: "ckpt",
        read_description=lambda: ("net", recipe, DESCRIPTION))
    monkeypatch.setattr(restore_model, "RunFolder", lambda path: folder)
    monkeypatch.setattr(restore_model.console, "quiet_tensorflow", contextlib.nullcontext)
    monkeypatch.setattr(restore, "restored", lambda *_: contextlib.nullcontext((Session(), "ckpt")))
    monkeypatch.setattr(restore, "prepare_function", lambda *_: lambda images: images)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["restore_model.py", "run", *arguments])
        status = restore_model.main()
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()
    return run


@pytest.fixture
def photos(tmp_path):
    """A folder with twelve pictures of classes 0, 1, 2, 3, 0, ..."""
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.fromarray(image(number)[..., 0]).save(tmp_path / f"photos/{number:02}.png")
    return tmp_path / "photos"


def test_main_classifies_a_folder_and_writes_the_results(script, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(restore_model, "MOST_DRAWN", 10)
    status, out, err = script("photos", "--results", "r.csv")
    assert (status, err) == (0, [])
    assert out[0] == "restored ckpt, global step 7, via saver"
    assert [line.split()[:2] for line in out[1:13]] == [
        [f"photos/{number:02}.png:", "wxyz"[number % 4]] for number in range(12)]
    assert out[13:] == ["wrote r.csv", f"net trained on mnist; drew {tmp_path}/run/predictions.png "
                        "with the first 10 of 12 pictures"]
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 13
    with Image.open(tmp_path / "run/predictions.png") as picture:
        assert picture.width > 600


def test_main_names_bad_pictures_and_classifies_the_others(script, photos, tmp_path):
    for name in ("bad.jpg", "photos/05.png"):
        (tmp_path / name).write_text("<html>404")
    status, out, err = script("photos/1*.png", "bad.jpg", "gone.png", "photos/0[56].png", "*.gif",
                              "--results", "r.csv")
    assert status == 2
    with open("r.csv", newline="") as source:
        assert [(row["file"], row["class"], row["error"]) for row in csv.DictReader(source)] == [
            ("photos/10.png", "y", ""), ("photos/11.png", "z", ""), ("photos/06.png", "y", ""),
            *((*line.removeprefix("restore_model.py: error: ").split(": ")[:1], "",
               line.split(": ", 3)[-1]) for line in err)]
    assert [line.split(":")[0] for line in out[1:-2]] == [
        "photos/10.png", "photos/11.png", "photos/06.png"]
    assert [line.removeprefix("restore_model.py: error: ") for line in err] == [
        "*.gif: no file has this name or matches it as a pattern",
        "bad.jpg: a web page (HTML); download the picture itself",
        "gone.png: no such file",
        "photos/05.png: a web page (HTML); download the picture itself"]


def test_main_says_which_files_of_a_folder_are_left_out(script, photos):
    (photos / "notes.txt").write_text("x")
    status, _, err = script("photos")
    assert (status, err) == (0, ["restore_model.py: photos: 1 other file left out, such as "
                                 "notes.txt"])


def test_main_needs_no_tensorflow_for_bad_pictures(script, tmp_path, monkeypatch):
    def imported():
        raise AssertionError("TensorFlow was imported")

    monkeypatch.setattr(restore_model.console, "quiet_tensorflow", imported)
    (tmp_path / "empty").mkdir()
    status, out, err = script("gone.png", "empty", "x*.png")
    assert (status, out, len(err)) == (2, [], 3)
    status, out, err = script("gone.png", "--results", "r.csv")
    assert (status, out) == (2, ["wrote r.csv"])
    assert (tmp_path / "r.csv").read_text().splitlines()[1:] == ["gone.png,,,no such file,,,,"]


def test_main_warns_of_dark_digits_on_white_and_inverts_on_request(script, tmp_path):
    for name, border in (("a.png", 50), ("b.png", 160), ("white.png", 255)):
        Image.fromarray(image(0, border)[..., 0]).save(tmp_path / name)
    status, _, (warning,) = script("a.png", "b.png", "white.png")
    assert status == 0 and "exchanged in b.png, white.png; --invert" in warning
    status, out, err = script("white.png", "--invert")
    assert (status, err) == (0, []) and "white.png: z 0.400" in out[1]  # 255 % 4


def test_main_draws_where_it_is_told(script, photos, tmp_path):
    for out, expected in (("there/deep", "there/deep/predictions.png"), ("a.PDF", "a.PDF"),
                          ("new/a.png", "new/a.png"), ("v1.2", "v1.2/predictions.png")):
        status, lines, err = script("photos/00.png", "--out", out)
        assert (status, err, lines[-1]) == (0, [], f"net trained on mnist; drew {expected}")
        assert (tmp_path / expected).stat().st_size > 1000
    assert not (tmp_path / "run/predictions.png").exists()
    assert (tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")


def test_main_shows_the_fit_in_the_figure(script, photos, monkeypatch):
    drawn, draw = [], drawing.predictions
    monkeypatch.setattr(drawing, "predictions", lambda *arguments: (
        drawn.append(arguments), draw(*arguments))[1])
    script("photos/00.png")
    script("photos/00.png", "--fit", "pad", "--invert")
    assert drawn[0][-1] == ("net trained on mnist\nThe central part of each picture is taken "
                            "(--fit pad takes all of it).")
    assert drawn[1][-1] == ("net trained on mnist\nThe whole of each picture is taken (--fit pad). "
                            "Bright and dark are exchanged.")
    np.testing.assert_array_equal(drawn[1][0], 255 - drawn[0][0])


@pytest.mark.parametrize("arguments, words", [
    (["--via", "saved_model", "--checkpoint", "best"], "leave out --checkpoint"),
    (["--invert"], "--invert is for pictures; name at least one IMAGE"),
    (["--fit", "crop"], "--fit is for pictures"),
    (["a.png", "--fit", "stretch"], "--fit.*'stretch'"),
    (["a.png", "--results", "a.txt"], "--results a.txt: expected a file name that ends with .csv"),
    (["a.png", "--results", "folder.csv"], "--results folder.csv: expected a file name"),
    (["a.png", "--results", "gone/a.csv"], "--results gone/a.csv: there is no folder gone"),
    (["a.png", "--out", "file/a"], "--out file/a: file is not a folder"),
    (["a.png", "--out", "file"], "--out file: file is not a folder")])
def test_parse_arguments_refuses_mistakes(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=words):
        restore_model.parse_arguments(["run", *arguments])


@pytest.mark.parametrize("line, words", [
    ("--run my/run", "the run folder needs no --run here: .*restore_model.py my/run; see"),
    ("a.png --run my/run b.png", "no --run here: .*restore_model.py my/run a.png b.png; see"),
    ("a.png", "a.png is a file; name the folder of a run first: .*restore_model.py RUN a.png; see"),
    ("a.png b.png", ".*restore_model.py RUN a.png b.png; see"), ("", "are required: RUN")])
def test_parse_arguments_answers_with_the_right_command(line, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match=words):
        restore_model.parse_arguments(line)
    for number, name in enumerate(("newer", "older")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "recipe.json").touch()
        os.utime(tmp_path / "runs" / name / "recipe.json", (9 - number, 9 - number))
    with pytest.raises(UserError, match=words.replace("RUN a", "runs/newer a")):
        restore_model.parse_arguments(line)


def test_parse_arguments_expands_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", str(tmp_path))
    options = restore_model.parse_arguments([
        "$PLACE/run", "a.png", "--data-dir", "$PLACE/d", "--out", "$PLACE/o", "--results",
        "$PLACE/r.csv"])
    assert [options.run, options.data_dir, options.out, options.results] == [
        tmp_path / "run", tmp_path / "d", tmp_path / "o/predictions.png", tmp_path / "r.csv"]
    assert restore_model.parse_arguments(["run"]).fit == "crop"


@pytest.mark.parametrize("arguments, report", [
    ([], True), (["--out", "new/folder"], True), (["--out", "a.png"], False),
    (["--via", "meta_graph"], False), (["--via", "saved_model", "--out", "new"], False)])
def test_parse_arguments_decides_about_the_report(arguments, report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert restore_model.parse_arguments(["run", *arguments]).report is report


@pytest.mark.parametrize("renamed, words", [
    ("zcat", "has the classes ship, zcat; the run was trained on cat, ship"),
    (None, "has the classes cat, frog, ship; the run was trained on cat, ship")])
def test_main_refuses_other_classes_than_the_run_was_trained_on(
        renamed, words, tmp_path, monkeypatch):
    """A folder of pictures that was renamed or added since: the labels would mean other classes."""
    from PIL import Image

    from tf1cifar import data, errors, recipes
    from tf1cifar.training.run_folder import RunFolder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def add(name):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (40, 40)).save(tmp_path / "photos" / name / f"{number}.png")

    add("cat")
    add("ship")
    recipe = recipes.Recipe(dataset="folders")
    dataset = data.load("folders", tmp_path / "photos")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    for suffix in (".index", ".data-00000-of-00001", ".meta"):  # looked up, and not opened here
        (tmp_path / f"run/checkpoints/model.ckpt-1{suffix}").touch()
    RunFolder(tmp_path / "run").write_description(
        "lrn_cnn", recipe, data.describe(dataset, recipe), {})
    if renamed:
        (tmp_path / "photos/cat").rename(tmp_path / "photos" / renamed)
    else:
        add("frog")
    monkeypatch.setattr("sys.argv", ["restore_model.py", str(tmp_path / "run")])
    with pytest.raises(errors.UserError, match=words):
        restore_model.main()
