"""Recipes as data, and the command line that is made of their fields."""

import dataclasses
import json

import pytest

import augmentations
import cifar_tools
import cnn_train
import console
import datasets
import networks
import recipes
from training.run_folder import RunFolder

RECIPE = recipes.RECIPES["lrn_cnn"]
DESCRIPTION = {"name": "cifar10", "directory": "d", "crc32": "0", "class_names": ["a", "b"],
               "image_shape": [32, 32, 3], "training_images": 9}


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_json_brings_a_recipe_back(name):
    recipe = recipes.RECIPES[name]
    assert recipes.from_dict(json.loads(json.dumps(recipes.to_dict(recipe)))) == recipe


@pytest.mark.parametrize("field, value, words", [
    ("batch_size", 0, "batch_size is 0, expected at least 1"),
    ("batch_size", 2.5, "batch_size is 2.5, expected int"),
    ("batch_size", 2 ** 31, "expected less than"),
    ("seed", True, "seed is True, expected int"),
    ("learning_rate", 0.0, "learning_rate is 0.0, expected more than 0"),
    ("learning_rate", float("nan"), "expected a finite number"),
    ("held_out", 1.0, "held_out is 1.0, expected less than 1"),
    ("augment", ("crop", "spin"), "augment is 'spin', expected one of scale, crop, flip"),
    ("augment", ["crop"], "expected tuple"),
    ("network", "os", "network is 'os', expected one of"),
])
def test_bad_values_are_named(field, value, words):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(RECIPE, **{field: value})
    assert words in str(error.value)


@pytest.mark.parametrize("change, words", [
    (lambda settings: settings.update(colour=1), "unknown setting colour"),
    (lambda settings: settings.update(epochs="10"), "epochs is '10', expected int"),
])
def test_from_dict_refuses(change, words):
    settings = recipes.to_dict(RECIPE)
    change(settings)
    with pytest.raises(ValueError, match=words):
        recipes.from_dict(settings)


def test_a_field_that_a_run_did_not_know_has_its_default():
    settings = recipes.to_dict(RECIPE)
    del settings["seed"]
    assert recipes.from_dict(settings) == RECIPE


def test_names_are_those_of_what_they_name():
    assert recipes.DATASETS == tuple(datasets.TITLES) == tuple(datasets.HOW_TO_GET)
    assert recipes.PREPARATIONS == tuple(cifar_tools.PREPARATIONS)
    assert recipes.AUGMENTATIONS == tuple(augmentations.AUGMENTATIONS)
    assert set(recipes.NETWORK_OPTIONS) == {
        option for name in networks.NAMES for option in networks.options(name)}


def test_differences_leave_out_how_long():
    longer = dataclasses.replace(RECIPE, epochs=99, steps=7, early_stopping=3, max_to_keep=1)
    assert recipes.differences(RECIPE, longer) == []
    other = dataclasses.replace(longer, seed=5, augment=())
    assert recipes.differences(RECIPE, other) == [
        "augment: ('crop', 'flip') before, () now", "seed: 0 before, 5 now"]


def test_total_steps():
    assert RECIPE.total_steps(45_000) == 360 * RECIPE.epochs
    assert RECIPE.steps_per_epoch(126) == 2
    assert dataclasses.replace(RECIPE, steps=7).total_steps(45_000) == 7


def parse(line):
    return cnn_train.parse_arguments(line.split())


def test_every_field_has_its_flag(monkeypatch):
    monkeypatch.setattr(recipes, "NETWORK_OPTIONS", ())  # one network need not know them all
    values = {int: "3", float: "0.5"}
    for field in dataclasses.fields(recipes.Recipe):
        flag = "--" + field.name.replace("_", "-")
        if field.type is bool:
            recipe, _ = parse("--no-" + flag[2:])
            expected = False
        elif field.metadata["choices"]:
            last = field.metadata["choices"][-1]
            recipe, _ = parse(f"{flag} {last}")
            expected = (last,) if field.type is tuple else last
        else:
            recipe, _ = parse(f"--augment none {flag} {values[field.type]}")
            expected = field.type(values[field.type])
        assert getattr(recipe, field.name) == expected


