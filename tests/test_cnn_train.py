"""The command line of cnn_train.py, which is made from the fields of a recipe."""

import contextlib
import dataclasses
import os
import re
import shlex
import sys

import pytest

import cnn_train
from tf1cifar import data, errors, recipes

RECIPE = recipes.RECIPES["lrn_cnn"]


def parse(line):
    return cnn_train.parse_arguments(line.split())


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_parse_arguments_reads_the_options_that_make_a_recipe(name):
    own = recipes.RECIPES[name]
    assert recipes.options(name, own) == ["--recipe", name]
    for changes in ({"augment": (), "seed": 7}, {"augment": ("crop", "noise"), "steps_per_run": 1},
                    {"epochs": 3, "steps": 0}, {"steps": 55}, {"learning_rate": 0.25},
                    {"test_every_epoch": not own.test_every_epoch, "precision": "bfloat16"}):
        recipe = dataclasses.replace(own, **changes)
        assert cnn_train.parse_arguments(recipes.options(name, recipe))[0] == recipe


def test_parse_arguments_has_a_flag_for_every_field(monkeypatch):
    every_option = {name for names in recipes.NETWORKS.values() for name in names}
    for network in recipes.NETWORKS:
        monkeypatch.setitem(recipes.NETWORKS, network, tuple(every_option))
    values = {int: "3", float: "0.5", tuple: "conv1"}
    for field in dataclasses.fields(recipes.Recipe):
        flag = "--" + field.name.replace("_", "-")
        if field.type is bool:
            recipe, _ = parse("--no-" + flag[2:])
            expected = False
        elif field.metadata["choices"]:
            last = list(field.metadata["choices"])[-1]
            recipe, _ = parse(f"{flag} {last}")
            expected = (last,) if field.type is tuple else last
        else:
            value = "64 --dataset folders" if field.name == "image_size" else values[field.type]
            recipe, _ = parse(f"--augment none {flag} {value}")
            expected = ("conv1",) if field.type is tuple else field.type(value.split()[0])
        assert getattr(recipe, field.name) == expected


def test_parse_arguments_takes_the_defaults_from_the_recipe():
    recipe, options = parse("")
    assert recipe == RECIPE
    assert (options.recipe, options.device, options.dataset_named) == ("lrn_cnn", "auto", False)
    assert parse("--recipe dropout_cnn")[0] == recipes.RECIPES["dropout_cnn"]


def test_parse_arguments_gives_another_network_its_own_settings():
    recipe, _ = parse("--network linear")
    assert (recipe.network, recipe.initialization) == ("linear", "he")
    assert parse("--recipe dropout_cnn --network linear")[0].dropout == 0.0
    with pytest.raises(errors.UserError, match="--initialization is normal.*no such option"):
        parse("--network linear --initialization normal")


def test_parse_arguments_notes_whether_the_data_set_is_named():
    assert parse("--dataset shapes")[1].dataset_named
    assert parse("--dataset cifar10")[1].dataset_named


def test_parse_arguments_sorts_augmentations():
    assert parse("--augment none")[0].augment == ()
    assert parse("--augment flip crop")[0].augment == ("crop", "flip")


def test_parse_arguments_prefers_epochs_to_the_steps_of_the_recipe(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "lrn_cnn", dataclasses.replace(RECIPE, steps=1000))
    assert parse("--epochs 2")[0].total_steps(250) == 4
    assert parse("--batch-size 5")[0].total_steps(10) == 1000


def test_parse_arguments_makes_single_steps_with_augmentation():
    assert parse("--recipe softmax")[0].steps_per_run > 1
    assert parse("--recipe softmax --augment flip")[0].steps_per_run == 1
    with pytest.raises(errors.UserError, match="--steps-per-run is 5, expected 1 with --augment"):
        parse("--steps-per-run 5")


