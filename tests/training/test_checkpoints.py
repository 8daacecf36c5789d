"""Checkpoints: which count, which are found, and what a start makes of damaged ones."""

import dataclasses
import errno
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from support.runs import saved, train, variables

from tf1cifar import errors, files, graph, recipes
from tf1cifar.data import base
from tf1cifar.training.checkpoints import SUFFIXES, Checkpoints
from tf1cifar.training.run_folder import RunFolder


@pytest.fixture
def checkpoints(tmp_path):
    """A folder with a complete checkpoint of each kind at step 12."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for kind in ("model.ckpt", "best"):
        for suffix in SUFFIXES:
            (folder / f"{kind}-12{suffix}").touch()
    (folder / "checkpoint").touch()
    return Checkpoints(folder)


def names(checkpoints):
    return {item.name for item in checkpoints.folder.iterdir()}


def test_checkpoints_save_restore_and_tidy_alone(tmp_path):
    """A graph of one number, without a recipe or a run."""
    checkpoints = Checkpoints(tmp_path / "c", max_to_keep=2)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.get_variable("x", initializer=0.0)
        session.run(x.initializer)
        checkpoints.attach()
        assert checkpoints.restore_latest(session) is None
        for step in (1, 2, 3):
            x.load(float(step), session)
            checkpoints.save(session, step)
            if step == 2:
                checkpoints.save_best(session, step, same_as_latest=True)
        x.load(9.0, session)
        checkpoints.save_best(session, 3, same_as_latest=False)
        assert [step for step, _ in checkpoints.saved()] == [2, 3]
        assert [step for step, _ in checkpoints.saved("best")] == [3]
        assert checkpoints.restore_latest(session) == 3
        assert session.run(x) == 3
        assert checkpoints.restore_final(session) == (3, str(tmp_path / "c/best-3"))
        assert session.run(x) == 9
        before = names(checkpoints)
        checkpoints.tidy()
        assert names(checkpoints) == before


@pytest.mark.parametrize("folder", ["c", "{here}/c"])
def test_checkpoints_can_be_moved(folder, tmp_path, monkeypatch):
    """Readers' own scripts find them by TensorFlow's functions, in a folder made by any path."""
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints(pathlib.Path(folder.format(here=tmp_path)))
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.get_variable("x", initializer=0.0)
        checkpoints.attach()
        for step in (1, 2):
            session.run(x.assign(float(step)))
            checkpoints.save(session, step)
            checkpoints.save_best(session, step, same_as_latest=step == 2)
            assert tf.train.latest_checkpoint("c", "best_checkpoint") == f"c/best-{step}"
    moved = tmp_path / "moved here"
    os.rename("c", moved)
    for file, prefix in (("checkpoint", "model.ckpt"), ("best_checkpoint", "best")):
        assert tf.train.latest_checkpoint(str(moved), file) == str(moved / f"{prefix}-2")
    state = tf.train.get_checkpoint_state(str(moved))
    assert list(state.all_model_checkpoint_paths) == [str(moved / f"model.ckpt-{step}")
                                                      for step in (1, 2)]
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.import_meta_graph(state.model_checkpoint_path + ".meta")
        saver.restore(session, state.model_checkpoint_path)
        assert session.run(tf.global_variables()) == [2]


@pytest.mark.parametrize("gone", ["/gone/a b/checkpoints/", r"C:\\runs\\", ""])
def test_tidy_removes_folders_from_the_state_files(gone, checkpoints):
    """Older runs wrote the paths of their checkpoints as they were given."""
    for kind, file in (("model.ckpt", "checkpoint"), ("best", "best_checkpoint")):
        (checkpoints.folder / file).write_text(
            f'model_checkpoint_path: "{gone}{kind}-12"\n'
            f'all_model_checkpoint_paths: "{gone}{kind}-6"\n'
            f'all_model_checkpoint_paths: "{gone}{kind}-12"\nlast_preserved_timestamp: 1.5\n')
    checkpoints.tidy()
    for kind, file in (("model.ckpt", "checkpoint"), ("best", "best_checkpoint")):
        assert (checkpoints.folder / file).read_text() == (
            f'model_checkpoint_path: "{kind}-12"\nall_model_checkpoint_paths: "{kind}-6"\n'
            f'all_model_checkpoint_paths: "{kind}-12"\nlast_preserved_timestamp: 1.5\n')


def test_tidy_leaves_a_huge_state_file_alone(checkpoints):
    text = '"/gone/x"\n' * 10_000
    (checkpoints.folder / "checkpoint").write_text(text)
    checkpoints.tidy()
    assert (checkpoints.folder / "checkpoint").read_text() == text


def test_save_gives_averages_the_names_of_variables_to_restore(tmp_path):
    """A reader's script builds the network alone and restores the averages as its weights."""
    recipe = dataclasses.replace(recipes.RECIPES["two_layer_fc"], moving_average=0.9)
    checkpoints = Checkpoints(tmp_path)
    averages, rng = {}, np.random.default_rng(3)
    with tf.Graph().as_default(), tf.Session() as session:
        graph.build(recipe, (4, 4, 1), 10, 1000)
        session.run(tf.global_variables_initializer())
        for variable in tf.global_variables():
            if variable.op.name.endswith("/ExponentialMovingAverage"):
                averages[variable.op.name] = rng.normal(size=variable.shape).astype(np.float32)
                variable.load(averages[variable.op.name], session)
        checkpoints.attach()
        checkpoints.save(session, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [None, 4, 4, 1])
        graph.network_logits(recipe, images, 10, tf.constant(False))
        names = tf.train.ExponentialMovingAverage(0.9).variables_to_restore()
        tf.train.Saver(names).restore(session, tf.train.latest_checkpoint(str(tmp_path)))
        weights = session.run(names)
    assert len(averages) == 4 and weights.keys() == averages.keys()
    for name, value in averages.items():
        np.testing.assert_array_equal(weights[name], value)


