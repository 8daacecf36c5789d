"""The decision about a run folder: start, resume, finished, refused."""

import dataclasses
import shutil

import pytest

from tf1cifar import errors
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


def test_decide_keeps_the_precision_and_lrn_of_the_run(run, recipe, description, monkeypatch):
    monkeypatch.setattr(resume, "native_bfloat16", lambda: True)
    automatic = dataclasses.replace(recipe, precision="auto", lrn="auto", epochs=5)
    plan = resume.decide(run, automatic, description)
    assert (plan.recipe.precision, plan.recipe.lrn) == ("float32", "product")
    assert resume.decide(run, automatic, description, "cpu", True).recipe.precision == "bfloat16"


@pytest.mark.parametrize("native, device, gpus, precision", [
    (True, "auto", [], "bfloat16"), (False, "auto", [], "float32"),
    (True, "auto", ["/dev/nvidia0"], "float32"), (True, "cpu", ["/dev/nvidia0"], "bfloat16")])
def test_resolve_auto_of_a_new_run(native, device, gpus, precision, recipe, monkeypatch):
    monkeypatch.setattr(resume, "native_bfloat16", lambda: native)
    monkeypatch.setattr(resume.pathlib.Path, "glob", lambda path, pattern: gpus)
    automatic = dataclasses.replace(recipe, precision="auto", lrn="auto")
    assert resume.resolve_auto(automatic, device) == dataclasses.replace(
        automatic, precision=precision)
