"""Recipes as data: limits, JSON, formats and differences."""

import dataclasses
import json
import subprocess
import sys

import pytest

from tf1cifar import data, recipes
from tf1cifar.data import augmentations, preparation

RECIPE = recipes.RECIPES["lrn_cnn"]


# ---------------------------------------------------------------------------------------
# Fields


@pytest.mark.parametrize("field, value, words", [
    ("batch_size", 0, "batch_size is 0, expected at least 1"),
    ("batch_size", 2.5, "batch_size is 2.5, expected int"),
    ("batch_size", 2 ** 31, "expected less than"),
    ("seed", True, "seed is True, expected int"),
    ("learning_rate", 0.0, "learning_rate is 0.0, expected more than 0"),
    ("learning_rate", float("nan"), "expected a finite number"),
    ("held_out", 1.0, "held_out is 1.0, expected less than 1"),
    ("augment", ("crop", "spin"), "augment is 'spin', expected one of scale, crop, shift"),
    ("augment", ["crop"], "expected tuple"),
    ("network", "os", "network is 'os', expected one of batchnorm_cnn, dropout_cnn"),
    ("batch_norm_decay", 0.5, "the network lrn_cnn has no such option; leave it out"),
    ("steps_per_run", 5, "steps_per_run is 5, expected 1 with --augment"),
])
def test_recipe_names_a_bad_value(field, value, words):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(RECIPE, **{field: value})
    assert words in str(error.value)


def test_recipe_refuses_early_stopping_without_held_out_images():
    with pytest.raises(ValueError, match="early_stopping is 2, expected 0 without held-out"):
        dataclasses.replace(RECIPE, early_stopping=2, held_out=0.0)


def test_recipe_fields_have_a_group_and_a_dozen_are_common():
    fields = dataclasses.fields(recipes.Recipe)
    assert list(dict.fromkeys(field.metadata["group"] for field in fields)) == list(recipes.GROUPS)
    assert all(field.metadata["help"] for field in fields)
    assert {field.name for field in fields if field.metadata["common"]} == {
        "dataset", "augment", "held_out", "dropout", "learning_rate", "precision", "batch_size",
        "epochs", "steps", "seed", "test_every_epoch", "checkpoint_every"}


def test_recipe_names_are_those_of_the_objects_that_they_name():
    assert recipes.DATASETS == tuple(data.TITLES) == tuple(data.DOWNLOAD_HINTS)
    assert recipes.PREPARATIONS == tuple(preparation.PREPARATIONS)
    assert recipes.AUGMENTATIONS == tuple(augmentations.AUGMENTATIONS)


def test_steps_per_epoch_and_total_steps():
    assert RECIPE.total_steps(45_000) == 360 * RECIPE.epochs
    assert RECIPE.steps_per_epoch(126) == 2
    assert dataclasses.replace(RECIPE, steps=7).total_steps(45_000) == 7


def test_recipes_import_neither_numpy_nor_tensorflow():
    code = ("import sys; from tf1cifar import recipes; "
            "sys.exit(str({'numpy', 'tensorflow'} & set(sys.modules) or ''))")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                            check=False)
    assert result.stderr.strip() == ""


# ---------------------------------------------------------------------------------------
# JSON


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_from_dict_reads_the_json_of_to_dict(name):
    recipe = recipes.RECIPES[name]
    assert recipes.from_dict(json.loads(json.dumps(recipes.to_dict(recipe)))) == recipe


@pytest.mark.parametrize("format", [1, recipes.FORMAT])
@pytest.mark.parametrize("change, words", [
    (lambda settings: settings.update(colour=1), "unknown setting colour"),
    (lambda settings: settings.update(epochs="10"), "epochs is '10', expected int"),
    (lambda settings: settings.update(network=["lrn_cnn"]), "network is .* expected str"),
])
def test_from_dict_names_a_bad_field_in_every_format(change, words, format):
    settings = recipes.to_dict(RECIPE)
    change(settings)
    with pytest.raises(ValueError, match=words):
        recipes.from_dict(settings, format)


@pytest.mark.parametrize("field", recipes.to_dict(RECIPE))
def test_from_dict_names_a_missing_field(field):
    settings = recipes.to_dict(RECIPE)
    del settings[field]
    with pytest.raises(ValueError, match=f"^missing setting {field}$"):
        recipes.from_dict(settings)


@pytest.mark.parametrize("settings", [None, [1], "text"])
def test_from_dict_refuses_everything_but_a_dictionary(settings):
    for format in (1, recipes.FORMAT):
        with pytest.raises(ValueError, match="expected a dictionary of settings, found"):
            recipes.from_dict(settings, format)


def test_from_dict_refuses_a_newer_format():
    newer = recipes.FORMAT + 1
    with pytest.raises(ValueError) as error:
        recipes.from_dict({"field of the future": 1}, newer)
    assert str(error.value) == (f"format {newer} was written by a newer version of this project; "
                                f"this one reads up to {recipes.FORMAT}")


@pytest.mark.parametrize("format", [0, -1, "2", 1.0, True, None, [2]])
def test_from_dict_refuses_a_format_that_is_no_number(format):
    with pytest.raises(ValueError, match="format is .* expected a number from 1 to"):
        recipes.from_dict(recipes.to_dict(RECIPE), format)


@pytest.mark.parametrize("name, lrn", [("softmax", "auto"), ("lrn_cnn", "product")])
def test_upgrade_gives_format_1_the_settings_that_older_code_used(name, lrn):
    settings = recipes.to_dict(recipes.RECIPES[name])
    del settings["precision"], settings["lrn"]
    assert recipes.from_dict(settings, format=1) == dataclasses.replace(
        recipes.RECIPES[name], precision="float32", lrn=lrn)


@pytest.mark.parametrize("name", ["softmax", "lrn_cnn"])
def test_upgrade_keeps_the_settings_that_format_1_has(name):
    settings = {**recipes.to_dict(recipes.RECIPES[name]), "precision": "auto"}
    assert recipes.from_dict(settings, format=1) == recipes.RECIPES[name]


def test_upgrade_does_not_depend_on_todays_defaults():
    """Another default of a field must not change the settings of an older run."""
    settings = recipes.to_dict(dataclasses.replace(RECIPE, precision="float32", lrn="product"))
    for name in ("checkpoint_every", "steps_per_run", "precision", "lrn"):
        del settings[name]
    before = dict(settings)
    recipe = recipes.from_dict(settings, format=1)
    assert (recipe.checkpoint_every, recipe.steps_per_run, recipe.precision, recipe.lrn) == (
        0, 1, "float32", "product")
    assert settings == before, "the caller's dictionary is changed"


def test_upgrade_invents_no_other_field():
    settings = recipes.to_dict(RECIPE)
    del settings["seed"], settings["summary_every"]
    with pytest.raises(ValueError, match="missing setting seed, summary_every|summary_every, seed"):
        recipes.from_dict(settings, format=1)


def test_upgrade_leaves_the_current_format_alone():
    settings = recipes.to_dict(RECIPE)
    assert recipes.upgrade(settings, recipes.FORMAT) == settings


def test_differences_leave_out_length_and_reports():
    longer = dataclasses.replace(RECIPE, epochs=99, steps=7, early_stopping=3, max_to_keep=1)
    assert recipes.differences(RECIPE, longer) == []
    other = dataclasses.replace(longer, seed=5, augment=())
    assert recipes.differences(RECIPE, other) == [
        "augment: ('crop', 'flip') before, () now", "seed: 0 before, 5 now"]
