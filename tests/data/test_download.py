"""data/download.py: the cache, and downloads of single files."""

import os
import socket
import tempfile
import threading

import pytest
from support.folders import tree
from support.web import free_port, md5

from tf1cifar import errors
from tf1cifar.data import download

# ---------------------------------------------------------------------------------------
# The cache


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
    folder = tmp_path / f"tf1-cifar10-{os.getuid()}"
    assert download.cache_folder() == folder and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # anyone could have put files there
    with pytest.raises(errors.Failure, match="is open to others"):
        download.cache_folder()
    folder.rmdir()
    (tmp_path / "mine").mkdir()
    folder.symlink_to(tmp_path / "mine")
    with pytest.raises(errors.Failure, match="XDG_CACHE_HOME"):
        download.cache_folder()


def test_cache_folder_in_a_folder_of_everybody_is_ours(tmp_path, monkeypatch):
    """XDG_CACHE_HOME=/tmp, where anyone may take the name first."""
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "tf1-cifar10"
    assert download.cache_folder() == folder and folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(errors.Failure, match="belongs to another user"):
        download.cache_folder()


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


def test_fetch_gives_up_a_server_that_sends_too_slowly_or_without_end(
        server, tmp_path, monkeypatch):
    content = bytes(3 << 20)
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 20)
    with pytest.raises(errors.Failure, match="it sends more than 1,048,576 bytes"):
        download.fetch(server.file(content), md5(content), tmp_path / "long")
    monkeypatch.setattr(download, "MAX_BYTES", 1 << 30)
    monkeypatch.setattr(download, "PATIENCE", 0.0)
    monkeypatch.setattr(download, "SLOWEST", 1e15)
    with pytest.raises(errors.Failure, match="it sends .* bytes a second"):
        download.fetch(server.file(content), md5(content), tmp_path / "file")


def test_fetch_names_a_proxy_and_no_password(tmp_path, monkeypatch):
    proxy = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("http_proxy", f"http://me:secret@{proxy}")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(errors.Failure) as caught:
        download.fetch("http://user:hidden@example.org/a/file", "0" * 32, tmp_path / "file")
    message = str(caught.value)
    assert message.startswith("cannot download http://example.org/a/file through the proxy "
                              f"http://{proxy}: ")
    assert "secret" not in message and "hidden" not in message


def test_fetch_says_what_it_downloads_and_from_where(server, tmp_path, capsys):
    content = bytes(2_000_000)
    download.fetch(server.file(content), md5(content), tmp_path / "file")
    assert capsys.readouterr().err == "downloading file (2 MB) from 127.0.0.1\n"
