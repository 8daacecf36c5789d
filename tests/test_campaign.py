"""Runs that are stopped: the short form of campaign.py, and what a start makes of leftovers."""

import errno
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import console
from training import records, run_folder
from training.run_folder import METRICS, RunFolder, replacing

CAMPAIGN = pathlib.Path(__file__).with_name("campaign.py")


def test_short_campaign():
    result = subprocess.run([sys.executable, str(CAMPAIGN), "--short"], text=True,
                            capture_output=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "kills: the bits of an undisturbed run",
        "full disk: told, nothing lost",
        "read-only folder: told, nothing written",
        "signals: saved, the bits of an undisturbed run"]


CHECKPOINT = (".index", ".data-00000-of-00001", ".meta")


@pytest.fixture
def folder(tmp_path):
    """A run folder with a whole checkpoint of each kind at step 12."""
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.events.mkdir()
    for kind in ("model.ckpt", "best"):
        for suffix in CHECKPOINT:
            (folder.checkpoints / f"{kind}-12{suffix}").touch()
    (folder.checkpoints / "checkpoint").touch()
    return folder


def content(folder):
    return {str(item.relative_to(folder.path)) for item in folder.path.rglob("*")} - {".lock"}


HALF_WRITTEN = [
    ".recipe.json.part", ".metrics.csv.part", ".learning_curve.png.part", ".result.json.part",
    ".mean_image.npy.part", ".saved_model.part/variables/variables.index",
    ".saved_model.old.part/saved_model.pb", "events/.events.out.tfevents.17.part",
    "checkpoints/checkpoint.tmp0b9", "checkpoints/best_checkpoint.tmp0b9",
    "checkpoints/model.ckpt-18.meta", "checkpoints/.model.ckpt-18.meta.part",
    "checkpoints/model.ckpt-18.data-00000-of-00001", "checkpoints/best-18.index.tempstate99",
    "checkpoints/model.ckpt-12.data-00000-of-00001.tempstate1",  # of one saved again
    "checkpoints/best-6.data-00000-of-00001",  # of one half removed
]


@pytest.mark.parametrize("name", HALF_WRITTEN)
def test_what_a_killed_process_left_half_written_is_removed(name, folder):
    before = content(folder)
    (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / name).touch()
    with folder.locked():
        assert content(folder) == before


@pytest.mark.parametrize("left", [[".index"], [".index", ".data-00000-of-00001"]])
def test_a_checkpoint_that_lost_files_is_named(left, folder, capsys):
    for suffix in left:
        (folder.checkpoints / f"model.ckpt-18{suffix}").touch()
    with folder.locked():
        pass
    assert "model.ckpt-18.index: the checkpoint's other files are gone" in capsys.readouterr().err


@pytest.mark.parametrize("backwards", [False, True])  # a folder has its files in any order
def test_an_old_checkpoint_that_was_being_removed_goes_in_silence(
        backwards, folder, capsys, monkeypatch):
    before = content(folder)
    for suffix in (".index", ".data-00000-of-00001"):
        (folder.checkpoints / f"best-6{suffix}").touch()
    glob = pathlib.Path.glob
    monkeypatch.setattr(pathlib.Path, "glob", lambda path, pattern: sorted(
        glob(path, pattern), reverse=backwards))
    with folder.locked():
        assert content(folder) == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("links", [True, False])  # not every file system knows them