@pytest.mark.parametrize("line, words", [
    ("--epochs 2 --steps 3", "--epochs and --steps"),
    ("--epochs two", "--epochs"),
    ("--epochs 0", "--epochs is 0, expected at least 1"),
    ("--learning-rate nan", "--learning-rate is nan, expected a finite number"),
    ("--held-out 1.5", "--held-out is 1.5"),
    ("--augment spin", "spin"),
    ("--augment none crop", "--augment none stands alone"),
    ("--recipe softmax --dropout 0.5", "--dropout is 0.5, but the network linear has no"),
    ("--held-out 0 --early-stopping 2", "--early-stopping is 2, expected 0 without held-out"),
    ("--recipe none", "none"),
    ("--nonsense", "--nonsense"),
])
def test_parse_arguments_names_a_mistake(line, words):
    with pytest.raises(errors.UserError) as error:
        parse(line)
    assert words in str(error.value)


def test_oversized_batch_tells_what_happens():
    recipe = dataclasses.replace(RECIPE, batch_size=500)
    assert cnn_train.oversized_batch(recipe, 180) == (
        "--batch-size 500 is more than the 180 training images: a batch holds them all, and an "
        "epoch is one step")
    drawn = dataclasses.replace(recipe, order="with_replacement")
    assert "a batch draws images more than once" in cnn_train.oversized_batch(drawn, 180)


@pytest.mark.parametrize("path", ["runs/lrn_cnn", "my runs/$1"])
def test_next_commands_can_be_copied(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    restore, visuals, fast = (
        shlex.split(line.split(": ", 1)[1])
        for line in cnn_train.next_commands(path, RECIPE, "my data").splitlines())
    folder = os.path.dirname(cnn_train.__file__)
    assert restore[1:] == [os.path.join(folder, "restore_model.py"), path]
    assert visuals[1:] == [os.path.join(folder, "conv_visuals.py"), "--run", path]
    assert fast[1:] == [os.path.join(folder, "cnn_train.py"), "--recipe", "fast", "--data-dir",
                        "my data"]
    assert len(cnn_train.next_commands(path, recipes.RECIPES["fast"]).splitlines()) == 2
    assert os.path.basename(restore[0]) in ("python", "python3", os.path.basename(sys.executable))
    monkeypatch.chdir(folder)
    assert cnn_train.next_commands(path, RECIPE).splitlines()[0].endswith(
        " restore_model.py " + shlex.quote(path))


def test_parse_arguments_shows_every_flag_once_in_help(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    printed = capsys.readouterr().out
    for field in dataclasses.fields(recipes.Recipe):
        flag = "--" + field.name.replace("_", "-")
        assert len(re.findall(rf"^  {flag}[ ,\n]", printed, re.MULTILINE)) == 1, flag


def test_class_line_fits_a_line():
    assert cnn_train.class_line(("cat", "ship")) == "2 classes: cat, ship"
    line = cnn_train.class_line([f"class {number}" for number in range(1000)])
    assert line.startswith("1,000 classes: class 0, class 1, ") and line.endswith("...")
    assert len(line) == 79


def test_few_steps_are_told_of_own_pictures():
    own = dataclasses.replace(RECIPE, dataset="folders", batch_size=100, epochs=10)
    assert cnn_train.few_steps(own, 950) == (
        "10 epochs of 950 pictures are 100 training steps, which is little; --epochs 50 makes "
        "500")
    assert not cnn_train.few_steps(dataclasses.replace(own, epochs=50), 950)
    assert not cnn_train.few_steps(dataclasses.replace(own, steps=50), 950)
    assert not cnn_train.few_steps(dataclasses.replace(own, dataset="shapes"), 950)


def test_print_summary_needs_no_data(monkeypatch, capsys):
    """--summary answers on a machine without the data set."""
    monkeypatch.setattr(data, "load", None)
    monkeypatch.setattr(cnn_train.console, "quiet_tensorflow", contextlib.nullcontext)
    assert cnn_train.main(["--summary", "--recipe", "softmax", "--dataset", "cifar100"]) is None
    head, *_, output, sums = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "operations", "output", "parameters", "arithmetic"]
    assert output.split() == ["output", "dense", "100", "307,300", "100.0%"]
    assert sums == "307,300 parameters, 307 thousand multiplications an image"


def test_forms_are_those_of_the_data_sets():
    assert data.FORMS.keys() == set(recipes.DATASETS) - {"folders"}
    assert data.FORMS["cifar10"] == ((32, 32, 3), len(data.cifar10.CLASS_NAMES))
    assert data.FORMS["mnist"] == ((28, 28, 1), len(data.mnist.CLASS_NAMES))