def test_saved_counts_complete_checkpoints_only(checkpoints):
    for name in ("model.ckpt-9.index", "model.ckpt-final.index", "model.ckpt-7.meta", "my-5.index"):
        (checkpoints.folder / name).touch()
    assert checkpoints.saved() == [(12, str(checkpoints.folder / "model.ckpt-12"))]
    assert Checkpoints(checkpoints.folder / "nowhere").saved() == []


def test_find(whole_run):
    latest = str(whole_run.checkpoints / "model.ckpt-18")
    checkpoints = Checkpoints(whole_run.checkpoints)
    for name in ("latest", latest, f"{latest}.index", f"{latest}.meta", "model.ckpt-18",
                 f"{latest}.data-00000-of-00001", "model.ckpt-18.data-00000-of-00001"):
        assert checkpoints.find(name) == latest
    assert checkpoints.find("best") == saved(whole_run, "best")[-1][1]
    with pytest.raises(errors.UserError, match="no such checkpoint.*model.ckpt-18"):
        checkpoints.find("nowhere")


def test_find_expands_variables(whole_run, monkeypatch):
    monkeypatch.setenv("HOME", str(whole_run.path.parent))
    monkeypatch.setenv("MY_RUN", str(whole_run.path))
    latest = str(whole_run.checkpoints / "model.ckpt-18")
    for name in (f"~/{whole_run.path.name}/checkpoints/model.ckpt-18.data-00000-of-00001",
                 "$MY_RUN/checkpoints/model.ckpt-18", "${MY_RUN}/checkpoints/model.ckpt-18.index"):
        assert Checkpoints(whole_run.checkpoints).find(name) == latest


def test_find_names_the_files_that_a_copied_checkpoint_lacks(tmp_path):
    alone = tmp_path / "model.ckpt-18.data-00000-of-00001"
    alone.touch()
    words = f"{alone} is there without model.ckpt-18.index and model.ckpt-18.meta; copy all files"
    for name in (str(alone), "model.ckpt-18", "model.ckpt-18.index"):
        with pytest.raises(errors.UserError, match=words):
            Checkpoints(tmp_path).find(name)
    with pytest.raises(errors.UserError, match=words):
        Checkpoints(tmp_path).final()
    with pytest.raises(errors.UserError, match=words):
        Checkpoints(tmp_path).find("latest")
    with pytest.raises(errors.UserError, match="no such checkpoint"):
        Checkpoints(tmp_path).find("model.ckpt-1")


def test_find_without_checkpoints(tmp_path):
    with pytest.raises(errors.UserError, match="no latest checkpoint"):
        Checkpoints(tmp_path).find("latest")
    with pytest.raises(errors.UserError, match="no checkpoint yet"):
        Checkpoints(tmp_path).final()


def test_final_is_the_measured_one_else_the_best(checkpoints):
    assert checkpoints.final() == str(checkpoints.folder / "best-12")
    assert checkpoints.final("model.ckpt-12") == str(checkpoints.folder / "model.ckpt-12")
    assert checkpoints.final("model.ckpt-99") == str(checkpoints.folder / "best-12")


