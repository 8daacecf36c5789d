"""data/archives.py: small archives that claim much; tests/data/test_locate.py has the others."""

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from tf1cifar.data import archives
from tf1cifar.data.base import DataError


def header(name, size, kind=tarfile.REGTYPE):
    """A header of tar that claims a file of `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def unpack(folder, content):
    """What `unpack` raises or writes, and the most memory that it takes."""
    (folder / "archive").write_bytes(content)
    (folder / "in").mkdir()
    tracemalloc.start()
    try:
        return archives.unpack(folder / "archive", folder / "in", {"a"}.__contains__, 1000)
    finally:
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("content, words", [
    (header("long", 1 << 30, tarfile.GNUTYPE_LONGNAME) + bytes(3 << 20), "a header of 1,07"),
    (header("x", 1 << 30, tarfile.XHDTYPE) + bytes(3 << 20), "a header of 1,07"),
    (header("a", 1 << 40), "a is 1099511627776 bytes long, expected at most 1000"),
    (header("b", 1 << 40), "unexpected end of data|impossible"),
    (b"".join(header(str(number), 0) for number in range(300)), "more than 200 files in it"),
    (header("b", 8 << 20) + bytes(9 << 20), "more than 8,388,608 bytes in it"),
], ids=["a long name", "a pax header", "a huge file", "a huge other file",
        "many files", "many bytes"])
def test_unpack_limits_a_tar_archive(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(archives, "MAX_FILES", 200)
    monkeypatch.setattr(archives, "MAX_UNPACKED", 8 << 20)
    with pytest.raises(DataError, match=words):
        unpack(tmp_path, gzip.compress(content, 1))
    assert archives.list_names(tmp_path / "archive") <= {"a", "b", *map(str, range(300))}


@pytest.mark.parametrize("size", [-1, -512, -1024, -(1 << 40)])
def test_unpack_does_not_go_back_to_a_file_of_negative_length(tmp_path, size):
    """Some versions of tarfile read such an archive for ever."""
    content = header("b", 0) + header("b", size) + header("b", 0) + bytes(1024)
    with contextlib.suppress(DataError):
        assert unpack(tmp_path, content) == set()


def test_unpack_limits_a_zip_archive(tmp_path, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b", bytes(50_000_000))
        archive.writestr("a", "content")
    assert unpack(tmp_path, packed.getvalue()) == {"a"}
    assert (tmp_path / "in/a").read_text() == "content"
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(DataError, match="more than 1 files in it"):
        archives.unpack(tmp_path / "archive", tmp_path, {"a"}.__contains__, 1000)


@pytest.mark.parametrize("flags, method, words", [
    (1, 0, "encrypted"), (0, 99, "compression")], ids=["encrypted", "an unknown compression"])
def test_unpack_names_what_a_zip_archive_cannot_be_read_for(tmp_path, flags, method, words):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "content")
    content = packed.getvalue()
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.index(signature) + place
        content = content[:start] + struct.pack("<HH", flags, method) + content[start + 4:]
    with pytest.raises(DataError, match=words):
        unpack(tmp_path, content)


def test_kind(tmp_path):
    kinds = {}
    for name, content in {
            "zip": b"PK\3\4" + bytes(30), "tar": header("a", 0), "gzip": gzip.compress(b"a"),
            "tar.gz": gzip.compress(header("a", 0)), "bad": b"\x1f\x8b\x08" + bytes(30),
            "empty": b"", "text": b"text"}.items():
        (tmp_path / name).write_bytes(content)
        kinds[name] = archives.kind(tmp_path / name)
    assert kinds == {"zip": "zip", "tar": "tar", "gzip": "", "tar.gz": "tar", "bad": "",
                     "empty": "", "text": ""}
    assert archives.kind(tmp_path) == archives.kind(tmp_path / "absent") == ""


def test_list_names_reads_the_first_part_only(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "PEEKED", 1 << 20)
    (tmp_path / "archive").write_bytes(gzip.compress(
        header("x/first", 512) + bytes(512) + header("large", 2 << 20) + bytes(2 << 20)
        + header("last", 0), 1))
    assert archives.list_names(tmp_path / "archive") == {"first", "large"}
