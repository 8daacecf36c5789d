"""Files are written whole or not at all, and in one module."""

import ast
import errno
import os
import pathlib

import pytest
from support.folders import tree

from tf1cifar import errors, files

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("mode, content", [("w", "Straße\n"), ("wb", b"\x00\xff")])
def test_replacing_replaces_whole(mode, content, tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with files.replacing(path, mode) as out:
        out.write(content)
        assert path.read_text() == "before"
    assert path.read_bytes() == (content if mode == "wb" else content.encode())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyError(1)])
def test_replacing_keeps_the_old_file_when_the_block_raises(error, tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(type(error)) as caught, files.replacing(path) as out:
        out.write("after")
        raise error
    if isinstance(error, OSError):
        assert str(caught.value) == f"[Errno 28] No space left on device: '{path}'"
    assert tree(tmp_path) == {"file": b"before"}


def test_replacing_names_the_file_that_cannot_be_opened(tmp_path):
    with (pytest.raises(FileNotFoundError, match=f"No such file or directory: '{tmp_path}/a/b'"),
          files.replacing(tmp_path / "a/b")):
        pass


def test_replacing_reports_a_disk_that_is_full_at_the_flush(tmp_path, monkeypatch):
    """A small text stays in Python's buffer until the file is closed."""
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *mode, **rest: (
        opened("/dev/full", os.O_WRONLY) if mode else opened(path, flags, **rest)))
    with (pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/file'"),
          files.replacing(tmp_path / "file") as out):
        out.write("x")
    assert tree(tmp_path) == {}


def test_replacing_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    with files.replacing(tmp_path / "file") as out:
        out.write("x")
    assert tree(tmp_path) == {"victim": b"precious", "file": b"x"}


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with files.replacing(tmp_path / "file") as one:
        with files.replacing(tmp_path / "file") as two:
            two.write("two")
        one.write("one")
        assert (tmp_path / "file").read_text() == "two"
    assert tree(tmp_path) == {"file": b"one"}


def test_filling_moves_the_files_in_order(tmp_path, monkeypatch):
    moved, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (moved.append(new.name), replace(old, new)))
    with files.filling(tmp_path, ["b", "a"]) as place:
        for name in "ab":
            (place / name).write_text(name)
        (place / "c").touch()
        assert [item for item in tmp_path.iterdir()] == [place]
    assert moved == ["b", "a"] and tree(tmp_path) == {"a": b"a", "b": b"b"}


def test_open_new_names_the_file_of_a_full_disk(tmp_path, monkeypatch):
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode: opened("/dev/full", os.O_WRONLY))
    with (pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/file'"),
          files.open_new(tmp_path / "file") as out):
        out.write(b"x")


def test_new_folder_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "deep/target"
    with files.new_folder(target, "refuse") as made:
        with files.open_new(made / "a") as out:
            out.write(b"1")
        assert not target.exists()
    assert tree(tmp_path / "deep") == {"target": None, "target/a": b"1"}


def test_new_folder_disappears_when_the_block_raises(tmp_path):
    with pytest.raises(KeyError), files.new_folder(tmp_path / "target", "merge") as made:
        (made / "a").touch()
        raise KeyError
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("existing, expected", [
    ("merge", {"a": b"new", "b": b"mine"}), ("refuse", {"a": b"old", "b": b"mine"})])
def test_new_folder_where_one_is_already(existing, expected, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "b").write_text("mine")
    try:
        with files.new_folder(target, existing) as made:
            (made / "a").write_text("new")
    except OSError:
        assert existing == "refuse"
    assert tree(target) == expected
    assert list(tmp_path.iterdir()) == [target]


def test_replacing_folder_replaces_whole(tmp_path):
    target = tmp_path / "target"
    for number in range(2):
        with files.replacing_folder(target) as made:
            made.mkdir()
            (made / str(number)).touch()
            assert target.exists() == bool(number)
        assert tree(tmp_path) == {"target": None, f"target/{number}": b""}