def test_the_best_checkpoint_is_another_by_a_second_name(links, folder, monkeypatch):
    def no_link(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    for suffix in CHECKPOINT:
        (folder.checkpoints / f"model.ckpt-12{suffix}").write_text(f"weights{suffix}")
    best = folder.name_best(12)  # in the place of what was there by that name
    assert (12, best) in folder.saved("best")
    for suffix in CHECKPOINT:
        assert pathlib.Path(best + suffix).read_text() == f"weights{suffix}"
        assert pathlib.Path(best + suffix).stat().st_nlink == (2 if links else 1)


def test_half_a_copy_is_no_best_checkpoint(folder, monkeypatch):
    def copy_half(source, target):
        pathlib.Path(target).write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", copy_half)
    monkeypatch.setattr(run_folder.shutil, "copyfile", copy_half)
    for suffix in CHECKPOINT:
        (folder.checkpoints / f"model.ckpt-18{suffix}").touch()
    before = content(folder)
    with pytest.raises(OSError, match="No space left"):
        folder.name_best(18)
    with folder.locked():
        assert content(folder) == before


@pytest.mark.parametrize("name", [
    "notes.txt", ".notes.txt.part", "pictures/.conv1.png.part", "checkpoints/my-18.index",
    "checkpoints/model.ckpt-final.index", "checkpoints/model.ckpt-12-copy", "events/notes"])
def test_files_of_others_stay(name, folder):
    (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / name).touch()
    before = content(folder)
    with folder.locked():
        assert content(folder) == before


def test_weights_whose_graph_is_gone_stay_unless_later_ones_are_whole(folder):
    for step in (6, 18):  # a run that removes a checkpoint begins with its graph
        for suffix in CHECKPOINT[:2]:
            (folder.checkpoints / f"model.ckpt-{step}{suffix}").touch()
    with folder.locked():
        left = {path.name for path in folder.checkpoints.glob("model.ckpt-*")}
    assert left == {f"model.ckpt-{step}{suffix}" for step in (12, 18) for suffix in CHECKPOINT
                    } - {"model.ckpt-18.meta"}


def test_a_folder_that_is_cleared_stays_a_run_to_the_last(folder, monkeypatch):
    """Else the same command would refuse what a kill has left of it."""
    folder.recipe_file.write_text("{}")
    removed = []
    monkeypatch.setattr(run_folder, "remove", removed.append)
    folder.clear()
    assert set(removed) == {folder.checkpoints, folder.events, folder.recipe_file}
    assert removed[-1] == folder.recipe_file


def test_a_write_that_fails_names_its_file_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with (pytest.raises(OSError, match=f"No space left on device: '{path}'"),
          replacing(path) as out):
        out.write("after")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------------------------------
# records


def row(step, **figures):
    return {**dict.fromkeys(METRICS), "epoch": step / 6, "step": step, "learning_rate": 0.1,
            "training_loss": 1.0, "training_accuracy": 0.5, **figures}


def summary(tag):
    return tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=1.0)]).SerializeToString()


def told(folder):
    """(step, tag) of every event, the graph's tag being 'graph'."""
    found = []
    for path in sorted(folder.events.iterdir()):
        for event in tf.train.summary_iterator(str(path)):
            found += [(event.step, value.tag) for value in event.summary.value]
            found += [(event.step, "graph")] * bool(event.graph_def)
    return found


@pytest.fixture
def started(tmp_path):
    """A run that has got to step 9, with an epoch recorded at 6, and was killed."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    log = records.Records(folder, 0, "a test")
    for step in (3, 6):
        log.add_summary(summary("loss"), step)
    log.add(row(6))
    log.add_summary(summary("loss"), 9)
    return folder  # not closed: what was added is in the file all the same


ALL = [(0, "graph"), (3, "loss"), (6, "loss"), (6, "epoch/learning_rate"),
       (6, "epoch/training_loss"), (6, "epoch/training_accuracy"), (9, "loss")]


@pytest.mark.parametrize("step, kept", [(9, ALL), (8, ALL[:6]), (6, ALL[:6]), (3, ALL[:2])])
def test_events_past_the_step_are_dropped(step, kept, started):
    log = records.Records(started, step, "a test")
    assert told(started) == kept
    log.add_summary(summary("loss"), 10)
    assert told(started) == [*kept, (10, "loss")]
    assert not [path for path in started.events.iterdir() if path.name.startswith(".")]


def test_an_epoch_that_is_not_in_metrics_is_told_anew(started):
    """A kill between its events and its line of metrics.csv: the loop ends it again."""
    started.metrics_file.unlink()
    log = records.Records(started, 9, "a test")
    assert not log.has(6)
    log.add(row(6))
    assert sorted(told(started)) == sorted(ALL)


@pytest.mark.parametrize("cut", [1, 20, 50])
def test_a_torn_event_is_dropped(cut, started):
    (path,) = started.events.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    records.Records(started, 9, "a test")
    assert told(started) == ALL[:6 if cut < 45 else 3]


def test_starts_that_add_nothing_leave_no_files(started):
    for _ in range(3):
        records.Records(started, 9, "a test")
    assert len(list(started.events.iterdir())) == 2


def test_metrics_are_the_same_when_taken_up(tmp_path):
    """NumPy writes the number 0.0001 as 1e-04, Python as 0.0001."""
    folder = RunFolder(tmp_path)
    log = records.Records(folder, 0, "a test")
    for step in (6, 12):
        log.add(row(step, learning_rate=np.float32(1e-4), training_loss=np.float32(123456789),
                    held_out_accuracy=np.float64(1 / 3)))
    whole = folder.metrics_file.read_bytes()
    records.Records(folder, 6, "a test").add(log.rows[1])
    assert folder.metrics_file.read_bytes() == whole


def test_an_error_on_the_way_out_is_not_told_over_the_first(tmp_path, monkeypatch):
    log = records.Records(RunFolder(tmp_path), 0, "a test")
    log.rows.append(row(6))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_folder, "save_figure", full)
    with pytest.raises(console.Failure, match="the first"):
        try:
            raise console.Failure("the first")
        finally:
            log.close()
    with pytest.raises(OSError, match="No space"):
        log.close()
