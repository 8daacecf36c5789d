"""The source of initial weights: found, checked, compared with that of a run."""

import dataclasses
import json
import shutil

import pytest

from tf1cifar import errors, recipes
from tf1cifar.training import sources
from tf1cifar.training.run_folder import RunFolder


@pytest.fixture
def checkpoints(tmp_path):
    """Function of names that makes a folder with files that look like checkpoints."""
    def make(*names, state=None):
        folder = tmp_path / "theirs"
        folder.mkdir()
        for name in names:
            (folder / f"{name}.index").write_bytes(name.encode())
        if state:
            (folder / "checkpoint").write_text(state)
        return folder
    return make


def another(found, folder):
    """The path of a checkpoint of another step than that of a source."""
    return next(str(folder / f"model.ckpt-{step}") for step in (6, 12)
                if not found.checkpoint.endswith(f"-{step}"))


@pytest.mark.parametrize("state", [
    'model_checkpoint_path: "b-2"\n', 'model_checkpoint_path: "/home/ann/model/b-2"\n',
    'model_checkpoint_path: "C:\\\\model\\\\b-2"\nall_model_checkpoint_paths: "c-3"\n'])
def test_find_takes_the_checkpoint_that_the_state_file_names(state, checkpoints, tmp_path):
    folder = checkpoints("a-1", "b-2", "c-3", state=state)
    assert sources.find(folder, tmp_path / "run").checkpoint == str(folder / "b-2")


def test_find_refuses_to_choose_among_checkpoints(checkpoints, tmp_path):
    folder = checkpoints("a", "b", state='model_checkpoint_path: "../../gone"\n')
    with pytest.raises(errors.UserError, match="holds several checkpoints, a, b; name one"):
        sources.find(folder, tmp_path / "run")
    (folder / "a.index").unlink()
    assert sources.find(folder, tmp_path / "run").checkpoint == str(folder / "b")


@pytest.mark.parametrize("name", ["", "theirs/model.ckpt", "theirs"])
def test_find_names_what_it_expects(name, checkpoints, tmp_path):
    checkpoints()
    with pytest.raises(errors.UserError, match="no run and no checkpoint there; expected a run"):
        sources.find(tmp_path / name, tmp_path / "run")


def test_find_knows_the_run_of_a_checkpoint(whole_run, tmp_path):
    found = sources.find(whole_run.path, tmp_path / "run")
    best = whole_run.read_result()["checkpoint"]
    assert found.checkpoint == str(whole_run.checkpoints / best)
    assert (found.name, found.recipe, found.description) == whole_run.read_description()
    path = another(found, whole_run.checkpoints)
    other = sources.find(f"{path}.meta", tmp_path / "run")
    assert other.checkpoint == path
    assert other[3:] != (None, None, None, None) and other.crc32 != found.crc32
    with pytest.raises(errors.UserError, match="that is the run to be trained"):
        sources.find(other.checkpoint, whole_run.path)


def test_find_bounds_the_index(checkpoints, tmp_path, monkeypatch):
    folder = checkpoints("a")
    monkeypatch.setattr(sources, "MAX_INDEX", 0)
    with pytest.raises(errors.UserError, match="larger than 0 MiB; damaged"):
        sources.find(folder, tmp_path / "run")


@pytest.mark.parametrize("asked, expected", [
    ("runs/lrn_cnn", "lrn_cnn"), ("runs/lrn_cnn/", "lrn_cnn"),
    ("model.ckpt-5.index", "model.ckpt-5"), ("runs/a/checkpoints/best-7", "a"),
    ("runs/a/checkpoints/best-7.meta", "a")])
def test_run_dir_is_named_after_the_source(asked, expected):
    assert sources.run_dir(asked) == f"runs/{expected}-tuned"


