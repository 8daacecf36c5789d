"""The decision about a run folder: start, resume, finished, refused."""

import dataclasses
import shutil

import pytest

from tf1cifar import errors, recipes
from tf1cifar.training import resume
from tf1cifar.training.run_folder import RunFolder


@pytest.fixture
def run(whole_run, tmp_path):
    """A copy of the finished run without its SavedModel and events, which no test here reads."""
    shutil.copytree(whole_run.path, tmp_path / "run",
                    ignore=shutil.ignore_patterns("saved_model", "events"))
    return RunFolder(tmp_path / "run")


@pytest.fixture
def description(whole_run):
    return whole_run.read_description()[2]


def test_decide_starts_anew_in_an_empty_folder(recipe, description, tmp_path):
    assert resume.decide(RunFolder(tmp_path), recipe, description) == (recipe, False, "")


def test_decide_reports_a_finished_run_and_how_to_train_on(run, recipe, description):
    plan = resume.decide(run, recipe, description)
    assert plan.resume and "is finished: 18 steps (3 epochs)" in plan.finished
    assert "--epochs 6" in plan.finished
    longer = dataclasses.replace(recipe, epochs=4)
    assert resume.decide(run, longer, description) == (longer, True, "")


def test_decide_overwrites_only_when_asked(run, recipe, description):
    other = dataclasses.replace(recipe, seed=9)
    with pytest.raises(errors.UserError, match="seed: 4 before, 9 now.*--overwrite"):
        resume.decide(run, other, description)
    assert resume.decide(run, other, description, overwrite=True) == (other, False, "")


def test_decide_refuses_other_images(run, recipe, description):
    with pytest.raises(errors.UserError, match="other images in"):
        resume.decide(run, recipe, {**description, "crc32": "00000000"})


def test_decide_refuses_fewer_steps(run, recipe, description):
    with pytest.raises(errors.UserError, match="18 steps already, more than the 6 asked for"):
        resume.decide(run, dataclasses.replace(recipe, epochs=1), description)


def test_decide_refuses_a_folder_that_lost_its_checkpoints(run, recipe, description):
    shutil.rmtree(run.checkpoints)
    with pytest.raises(errors.UserError, match="checkpoints is empty or gone.*--overwrite"):
        resume.decide(run, recipe, description)


def test_decide_refuses_files_that_are_no_runs(recipe, description, tmp_path):
    (tmp_path / "metrics.csv").write_text("my own")
    with pytest.raises(errors.UserError, match="metrics.csv is there, but no recipe.json"):
        resume.decide(RunFolder(tmp_path), recipe, description)


def test_decide_starts_anew_before_the_first_checkpoint(recipe, description, tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_description("a test", dataclasses.replace(recipe, seed=1), description, {})
    assert resume.decide(folder, recipe, description) == (recipe, False, "")


def test_decide_keeps_the_precision_and_lrn_of_the_run(run, recipe, description):
    automatic = dataclasses.replace(recipe, precision="auto", lrn="auto", epochs=5)
    plan = resume.decide(run, automatic, description)
    assert (plan.recipe.precision, plan.recipe.lrn) == ("float32", "product")
    anew = resume.decide(run, automatic, description, overwrite=True)
    assert (anew.recipe.precision, anew.recipe.lrn) == ("auto", "product")


@pytest.mark.parametrize("changes, precision", [
    ({}, "bfloat16"), ({"epochs": 9}, "bfloat16"), ({"seed": 1}, "auto")])
def test_decide_keeps_the_choice_of_a_run_without_checkpoints(
        changes, precision, recipe, description, tmp_path):
    """A run killed before its first checkpoint must not be timed again, which may end otherwise."""
    folder = RunFolder(tmp_path)
    folder.write_description("a test", dataclasses.replace(recipe, precision="bfloat16"),
                             description, {})
    automatic = dataclasses.replace(recipe, precision="auto", lrn="auto", **changes)
    plan = resume.decide(folder, automatic, description)
    assert not plan.resume and plan.recipe.precision == precision
    folder.recipe_file.write_text("{")
    assert resume.decide(folder, automatic, description).recipe.precision == "auto"


@pytest.mark.parametrize("network, lrn", [("lrn_cnn", "product"), ("linear", "auto")])
def test_resolve_lrn(network, lrn):
    recipe = recipes.Recipe(network=network)
    assert resume.resolve_lrn(recipe).lrn == lrn
    native = recipes.Recipe(lrn="native")
    assert resume.resolve_lrn(native) is native