@pytest.mark.parametrize("left", [[".index"], [".index", ".data-00000-of-00001"]])
def test_tidy_names_a_checkpoint_that_lost_files(left, checkpoints, capsys):
    for suffix in left:
        (checkpoints.folder / f"model.ckpt-18{suffix}").touch()
    checkpoints.tidy()
    printed = capsys.readouterr().err
    assert "model.ckpt-18.index: other files of this checkpoint are missing" in printed
    assert ("model.ckpt-18.index" in names(checkpoints)) == (len(left) == 2)


@pytest.mark.parametrize("backwards", [False, True])  # a folder lists its files in any order
def test_tidy_removes_a_half_removed_checkpoint_silently(
        backwards, checkpoints, capsys, monkeypatch):
    before = names(checkpoints)
    for suffix in (".index", ".data-00000-of-00001"):
        (checkpoints.folder / f"best-6{suffix}").touch()
    glob = pathlib.Path.glob
    monkeypatch.setattr(pathlib.Path, "glob", lambda path, pattern: sorted(
        glob(path, pattern), reverse=backwards))
    checkpoints.tidy()
    assert names(checkpoints) == before
    assert capsys.readouterr().err == ""


def test_tidy_keeps_weights_without_a_graph_unless_later_ones_are_complete(checkpoints):
    for step in (6, 18):  # Saver removes the graph of an old checkpoint first
        for suffix in SUFFIXES[:2]:
            (checkpoints.folder / f"model.ckpt-{step}{suffix}").touch()
    checkpoints.tidy()
    left = {path.name for path in checkpoints.folder.glob("model.ckpt-*")}
    assert left == {f"model.ckpt-{step}{suffix}" for step in (12, 18) for suffix in SUFFIXES
                    } - {"model.ckpt-18.meta"}


@pytest.mark.parametrize("links", [True, False])  # not every file system has links
def test_save_best_is_a_second_name_of_the_latest(links, checkpoints, monkeypatch):
    def no_link(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    for suffix in SUFFIXES:
        (checkpoints.folder / f"model.ckpt-12{suffix}").write_text(f"weights{suffix}")
    checkpoints.save_best(None, 12, same_as_latest=True)  # in place of the best one of this name
    (_, best), = checkpoints.saved("best")
    for suffix in SUFFIXES:
        assert pathlib.Path(best + suffix).read_text() == f"weights{suffix}"
        assert pathlib.Path(best + suffix).stat().st_nlink == (2 if links else 1)


def test_save_best_writes_the_index_last(checkpoints, monkeypatch):
    """A checkpoint counts as soon as its index is there."""
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (
        order.append(target.name), replace(source, target)))
    checkpoints.save_best(None, 12, same_as_latest=True)
    assert order == ["best-12.meta", "best-12.data-00000-of-00001", "best-12.index",
                     "best_checkpoint"]