def test_settings_are_those_of_the_sources_network(whole_run, tmp_path):
    found = sources.find(whole_run.path, tmp_path / "run")
    source = dataclasses.replace(found.recipe, conv_layers=3, dropout=0.25)
    recipe = sources.settings(recipes.RECIPES["batchnorm_cnn"], found._replace(recipe=source))
    own = recipes.RECIPES["batchnorm_cnn"]
    assert recipe == dataclasses.replace(
        own, network="lrn_cnn", preparation="gray24", conv_layers=3, dropout=0.25, lrn="product",
        initialization="he_small_first", batch_norm_decay=0.99)
    assert sources.settings(own, found._replace(recipe=None)) == own


def test_check_refuses_other_pixels(whole_run, tmp_path):
    found = sources.find(whole_run.path, tmp_path / "run")
    sources.check(found, found.recipe, {**found.description, "image_shape": [28, 28, 1]})
    with pytest.raises(errors.UserError, match="takes images of 24x24x1, those of cifar10 are 48"):
        sources.check(found, found.recipe, {**found.description, "image_shape": [64, 64, 3]})
    with pytest.raises(errors.UserError, match="--preparation unit: .* were trained with gray24"):
        sources.check(found, dataclasses.replace(found.recipe, preparation="unit"),
                      found.description)


@pytest.fixture
def begun(whole_run, tmp_path):
    """A copy of a run that began from the weights of another one, and that source."""
    shutil.copytree(whole_run.path, tmp_path / "source",
                    ignore=shutil.ignore_patterns("saved_model", "events"))
    shutil.copytree(tmp_path / "source", tmp_path / "run")
    found = sources.find(tmp_path / "source", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.write_description(found.name, found.recipe, found.description, {}, initial={
        "from": found.path, "checkpoint": "best-6", "crc32": found.crc32, "asked": [],
        "map": {"conv1/weights": "conv1/weights"}, "mean_image": ""})
    return folder, found


def test_differences_compare_the_content_of_the_source(begun, tmp_path):
    folder, found = begun
    assert sources.differences(folder, found, []) == []
    (tmp_path / "source").rename(tmp_path / "moved")
    moved = sources.find(tmp_path / "moved", folder.path)
    assert moved.path != found.path and sources.differences(folder, moved, []) == []
    assert sources.differences(folder, None, []) == [
        f"init-from: {found.path} (crc32 {found.crc32}) before, none now"]
    assert sources.differences(folder, found, ["output=new"]) == [
        "map: none before, output=new now"]
    other = sources.find(another(found, tmp_path / "moved/checkpoints"), folder.path)
    (line,) = sources.differences(folder, other, [])
    assert f"(crc32 {found.crc32}) before, {other.path} (crc32 {other.crc32}) now" in line
    plain = RunFolder(tmp_path / "moved")
    assert sources.differences(plain, None, []) == []
    assert "init-from: none before" in sources.differences(plain, found, [])[0]


def test_find_lets_a_run_stand_for_its_source(begun, tmp_path):
    folder, found = begun
    shutil.rmtree(tmp_path / "source")
    gone = sources.find(tmp_path / "source", folder.path)
    assert (gone.checkpoint, gone.crc32, gone.recipe) == ("", found.crc32, found.recipe)
    assert sources.differences(folder, gone, []) == []
    with pytest.raises(errors.UserError, match="no run and no checkpoint there"):
        sources.find(tmp_path / "elsewhere", folder.path)


@pytest.mark.parametrize("change", [
    [], {}, {"crc32": 5}, {"asked": "x"}, {"map": []}, {"asked": [1]}, {"map": {"a": 1}},
    {"more": ""}, "text", 7])
def test_record_refuses_nonsense(change, begun):
    folder, _ = begun
    content = json.loads(folder.recipe_file.read_text())
    before = content["initial_weights"]
    content["initial_weights"] = {**before, **change} if isinstance(change, dict) and change else (
        change)
    folder.recipe_file.write_text(json.dumps(content))
    with pytest.raises(errors.UserError, match="damaged; its initial_weights make no sense"):
        sources.record(folder)
