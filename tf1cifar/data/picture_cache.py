"""The pixels of picture files, decoded once and kept in the cache.

    decode  the pixels of all pictures that can be read
    stamp   size and time of a file

The cache has a file of pixels and an index for each folder of pictures. A picture is decoded again
if its size or time has changed, or by another version of Pillow.
"""

import concurrent.futures
import hashlib
import json
import os
import sys
import warnings
import zlib

import numpy as np

from tf1cifar import console, files, machine
from tf1cifar.data import base, own_pictures
from tf1cifar.data.download import cache_folder

CHUNK = 256  # number of pictures that Ctrl-C waits for at most
NAMED = 10  # number of unreadable pictures that are named one by one
DECODING = 1  # changes whenever the same file gives other pixels, so that no older cache is used


def decode(folder, paths, size):
    """The pixels of all pictures that can be read; the others are named on standard error.

    Args:
      folder: path of the folder.
      paths: paths of the pictures within the folder, each once.
      size: height and width of the images in pixels.

    Returns:
      (images, kept, mistakes): uint8 [N, size, size, 3]; the list of the N paths that could be
      read, in the order of `paths`; a dictionary from each other path to a line about it.
    """
    cached, rows = _read_cache(folder, size)
    stamps = {path: stamp(folder / path) for path in paths}
    images, kept, entries, bad = np.empty((len(paths), size, size, 3), np.uint8), [], {}, {}

    def pixels(path):
        entry = rows.get(path)
        if entry and entry[:2] == stamps[path]:
            return entry[2] if isinstance(entry[2], str) else cached[entry[2]]
        try:
            return own_pictures.read_image(folder / path, (size, size, 3))
        except base.DataError as error:
            return str(error)

    with (concurrent.futures.ThreadPoolExecutor(machine.cores()) as threads,
          console.progress(len(paths), "reading pictures") as bar, warnings.catch_warnings()):
        warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start:start + CHUNK]
            for path, row in zip(chunk, threads.map(pixels, chunk)):
                if isinstance(row, str):
                    bad[path] = row
                else:
                    images[len(kept)] = row
                    row = len(kept)
                    kept.append(path)
                entries[path] = [*stamps[path], row]
                bar.update(len(entries))
    cached = None  # Windows cannot replace a file that is in use
    for message in list(bad.values())[:NAMED]:
        print(f"left out: {message}", file=sys.stderr)
    if len(bad) > NAMED:
        print(f"left out: {len(bad) - NAMED:,} more pictures that cannot be read", file=sys.stderr)
    images = images[:len(kept)]
    if entries != rows:
        _write_cache(folder, size, images, entries)
    return images, kept, bad


def stamp(path):
    """[size, time] of a file: if both are the same, so is the picture."""
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def _cache_files(folder, size):
    """(pixels, index): the paths of the cache's two files for a folder."""
    import PIL
    key = repr((os.path.abspath(folder), size, PIL.__version__, DECODING))
    name = hashlib.sha256(os.fsencode(key)).hexdigest()[:24]
    return tuple(cache_folder() / "pictures" / f"{name}.{suffix}" for suffix in ("npy", "json"))


def _read_cache(folder, size):
    """(images, entries): the cached pixels, and path -> [size, time, row or error message]."""
    pixels, index = _cache_files(folder, size)
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        images = np.load(pixels, mmap_mode="r", allow_pickle=False)
        if (images.dtype != np.uint8 or images.shape[1:] != (size, size, 3)
                or content["crc32"] != zlib.crc32(images)):
            return None, {}
        entries = content["entries"]
        return (images, entries) if all(
            isinstance(row, str) or 0 <= row < len(images) for _, _, row in entries.values()
        ) else (None, {})
    except Exception:  # no cache yet, or a damaged one: the pictures are decoded again
        return None, {}


def _write_cache(folder, size, images, entries):
    pixels, index = _cache_files(folder, size)
    try:
        pixels.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(pixels, "wb") as out:
            np.lib.format.write_array(out, images, allow_pickle=False)
        files.write_json(index, {"folder": os.path.abspath(folder), "crc32": zlib.crc32(images),
                                 "entries": entries})
    except OSError as error:
        print(f"{pixels.parent}: the decoded pictures cannot be kept there ({error.strerror}); the "
              "next start decodes them again", file=sys.stderr)