def test_command_line_defaults_are_the_recipes():
    recipe, options = parse("")
    assert recipe == RECIPE
    assert (options.recipe, options.device, options.dataset_asked) == ("lrn_cnn", "auto", False)
    assert parse("--dataset shapes")[1].dataset_asked
    assert parse("--augment none")[0].augment == ()
    assert parse("--augment flip crop")[0].augment == ("crop", "flip")


def test_epochs_given_take_the_place_of_steps(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "lrn_cnn", dataclasses.replace(RECIPE, steps=1000))
    assert parse("--epochs 2")[0].total_steps(250) == 4
    assert parse("--batch-size 5")[0].total_steps(10) == 1000


@pytest.mark.parametrize("line, words", [
    ("--epochs 2 --steps 3", "--epochs and --steps"),
    ("--epochs two", "--epochs"),
    ("--epochs 0", "--epochs is 0, expected at least 1"),
    ("--learning-rate nan", "--learning-rate is nan, expected a finite number"),
    ("--held-out 1.5", "--held-out is 1.5"),
    ("--augment spin", "spin"),
    ("--augment none crop", "--augment none stands alone"),
    ("--recipe softmax --dropout 0.5", "--dropout is 0.5, expected 0.0: the network linear has no"),
    ("--held-out 0 --early-stopping 2", "--early-stopping is 2, expected 0 without held-out"),
    ("--recipe none", "none"),
    ("--nonsense", "--nonsense"),
])
def test_mistakes_are_told(line, words):
    with pytest.raises(console.UserError) as error:
        parse(line)
    assert words in str(error.value)


def began(folder):
    folder.checkpoints.mkdir()
    (folder.checkpoints / "model.ckpt-1.meta").touch()


def test_auto_precision_is_the_runs_else_the_machines(tmp_path, monkeypatch):
    auto = recipes.RECIPES["lrn_cnn"]
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(cnn_train, "native_bfloat16", lambda native=native: native)
        folder = RunFolder(tmp_path / expected)
        resolved = cnn_train.resolved(auto, "cpu", folder)
        assert resolved == dataclasses.replace(auto, precision=expected)
        folder.write_description("a test", resolved, DESCRIPTION, {})
        monkeypatch.setattr(cnn_train, "native_bfloat16", lambda native=native: not native)
        assert cnn_train.resolved(auto, "cpu", folder).precision != expected, "nothing is saved"
        began(folder)
        assert cnn_train.resolved(auto, "cpu", folder).precision == expected
    asked = dataclasses.replace(auto, precision="float32")
    assert cnn_train.resolved(asked, "cpu", RunFolder(tmp_path / "bfloat16")) == asked


def test_auto_lrn_is_the_runs(tmp_path):
    auto, folder = recipes.RECIPES["lrn_cnn"], RunFolder(tmp_path / "run")
    folder.write_description("a test", dataclasses.replace(auto, lrn="native"), DESCRIPTION, {})
    assert cnn_train.resolved(auto, "cpu", folder).lrn == "auto", "nothing is saved"
    began(folder)
    assert cnn_train.resolved(auto, "cpu", folder).lrn == "native"
    asked = dataclasses.replace(auto, lrn="product")
    assert cnn_train.resolved(asked, "cpu", folder).lrn == "product"
    other = recipes.RECIPES["softmax"]  # has no such layer, and is refused for what it is
    assert cnn_train.resolved(other, "cpu", folder).lrn == "auto"


def test_augmentation_makes_single_steps():
    assert cnn_train.parse_arguments(["--recipe", "softmax"])[0].steps_per_run > 1
    assert cnn_train.parse_arguments(
        ["--recipe", "softmax", "--augment", "flip"])[0].steps_per_run == 1
    with pytest.raises(console.UserError, match="--steps-per-run is 5, expected 1 with --augment"):
        cnn_train.parse_arguments(["--steps-per-run", "5"])


@pytest.mark.parametrize("name, lrn", [("softmax", "auto"), ("lrn_cnn", "product")])
def test_a_run_of_before_there_was_a_field(name, lrn):
    old = recipes.to_dict(recipes.RECIPES[name])
    del old["precision"], old["lrn"]
    assert (recipes.from_dict(old).precision, recipes.from_dict(old).lrn) == ("float32", lrn)
