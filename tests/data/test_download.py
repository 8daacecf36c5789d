"""data/download.py: the cache, the search for a data set, and downloads of single files."""

import pathlib
import socket
import tempfile
import threading

import pytest
from support.folders import tree
from support.web import free_port, md5

from tf1cifar import errors
from tf1cifar.data import download
from tf1cifar.data.base import DataError

# ---------------------------------------------------------------------------------------
# Finding


def test_cache_folder_is_in_xdg_cache_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert download.cache_folder() == tmp_path / "new/tf1-cifar10"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "~/other")
    assert download.cache_folder() == tmp_path / "other/tf1-cifar10"


def test_cache_folder_is_in_the_home_folder_without_xdg(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache/tf1-cifar10"


def test_cache_folder_is_temporary_without_a_home(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file/below"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert download.cache_folder() == tmp_path / "tf1-cifar10"


def test_expanded_replaces_a_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.expanded("~/data") == tmp_path / "data"
    assert download.expanded(pathlib.Path("~")) == tmp_path
    assert download.expanded("a/~") == pathlib.Path("a/~")
    assert download.expanded("~no-such-user/x") == pathlib.Path("~no-such-user/x")


def find_folder(data_dir=None):
    """Find a data set of the files `a` and `b`. Its download only returns a path."""
    return download.find_folder(
        data_dir, variable="CIFAR10_DIR", name="pair",
        has_any=lambda folder: (folder / "a").exists() or (folder / "b").exists(),
        is_complete=lambda folder: (folder / "a").exists() and (folder / "b").exists(),
        download=lambda folder: folder / "downloaded", missing="no pair there")


def pair(folder, names="ab"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_find_folder_prefers_option_variable_here_cache_download(bare, monkeypatch):
    cache = download.cache_folder()
    assert find_folder() == cache / "downloaded"
    cached = pair(cache / "pair")
    assert find_folder() == cached == bare / "cache/tf1-cifar10/pair"
    pair(bare / "pair")
    assert find_folder() == pathlib.Path("pair")
    pair(bare / "variable")
    monkeypatch.setenv("CIFAR10_DIR", "variable")
    assert find_folder() == pathlib.Path("variable")
    option = pair(bare / "option/pair")
    assert find_folder(option) == option
    assert find_folder(str(option.parent)) == option, "the folder above is accepted too"


@pytest.mark.parametrize("name", "ab")
def test_find_folder_takes_half_a_data_set_from_the_user_but_not_from_the_cache(bare, name):
    pair(download.cache_folder() / "pair", name)
    assert find_folder() == download.cache_folder() / "downloaded"
    pair(bare / "pair", name)
    assert find_folder("pair") == find_folder() == pathlib.Path("pair")


def test_find_folder_tries_only_the_named_place(bare, monkeypatch):
    pair(bare / "pair")
    pair(download.cache_folder() / "pair")
    (bare / "empty").mkdir()
    with pytest.raises(DataError, match="^--data-dir empty: no pair there$"):
        find_folder("empty")
    monkeypatch.setenv("CIFAR10_DIR", "absent")
    with pytest.raises(DataError, match="^CIFAR10_DIR absent: no pair there$"):
        find_folder()


def test_find_folder_ignores_an_empty_variable(bare, monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", "")
    assert find_folder() == download.cache_folder() / "downloaded"


def test_find_folder_expands_a_home_folder(bare, monkeypatch):
    monkeypatch.setenv("HOME", str(bare / "home"))
    folder = pair(bare / "home/data/pair")
    assert find_folder("~/data") == find_folder("~/data/pair") == folder
    monkeypatch.setenv("CIFAR10_DIR", "~/data")
    assert find_folder() == folder
    with pytest.raises(DataError, match="^--data-dir ~no-such-user/data: no pair there$"):
        find_folder("~no-such-user/data")


# ---------------------------------------------------------------------------------------
# Downloading


def test_fetch(server, tmp_path):
    content = bytes(range(256)) * 3000
    download.fetch(server.file(content), md5(content).upper(), tmp_path / "file")
    assert tree(tmp_path) == {"file": content}


@pytest.mark.parametrize("case, message", [
    ("other checksum", f"MD5 is {md5(b'content')}, expected 0000"),
    ("cut short", "MD5 is|IncompleteRead"), ("no such file", "Not Found"),
    ("no server", "refused"), ("not a URL", "unknown url type"), ("odd port", "nonnumeric port")])
def test_fetch_says_why_it_failed(server, tmp_path, case, message):
    checksum = "0" * 32 if case == "other checksum" else md5(b"content")
    url = {"cut short": lambda: server.file(b"content", cut=3),
           "no such file": lambda: server.file(b"content") + "/else",
           "no server": lambda: f"http://127.0.0.1:{free_port()}/x",
           "not a URL": lambda: "file.tar.gz",
           "odd port": lambda: "http://127.0.0.1:port/x"}.get(
               case, lambda: server.file(b"content"))()
    with pytest.raises(errors.Failure, match=message) as caught:
        download.fetch(url, checksum, tmp_path / "file")
    assert url in str(caught.value)


@pytest.mark.parametrize("answer", [b"", b"220 an FTP server\r\n", b"HTTP/1.1 200 OK\r\n\r"])
@pytest.mark.parametrize("hangs", [False, True])
def test_fetch_from_a_server_that_does_not_speak_http(tmp_path, answer, hangs):
    """The server closes the connection after its answer, or sends nothing more.

    Both end in the same error on a machine of any speed, because the server never sends the rest.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def talk():
            connection = listener.accept()[0]
            with connection:
                connection.sendall(answer)
                if hangs:
                    done.wait()

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            # If the end of HTTP's header is missing, Python reads an empty file.
            with pytest.raises(errors.Failure, match="cannot download|MD5 is"):
                download.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x", "0" * 32,
                               tmp_path / "file", timeout=0.2 if hangs else 60)
        finally:
            done.set()
            thread.join()


def test_fetch_does_not_hide_errors_of_the_disk(server, tmp_path):
    with pytest.raises(FileNotFoundError):
        download.fetch(server.file(b"content"), md5(b"content"), tmp_path / "absent/file")