def test_replacing_folder_keeps_the_old_one_when_the_block_raises(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(KeyError), files.replacing_folder(target) as made:
        made.mkdir()
        raise KeyError
    assert target.exists()


@pytest.mark.parametrize("there", [True, False])
def test_replacing_folder_replaces_a_link_and_not_what_it_points_to(there, tmp_path):
    if there:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/precious").touch()
    (tmp_path / "target").symlink_to(tmp_path / "mine")
    with files.replacing_folder(tmp_path / "target") as made:
        made.mkdir()
    assert tree(tmp_path) == {"target": None, **(
        {"mine": None, "mine/precious": b""} if there else {})}
    assert not (tmp_path / "target").is_symlink()


def test_replacing_folder_puts_the_old_one_back(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/old").touch()
    with pytest.raises(FileNotFoundError), files.replacing_folder(tmp_path / "target"):
        pass  # makes nothing
    assert tree(tmp_path) == {"target": None, "target/old": b""}


def test_new_folder_removes_what_a_killed_process_left(tmp_path):
    """A download of half a gigabyte, say; other files and folders stay."""
    (tmp_path / ".tf1cifar-0123abc_").mkdir()
    (tmp_path / ".tf1cifar-0123abc_/tarball").touch()
    (tmp_path / ".tf1cifar-mine").mkdir()
    with files.new_folder(tmp_path / "target", "refuse"):
        pass
    assert tree(tmp_path) == {".tf1cifar-mine": None, "target": None}


def test_replacing_and_open_new_force_the_content_to_the_disk(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (
        synced.append(os.fstat(number).st_size), fsync(number)))
    with files.replacing(tmp_path / "a") as out:
        out.write("12")
    with files.new_folder(tmp_path / "b", "refuse") as made, files.open_new(made / "c") as out:
        out.write(b"123")
    assert synced == [2, 3]


def test_require_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in ("new", "new/deeper", "."):
        files.require_folder(tmp_path / path, "--out")
    for path in ("file", "file/deeper"):
        with pytest.raises(errors.UserError, match=f"--out .*{path}: .*file is not a folder"):
            files.require_folder(tmp_path / path, "--out")


def test_remove_takes_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "nowhere")
    assert tree(tmp_path) == {"folder": None, "folder/file": b""}


def test_write_json_and_read_it(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": [1, None]})
    assert files.read_json(tmp_path / "x.json") == {"a": [1, None]}
    with pytest.raises(errors.UserError, match="no such file; is this the folder of a run"):
        files.read_json(tmp_path / "y.json")


@pytest.mark.parametrize("make, words", [
    (lambda path: path.symlink_to("/dev/zero"), "expected a text file"),
    (os.mkfifo, "expected a text file"),
    (lambda path: path.mkdir(), "expected a text file"),
    (lambda path: (path.touch(), os.truncate(path, 2 ** 40)), "at most 64 MiB")])
def test_read_json_of_something_else_is_one_line(make, words, tmp_path):
    make(tmp_path / "x.json")
    with pytest.raises(errors.UserError, match=words):
        files.read_json(tmp_path / "x.json")


# ---------------------------------------------------------------------------------------
# The only place

WRITERS = {"write_text", "write_bytes", "touch", "savefig", "savetxt", "savez", "tofile", "copy",
           "copyfile", "copy2", "copytree", "move", "mkstemp", "link", "symlink_to", "hardlink_to",
           "replace", "rename", "extract", "extractall", "save", "TFRecordWriter"}
# TensorFlow writes these files itself; the others are no files, or lie in a scratch folder.
EXCEPTIONS = {
    "compare_runs.py": {"figure.savefig"},  # to memory
    "tf1cifar/export/writing.py": {"np.savez"},
    "tf1cifar/export/consumers.py": {"np.savez"},
    "tf1cifar/export/comparison.py": {"np.save"},
    "tf1cifar/export/forms.py": {"builder.save", "np.savez"},
    "tf1cifar/training/board.py": {"Image.fromarray(image).save", "image.savefig"},  # to memory
    "tf1cifar/training/initialization.py": {"trainer.checkpoints.save"},
    "tf1cifar/training/records.py": {"tf.io.TFRecordWriter", "path.rename"},
    "tf1cifar/training/checkpoints.py": {"saver.save"},
    "tf1cifar/training/export.py": {"builder.save"},
    "tf1cifar/training/loop.py": {"self.save", "self.checkpoints.save"},
    "tf1cifar/data/preparation.py": {"np.save"},  # to memory
}
NO_FILES = {"dataclasses.replace", "held_out._replace", "copy.copy"}


def opens_for_writing(call):
    """Whether a call of `open` may write: its mode is not a constant, or names more than reading.

    `os.open` has flags, and the method `open` of a path has its mode first.
    """
    function = ast.unparse(call.func)
    if function == "os.open":
        return "os.O_RDONLY" != ast.unparse(call.args[1])
    if function in ("tarfile.open", "Image.open"):
        return False  # reads, whatever the mode
    position = 1 if function == "open" else 0
    modes = call.args[position:position + 1] + [
        keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    return any(not isinstance(mode, ast.Constant) or set(mode.value) & set("wax+")
               for mode in modes)


def writing_calls(source, exceptions=()):
    """The calls in Python source that may write a file."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        function = ast.unparse(call.func)
        last = function.rpartition(".")[2]
        if last == "replace" and isinstance(call.func, ast.Attribute) and not (
                function.startswith(("os.", "path.", "partial."))):
            continue  # of a text
        if (last == "open" and "devnull" not in ast.unparse(call) and opens_for_writing(call)
                or last in WRITERS and function not in exceptions and function not in NO_FILES):
            found.append(ast.unparse(call))
    return found


def test_files_is_the_only_module_that_writes_files():
    modules = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
               for path in (*ROOT.glob("*.py"), *ROOT.glob("tf1cifar/**/*.py"))}
    for name in ("files", "locks"):
        del modules[f"tf1cifar/{name}.py"]
    found = {name: writing_calls(source, EXCEPTIONS.get(name, ()))
             for name, source in modules.items()}
    assert len(found) > 30
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize("code", [
    "open(path, 'wb')", "open(path, mode='a')", "open(path, 'w', encoding='utf-8')",
    "open(path, 'w', newline='')", "open(path, mode)", "path.open('w', encoding='utf-8')",
    "os.open(path, os.O_CREAT | os.O_WRONLY)", "os.replace(a, b)", "path.write_text('x')",
    "figure.savefig(path)", "np.save(path, x)"])
def test_writing_calls_sees_every_form(code):
    assert writing_calls(code) == [code]
    assert writing_calls("open(p, 'rb'); open(p); p.open('r'); text.replace('a', 'b')") == []
