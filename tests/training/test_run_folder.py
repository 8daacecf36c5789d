"""The run folder: its lock, what a start tidies, and its readers."""

import errno
import json
import pathlib

import pytest
from support.folders import tree

from tf1cifar import errors, files, locks, recipes
from tf1cifar.training.checkpoints import SUFFIXES
from tf1cifar.training.run_folder import METRICS, RunFolder


@pytest.fixture
def folder(tmp_path):
    """A run folder with a complete checkpoint of each kind at step 12."""
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.old_events.mkdir()
    for kind in ("model.ckpt", "best"):
        for suffix in SUFFIXES:
            (folder.checkpoints / f"{kind}-12{suffix}").touch()
    (folder.checkpoints / "checkpoint").touch()
    folder.recipe_file.write_text("{}")
    return folder


def test_run_folder_expands_its_path(tmp_path, monkeypatch):
    """Shells leave --run-dir=~/x as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MY_RUNS", str(tmp_path / "a b"))
    assert RunFolder("~/x").recipe_file == tmp_path / "x/recipe.json"
    assert RunFolder("$MY_RUNS/x").checkpoints == tmp_path / "a b/x/checkpoints"


def content(folder):
    return {str(item.relative_to(folder.path)) for item in folder.path.rglob("*")} - {".lock"}


def test_locked_refuses_a_second_process(tmp_path):
    with (RunFolder(tmp_path).locked(),
          pytest.raises(errors.UserError, match="another process is training"),
          RunFolder(tmp_path).locked()):
        pass
    with RunFolder(tmp_path).locked():  # a lock that was left is no obstacle
        pass


def test_locked_leaves_no_trace_without_a_run(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/metrics.csv").write_text("my own")
    for path in ("mine", "new/deeper/run"):
        with pytest.raises(errors.UserError), RunFolder(tmp_path / path).locked():
            raise errors.UserError("a mistake")
    assert [str(item.relative_to(tmp_path)) for item in sorted(tmp_path.rglob("*"))] == [
        "mine", "mine/metrics.csv"]
    with RunFolder(tmp_path / "new/run").locked():
        (tmp_path / "new/run/recipe.json").write_text("{}")
    assert (tmp_path / "new/run/.lock").exists()


def test_locked_passes_errors_of_the_block_through(tmp_path):
    """Even those that look like the errors of locking."""
    for error in (BlockingIOError(errno.EAGAIN, "again"), PermissionError(errno.EACCES, "denied"),
                  FileNotFoundError(errno.ENOENT, "gone")):
        with pytest.raises(type(error)) as caught, RunFolder(tmp_path / "run").locked():
            raise error
        assert caught.value is error


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_locked_needs_no_lock_to_read_a_run(number, folder, monkeypatch):
    """A finished run in a folder of somebody else can be reported."""
    def refuse(path):
        raise OSError(number, "cannot be opened", str(path))

    monkeypatch.setattr(locks, "lock", refuse)
    (folder.path / ".metrics.csv.part").touch()
    before = content(folder)
    with folder.locked():
        assert content(folder) == before
    folder.recipe_file.unlink()
    with pytest.raises(OSError, match="cannot be opened"), folder.locked():
        pass


def test_locked_starts_again_when_the_folder_is_removed_meanwhile(tmp_path, monkeypatch):
    """Another process that ends without a run removes the folder it made."""
    lock, calls = locks.lock, []

    def lock_late(path):
        calls.append(path)
        if len(calls) == 1:
            path.parent.rmdir()
        return lock(path)

    monkeypatch.setattr(locks, "lock", lock_late)
    with RunFolder(tmp_path / "run").locked():
        assert len(calls) == 2 and calls[0].exists()


@pytest.mark.parametrize("path", ["file", "file/run"])
def test_locked_needs_a_folder(path, tmp_path):
    (tmp_path / "file").touch()
    with (pytest.raises(errors.UserError, match="--run-dir .*file is not a folder"),
          RunFolder(tmp_path / path).locked()):
        pass


HALF_WRITTEN = [
    ".recipe.json.part", ".metrics.csv.part", ".learning_curve.png.part", ".result.json.part",
    ".mean_image.npy.part", ".saved_model.part/variables/variables.index",
    ".saved_model.old.part/saved_model.pb", ".times.csv.part",
    "events/.events.out.tfevents.17.part",
    "checkpoints/checkpoint.tmp" + "0b" * 16, "checkpoints/best_checkpoint.tmp" + "0b" * 16,
    "checkpoints/model.ckpt-18.meta", "checkpoints/.model.ckpt-18.meta.part",
    "checkpoints/model.ckpt-18.data-00000-of-00001", "checkpoints/best-18.index.tempstate99",
    "checkpoints/model.ckpt-12.data-00000-of-00001.tempstate1",  # of one saved again
    "checkpoints/best-6.data-00000-of-00001",  # of one half removed
    ".tf1cifar-01234567/saved_model.pb", "events/.tf1cifar-01234567/x",
    "profile/.tf1cifar-a_000000/x", "checkpoints/.tf1cifar-01234567/model.ckpt-18.index",
]


@pytest.mark.parametrize("name", HALF_WRITTEN)
def test_locked_removes_what_a_killed_process_left_half_written(name, folder):
    before = content(folder)
    (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / name).touch()
    with folder.locked():
        assert content(folder) - {"profile"} == before


def test_locked_tidies_nothing_behind_links(folder, tmp_path):
    """A link may lead to another run, in which another process trains."""
    other = tmp_path / "other"
    for name in ("checkpoints", "events"):
        files.remove(folder.path / name)
        (other / name / ".tf1cifar-01234567").mkdir(parents=True)
        (folder.path / name).symlink_to(other / name)
    for name in ("checkpoints/model.ckpt-12.index", "events/.events.out.tfevents.1.part"):
        (other / name).touch()
    before = tree(other)
    with folder.locked():
        assert tree(other) == before
        folder.clear()
    assert tree(other) == before and not folder.leftover_files()


@pytest.mark.parametrize("name", [
    "notes.txt", ".notes.txt.part", "pictures/.conv1.png.part", "checkpoints/my-18.index",
    "checkpoints/model.ckpt-final.index", "checkpoints/model.ckpt-12-copy", "events/notes",
    "events/.mine.part", ".tf1cifar-mine", ".tf1cifar-012345678/x"])
def test_locked_keeps_files_of_others(name, folder):
    (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / name).touch()
    before = content(folder)
    with folder.locked():
        assert content(folder) == before


def test_locked_tidies_nothing_where_no_run_is(folder):
    folder.recipe_file.unlink()
    (folder.path / ".metrics.csv.part").touch()
    before = content(folder)
    (folder.path / ".tf1cifar-01234567").mkdir()  # of a kill before recipe.json was there
    with folder.locked():
        assert content(folder) == before


def test_clear_removes_recipe_json_last(folder, monkeypatch):
    """A run that is half cleared stays a run, so that the same command goes on."""
    removed = []
    monkeypatch.setattr(files, "remove", removed.append)
    folder.clear()
    assert set(removed) == {folder.checkpoints, folder.old_events, folder.recipe_file}
    assert removed[-1] == folder.recipe_file


@pytest.mark.parametrize("content, words", [
    ("{", "not JSON"), ("[1]", "JSON dictionary"), ("{}", "no 'name' in it"),
    ('{"name": "a", "recipe": RECIPE, "dataset": {}}', "no 'image_shape' in it"),
    ('{"name": "a", "recipe": {"seed": "b"}, "dataset": {}}', "missing setting network"),
    ('{"format": 3, "name": "a", "recipe": {}, "dataset": {}}', "missing setting network"),
    ('{"format": 5, "new": "layout"}', "format 5 was written by a newer version"),
    ('{"format": "2", "name": "a", "recipe": {}, "dataset": {}}', "format is '2'"),
    ("[" * 100_000, "not JSON"),
])
def test_read_description_of_a_damaged_file_is_one_line(content, words, tmp_path):
    folder = RunFolder(tmp_path)
    recipe = json.dumps(recipes.to_dict(recipes.RECIPES["softmax"]))
    folder.recipe_file.write_text(content.replace("RECIPE", recipe))
    with pytest.raises(errors.UserError, match=words) as caught:
        folder.read_description()
    assert "\n" not in str(caught.value)


def test_write_description_and_read_it(whole_run, recipe, tmp_path):
    name, read, dataset = whole_run.read_description()
    copy = RunFolder(tmp_path)
    copy.write_description(name, read, dataset, {"python": "3"})
    assert copy.read_description() == (name, recipe, dataset)
    assert files.read_json(copy.recipe_file)["format"] == 4


def test_checkpoint_path_is_the_one_measured(whole_run):
    measured = whole_run.read_result()["checkpoint"]
    assert pathlib.Path(whole_run.checkpoint_path()).name == measured
    assert whole_run.checkpoint_path("latest").endswith("model.ckpt-18")


def test_write_metrics_and_read_them(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_metrics() == []
    row = {**dict.fromkeys(METRICS), "epoch": 0.5, "step": 3, "learning_rate": 0.1,
           "training_loss": 2.5, "training_accuracy": 0.25}
    folder.write_metrics([row])
    assert folder.read_metrics() == [row]


@pytest.mark.parametrize("text, words", [
    ("a,b\n1,2\n", "its columns are not epoch"),
    (",".join(METRICS) + "\n" + "," * 7 + "\n", "a figure is missing"),
    (",".join(METRICS) + "\nx" + ",1" * 7 + "\n", "could not convert"),
    (",".join(METRICS) + "\n" + "9" * 400 + ",1" * 7 + "\n", "too large")])
def test_read_metrics_of_a_damaged_file_is_one_line(text, words, tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text(text)
    with pytest.raises(errors.UserError, match=f"metrics.csv: damaged; .*{words}"):
        folder.read_metrics()


@pytest.mark.parametrize("change", [{"test_accuracy": "0.5"}, {"trained_steps": -1}, {"x": None}])
def test_read_result_of_a_damaged_file_is_one_line(change, whole_run, tmp_path):
    result = {**whole_run.read_result(), **change}
    result.pop("x", None) if "x" not in change else result.pop("checkpoint")
    folder = RunFolder(tmp_path)
    files.write_json(folder.result_file, result)
    with pytest.raises(errors.UserError, match="result.json: damaged; remove it"):
        folder.read_result()


def test_require_present_tells_that_the_folder_is_gone_or_another(folder, tmp_path):
    with folder.locked():
        folder.require_present()
        content = folder.recipe_file.read_text()
        folder.recipe_file.unlink()
        with pytest.raises(errors.Failure, match="recipe.json is gone"):
            folder.require_present()
        folder.recipe_file.write_text(content)
        (folder.path / ".lock").rename(tmp_path / "lock")
        with pytest.raises(errors.Failure, match=r"\.lock was removed or replaced"):
            folder.require_present()
        (folder.path / ".lock").touch()
        with pytest.raises(errors.Failure, match=r"\.lock was removed or replaced"):
            folder.require_present()
        (tmp_path / "lock").replace(folder.path / ".lock")
        folder.require_present()
        folder.path.rename(tmp_path / "elsewhere")
        with pytest.raises(errors.Failure, match="was removed, renamed or replaced"):
            folder.require_present()
        folder.path.mkdir()
        folder.recipe_file.write_text(content)
        with pytest.raises(errors.Failure, match="was removed, renamed or replaced"):
            folder.require_present()


def test_clear_removes_links_and_not_what_they_lead_to(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").write_text("precious")
    for name in ("saved_model", "events"):
        files.remove(folder.path / name)
        (folder.path / name).symlink_to(tmp_path / "mine")
    (folder.path / "profile").symlink_to(tmp_path / "nothing")
    folder.clear()
    assert not folder.leftover_files() and not (folder.path / "profile").is_symlink()
    assert (tmp_path / "mine/precious").read_text() == "precious"


def test_locked_refuses_a_lock_that_is_a_link(folder, tmp_path):
    (tmp_path / "victim").write_text("precious")
    files.remove(folder.path / ".lock")
    (folder.path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(errors.UserError, match=r"\.lock is a link"), folder.locked():
        pytest.fail("the link was followed")
    assert (tmp_path / "victim").read_text() == "precious"


def test_locked_leaves_the_lock_of_a_process_that_took_the_name_over(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        folder.path.rename(tmp_path / "elsewhere")
        folder.path.mkdir()
        (folder.path / ".lock").touch()
    assert (folder.path / ".lock").exists()
