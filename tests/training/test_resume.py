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


def request(name, description, dataset=None, **changes):
    """(recipe, description) of a command with a recipe's name on a data set, its own by default."""
    recipe = dataclasses.replace(recipes.RECIPES[name], **changes)
    recipe = dataclasses.replace(recipe, dataset=dataset or recipe.dataset)
    return recipe, {**description, "name": recipe.dataset}


@pytest.mark.parametrize("name, changes, expected", [
    ("softmax", {}, "softmax"), ("softmax", {"dataset": "shapes"}, "softmax-shapes"),
    ("softmax", {"seed": 3}, "softmax"), ("batchnorm_cnn", {}, "batchnorm_cnn"),
    ("batchnorm_cnn", {"dataset": "cifar10"}, "batchnorm_cnn-cifar10"),
    ("softmax", {"network": "two_layer_fc"}, "softmax-two_layer_fc"),
    ("softmax", {"network": "two_layer_fc", "dataset": "shapes"}, "softmax-two_layer_fc-shapes")])
def test_default_folder_names_what_is_not_the_recipes_own(
        name, changes, expected, description, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = resume.default_folder(name, *request(name, description, **changes))
    assert str(folder.path) == f"runs/{expected}"


def test_default_folder_of_earlier_versions(description, tmp_path, monkeypatch):
    """They trained everything in runs/softmax. There, shapes were trained without a network."""
    monkeypatch.chdir(tmp_path)
    drawn, shapes = request("softmax", description, "shapes")
    RunFolder("runs/softmax").path.mkdir(parents=True)
    RunFolder("runs/softmax").write_description("softmax", drawn, shapes, {})

    def folder_of(recipe, description):
        return str(resume.default_folder("softmax", recipe, description).path)

    assert folder_of(drawn, shapes) == "runs/softmax"
    assert folder_of(dataclasses.replace(drawn, epochs=99), shapes) == "runs/softmax"
    assert folder_of(dataclasses.replace(drawn, seed=1), shapes) == "runs/softmax-shapes"
    assert folder_of(drawn, {**shapes, "crc32": "00000000"}) == "runs/softmax-shapes"
    assert folder_of(*request("softmax", description)) == "runs/softmax-cifar10"
    assert folder_of(*request("softmax", description, network="two_layer_fc")) == (
        "runs/softmax-two_layer_fc")
    RunFolder("runs/softmax-shapes").path.mkdir()
    RunFolder("runs/softmax-shapes").write_description("softmax", drawn, shapes, {})
    assert folder_of(drawn, shapes) == "runs/softmax-shapes"
    RunFolder("runs/softmax").recipe_file.write_text("{")
    assert folder_of(*request("softmax", description)) == "runs/softmax"  # and `decide` refuses it


def test_run_name_tells_of_another_network():
    softmax = recipes.RECIPES["softmax"]
    assert resume.run_name("softmax", softmax) == "softmax"
    other = dataclasses.replace(softmax, network="two_layer_fc")
    assert resume.run_name("softmax", other) == "softmax with network two_layer_fc"


def test_decide_starts_anew_in_an_empty_folder(recipe, description, tmp_path):
    assert resume.decide(RunFolder(tmp_path), recipe, description) == (
        recipe, False, "", description)


def test_decide_reports_a_finished_run_and_how_to_train_on(run, recipe, description):
    plan = resume.decide(run, recipe, description)
    assert plan.resume and "is finished: 18 steps (3 epochs)" in plan.finished
    assert "--epochs 6" in plan.finished
    longer = dataclasses.replace(recipe, epochs=4)
    assert resume.decide(run, longer, description) == (longer, True, "", description)


def test_decide_overwrites_only_when_asked(run, recipe, description):
    other = dataclasses.replace(recipe, seed=9)
    with pytest.raises(errors.UserError, match="seed: 4 before, 9 now.*--overwrite"):
        resume.decide(run, other, description)
    assert resume.decide(run, other, description, overwrite=True) == (
        other, False, "", description)


def test_decide_refuses_other_images(run, recipe, description):
    with pytest.raises(errors.UserError, match="other images in"):
        resume.decide(run, recipe, {**description, "crc32": "00000000"})


def test_decide_goes_on_with_own_pictures_that_were_edited(recipe, whole_run, tmp_path, capsys):
    """A run on own pictures, before whose end one of the pictures is edited."""
    shutil.copytree(whole_run.path, tmp_path / "run",
                    ignore=shutil.ignore_patterns("saved_model", "events"))
    folder = RunFolder(tmp_path / "run")
    name, _, before = folder.read_description()
    recipe = dataclasses.replace(recipe, dataset="folders")
    before = {**before, "name": "folders", "files_crc32": "0a", "pillow": "12.1"}
    folder.write_description(name, recipe, before, {})
    longer = dataclasses.replace(recipe, epochs=4)
    now = {**before, "crc32": "00000001", "files_crc32": "0b"}
    plan = resume.decide(folder, longer, now)
    assert plan == (longer, True, "", {**now, "earlier_crc32": [before["crc32"]]})
    assert "the run goes on with the pictures that are there now" in capsys.readouterr().err
    folder.write_description(name, longer, plan.description, {})
    again = resume.decide(folder, longer, {**now, "crc32": "00000002"})
    assert again.description["earlier_crc32"] == [before["crc32"], "00000001"]
    resume.decide(folder, longer, {**now, "files_crc32": "0b", "pillow": "13.0",
                                   "crc32": "00000003"})
    told = capsys.readouterr().err
    assert "Pillow 13.0 decodes them to other pixels than Pillow 12.1 did" in told
    for change in ({"class_names": [*now["class_names"][:-1], "x"]}, {"training_images": 179}):
        with pytest.raises(errors.UserError, match="other images in"):
            resume.decide(folder, longer, {**now, "crc32": "00000004", **change})
    assert not capsys.readouterr().err


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
    assert resume.decide(folder, recipe, description) == (recipe, False, "", description)


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


def test_changes_are_told_once_and_what_the_run_began_with_stays(run):
    name, recipe, description = run.read_description()
    began = {"python": "3.9", "tensorflow": "2.9.0", "processor": "A", "cores": "2",
             "TF_ENABLE_ONEDNN_OPTS": "1", "device": "CPU"}
    run.write_description(name, recipe, description, began)
    assert resume.changes(run, began) == (began, [], [])

    now = {**began, "python": "3.12", "tensorflow": "2.21.0", "cores": "4"}
    versions, changes, lines = resume.changes(run, now)
    assert versions == began
    assert changes == [
        {"step": 18, "what": "tensorflow", "before": "2.9.0", "now": "2.21.0"},
        {"step": 18, "what": "cores", "before": "2", "now": "4"}]
    assert [line.split(":")[0] for line in lines] == ["tensorflow", "cores"]
    assert lines[0] == ("tensorflow: 2.9.0 before, 2.21.0 now: the run may end in other bits than "
                        "an undisturbed one")
    run.write_description(name, recipe, description, versions, changes)
    assert run.read_description() == (name, recipe, description)
    assert resume.changes(run, now) == (began, changes, [])

    back = resume.changes(run, {**now, "cores": "2"})
    assert back[0] == began and back[1] == [*changes, {
        "step": 18, "what": "cores", "before": "4", "now": "2"}] and len(back[2]) == 1


@pytest.mark.parametrize("versions, changes", [
    ({}, []), (None, None), ([1], {"a": 1}), ({"cores": 7, "device": None}, [1, {"step": "x"}]),
    ({}, [{"step": 1, "what": "cores", "before": "1", "now": 2}])])
def test_changes_of_a_run_of_an_older_version_and_of_a_damaged_record(versions, changes, run):
    """What is not known cannot differ. From now on it is known."""
    name, recipe, description = run.read_description()
    run.write_description(name, recipe, description, versions, changes)
    now = {"tensorflow": "2.21.0", "cores": "4", "device": "CPU"}
    assert resume.changes(run, now) == (now, [], [])