def test_save_best_never_counts_half_a_copy(checkpoints, monkeypatch):
    def no_link(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    def copy_half(source, out, length):
        out.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setattr(files.shutil, "copyfileobj", copy_half)
    for suffix in SUFFIXES:
        (checkpoints.folder / f"model.ckpt-18{suffix}").touch()
    before = names(checkpoints)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save_best(None, 18, same_as_latest=True)
    checkpoints.tidy()
    assert names(checkpoints) == before


@pytest.fixture
def copied_run(whole_run, tmp_path):
    """A copy of the finished run, to damage, without the result that makes it finished."""
    shutil.copytree(whole_run.path, tmp_path / "copy")
    folder = RunFolder(tmp_path / "copy")
    folder.result_file.unlink()
    return folder


def damage(path, how):
    """Cut the file short, flip a bit of it, or remove it."""
    path = pathlib.Path(path)
    content = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(content[:len(content) // 2])
    elif how == "flipped":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES[:2])
@pytest.mark.parametrize("how", ["cut", "flipped", "missing"])
def test_restore_latest_uses_the_one_before_a_damaged_one(
        suffix, how, copied_run, whole_run, recipe, dataset, capsys):
    damage(copied_run.checkpoints / f"model.ckpt-18{suffix}", how)
    (copied_run.checkpoints / "checkpoint").write_text("model_checkpoint_pa")
    folder = train(recipe, dataset, copied_run.path)
    printed = capsys.readouterr()
    assert "resuming from step 12 of 18" in printed.out
    assert how == "missing" or "model.ckpt-18: cannot be restored" in printed.err
    assert variables(folder) == variables(whole_run)
    assert folder.metrics_file.read_bytes() == whole_run.metrics_file.read_bytes()


def test_restore_latest_fails_when_no_checkpoint_is_good(copied_run, recipe, dataset):
    for _, path in saved(copied_run):
        damage(f"{path}.index", "cut")
    with pytest.raises(errors.Failure, match="no checkpoint can be restored; --overwrite"):
        train(recipe, dataset, copied_run.path)


def test_restore_latest_fails_when_the_checkpoints_are_gone(copied_run, recipe, dataset):
    for file in copied_run.checkpoints.iterdir():
        if file.suffix != ".index":
            file.unlink()
    before = copied_run.metrics_file.read_bytes()
    with pytest.raises(errors.Failure, match="no checkpoint can be restored; --overwrite"):
        train(recipe, dataset, copied_run.path)
    assert copied_run.metrics_file.read_bytes() == before


@pytest.mark.slow
def test_restore_latest_removes_more_than_are_kept(recipe, dataset, tmp_path):
    recipe = dataclasses.replace(recipe, max_to_keep=2, epochs=2)
    train(recipe, dataset, tmp_path)
    folder = train(dataclasses.replace(recipe, epochs=4), dataset, tmp_path)
    assert [step for step, _ in saved(folder)] == [18, 24]
    assert len(saved(folder, "best")) == 1


def test_restore_final_uses_the_latest_when_the_best_is_damaged(
        copied_run, recipe, dataset, capsys):
    (_, best), = saved(copied_run, "best")
    damage(f"{best}.index", "cut")
    train(recipe, dataset, copied_run.path)
    assert f"{best}: cannot be restored" in capsys.readouterr().err
    assert copied_run.read_result()["checkpoint"] == "model.ckpt-18"
    assert copied_run.checkpoint_path() == saved(copied_run)[-1][1]


OWN_FILES = ("best-6.onnx", "model.ckpt-6.notes.txt", "model.ckpt-6.index.bak",
             "model.ckpt-6.tar.gz", "my-checkpoint.tmp-notes", "model.ckpt-6.tflite",
             ".notes.part", "model.ckpt-x.index", "checkpoint.tmp",
             "model.ckpt-18.data-00000-of-00001.tempstate")


def test_own_files_beside_the_checkpoints_stay(copied_run, recipe, dataset):
    """When a run is tidied, trained on, and its older checkpoints are removed."""
    for name in OWN_FILES:
        (copied_run.checkpoints / name).write_text("mine")
    Checkpoints(copied_run.checkpoints).tidy()
    train(dataclasses.replace(recipe, epochs=4, max_to_keep=1), dataset, copied_run.path)
    assert [step for step, _ in saved(copied_run)] == [24]
    for name in OWN_FILES:
        assert (copied_run.checkpoints / name).read_text() == "mine"


@pytest.mark.parametrize("name", [
    "lr[0.1]", "g?", "a\\b", "two\nlines '\" %d", b"b\xffd".decode("utf-8", "surrogateescape"),
    "ü" + "x" * 200])
def test_a_run_folder_may_have_any_name(name, tmp_path):
    """It is trained in, resumed and restored. A folder that it seems to name stays as it is."""
    from tf1cifar.training import restore
    other = tmp_path / "g1/checkpoints/model.ckpt-1.index"
    other.parent.mkdir(parents=True)
    other.write_text("another run")
    rng = np.random.default_rng(0)
    splits = [base.Split(rng.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8), np.arange(40) % 10)
              for _ in range(2)]
    small = base.Dataset("cifar10", "/nowhere", tuple("abcdefghij"), *splits)
    recipe = dataclasses.replace(recipes.RECIPES["hinge"], batch_size=20, steps_per_run=1,
                                 precision="float32", max_to_keep=1, held_out=0.5)
    train(dataclasses.replace(recipe, epochs=2, schedule="constant"), small, tmp_path / name)
    folder = train(dataclasses.replace(recipe, epochs=3, schedule="constant"), small,
                   tmp_path / name)
    assert [step for step, _ in saved(folder)] == [3]
    for via in ("saver", "meta_graph", "saved_model"):
        with restore.restored(folder, via=via, device="cpu") as (session, _):
            assert session.run("global_step:0") == folder.read_result()["checkpoint_step"]
    assert folder.event_files() and other.read_text() == "another run"
