"""Locks and scratch folders: what one process holds, others leave alone."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest
from support.folders import tree

from tf1cifar import errors, locks

ROOT = pathlib.Path(__file__).parents[1]


def test_lock_keeps_other_processes_out_until_it_is_freed(tmp_path):
    path = tmp_path / ".lock"
    attempt = [sys.executable, "-c", "import sys, pathlib\nfrom tf1cifar import locks\n"
               "try:\n  with locks.lock(pathlib.Path(sys.argv[1])) as new: print(new)\n"
               "except BlockingIOError: print('locked')", str(path)]

    def tried():
        return subprocess.run(attempt, cwd=ROOT, text=True, capture_output=True,
                              check=True).stdout.strip()

    with locks.lock(path) as new:
        assert new and tried() == "locked"
    assert tried() == "False"
    path.unlink()
    assert tried() == "True"


def test_is_held_tells_without_making_or_keeping_a_lock(tmp_path):
    path = tmp_path / ".lock"
    assert not locks.is_held(path) and not path.exists()
    with locks.lock(path):
        assert locks.is_held(path)
    assert not locks.is_held(path)
    with locks.lock(path):
        pass
    (tmp_path / "link").symlink_to(path)
    with locks.lock(path):
        assert not locks.is_held(tmp_path / "link")  # no run of this project makes one
    os.mkfifo(tmp_path / "pipe")
    assert not locks.is_held(tmp_path / "pipe") and not locks.is_held(tmp_path)


def test_lock_is_not_that_of_a_file_removed_meanwhile(tmp_path, monkeypatch):
    """The holder may remove the file after another process has opened it."""
    path, calls = tmp_path / ".lock", []

    def flock(file, how):
        calls.append(file.name)
        if len(calls) == 1:
            path.unlink()

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with locks.lock(path):
        assert len(calls) == 2 and path.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_lock_goes_on_with_a_word_where_the_file_system_has_no_locks(
        number, tmp_path, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with locks.lock(tmp_path / ".lock") as new:
        assert new and (tmp_path / ".lock").exists()
    assert capsys.readouterr().err == (
        f"{tmp_path} is not locked, since its file system has no locks ({os.strerror(number)}); "
        "start no second run there\n")


@pytest.mark.parametrize("number, error", [
    (errno.EWOULDBLOCK, BlockingIOError), (errno.EACCES, BlockingIOError), (errno.EIO, OSError)])
def test_lock_fails_where_a_lock_is_held_or_broken(number, error, tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(OSError) as caught, locks.lock(tmp_path / ".lock"):
        pass
    assert type(caught.value) is error


@pytest.mark.parametrize("make, words", [
    (lambda path: path.symlink_to(path.with_name("victim")), "is a link"),
    (os.mkfifo, "is no plain file")])
def test_lock_refuses_what_is_no_file(make, words, tmp_path):
    make(tmp_path / ".lock")
    with pytest.raises(errors.UserError, match=words), locks.lock(tmp_path / ".lock"):
        pytest.fail("it was opened")
    assert not (tmp_path / "victim").exists()


def test_scratch_is_new_private_and_gone_at_the_end(tmp_path):
    with locks.scratch(tmp_path / "file") as one, locks.scratch(tmp_path / "file") as two:
        assert one != two and one.parent == two.parent == tmp_path
        assert one.stat().st_mode & 0o777 == 0o700
        (one / "x").touch()
    assert tree(tmp_path) == {}


def test_scratch_names_its_target_in_errors(tmp_path):
    for error in (OSError(errno.ENOSPC, "No space left on device"), None):
        with pytest.raises(OSError, match=f"'{tmp_path}/file'"), locks.scratch(
                tmp_path / "file") as place:
            if error:
                raise error
            open(place / "nothing")
    with (pytest.raises(FileNotFoundError, match=f"'{tmp_path}/other'"),
          locks.scratch(tmp_path / "file")):
        open(tmp_path / "other")
    with pytest.raises(OSError) as caught, locks.scratch(tmp_path / "absent/file"):
        pass
    assert caught.value.filename == f"{tmp_path}/absent/file"


def test_remove_scratch_leaves_alone_what_is_in_use_or_not_ours(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious").touch()
    (tmp_path / ".tf1cifar-00000000").mkdir()
    (tmp_path / ".tf1cifar-00000000/link").symlink_to(tmp_path / "mine")
    (tmp_path / ".tf1cifar-00000001").symlink_to(tmp_path / "mine")
    (tmp_path / ".tf1cifar-00000002").touch()
    (tmp_path / ".tf1cifar-000000030").mkdir()
    with locks.scratch(tmp_path / "file") as place:
        locks.remove_scratch(tmp_path)
        assert place.is_dir()
    assert {name: content for name, content in tree(tmp_path).items() if "/" not in name} == {
        "mine": None, ".tf1cifar-00000001": None, ".tf1cifar-00000002": b"",
        ".tf1cifar-000000030": None}
    assert (tmp_path / "mine/precious").exists()


def test_remove_scratch_does_not_look_behind_a_link(tmp_path):
    (tmp_path / "other/.tf1cifar-00000000").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "other")
    locks.remove_scratch(tmp_path / "link")
    assert (tmp_path / "other/.tf1cifar-00000000").exists()


def test_scratch_is_made_again_if_it_is_removed_before_it_is_held(tmp_path, monkeypatch):
    """By another process, which takes it for that of a process that died."""
    flock, removed = locks.fcntl.flock, []

    def late(number, how):
        if not removed:
            removed.append(next(tmp_path.iterdir()))
            removed[0].rmdir()
        flock(number, how)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with locks.scratch(tmp_path / "file") as place:
        assert place.is_dir() and place != removed[0]


def test_scratch_needs_no_locks(tmp_path, monkeypatch):
    def flock(number, how):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with locks.scratch(tmp_path / "file") as place:
        locks.remove_scratch(tmp_path)
        assert place.is_dir()
