"""Feed damaged and hostile files to every reader: `python tests/stress/fuzz.py --minutes 5`.

Each reader works in a process of its own, so that a crash of TensorFlow is counted and ends no
other reader. An example is a function of the reader's name and the example's number. If an example
fails, its number is printed; `--reader NAME --first NUMBER --examples 1` repeats it. Content that a
reader accepts is used in the same way as by the scripts, and must be sound.

tests/stress/test_stress.py runs a few of the same examples.
"""

import argparse
import collections
import contextlib
import copy
import gzip
import hashlib
import io
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # for tests/support

import numpy as np  # noqa: E402
from support import py2_pickle  # noqa: E402
from support.run_files import write_run  # noqa: E402

import compare_runs  # noqa: E402
from tf1cifar import drawing, errors, recipes  # noqa: E402
from tf1cifar.data import (  # noqa: E402
    base,
    cifar10,
    mnist,
    own_pictures,
    preparation,
    safe_pickle,
    stand_ins,
)
from tf1cifar.training import checkpoints, comparison, resume  # noqa: E402
from tf1cifar.training.run_folder import RunFolder  # noqa: E402

DOCUMENTED = (errors.UserError, errors.Failure)
SECONDS = 60  # longest time of an example
MEMORY = 12 << 30  # largest address space of a process, in bytes


def damaged(rng, content, tokens=()):
    """`content` after one to four random changes; `tokens` are pieces to insert or overwrite."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        start = rng.randrange(len(content) + 1)
        if rng.random() < 0.3:  # damage headers and trailers more often
            start = min(rng.randrange(40), len(content))
        elif rng.random() < 0.2:
            start = max(len(content) - rng.randrange(80), 0)
        end = min(start + rng.choice((1, 1, 2, 4, 8, 100)), len(content))
        kind = rng.randrange(8)
        if kind == 0 and start < len(content):
            content[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[start:end] = rng.randbytes(end - start)
        elif kind == 2:
            del content[start:end]
        elif kind == 3:
            content[start:start] = rng.randbytes(rng.choice((1, 4, 50)))
        elif kind == 4:
            content[start:end] = content[start:end] * 2
        elif kind == 5:
            number = rng.choice((0, 1, 127, 128, 255, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1))
            content[start:start + 4] = struct.pack(rng.choice("<>") + "I", number)
        elif kind == 6 and tokens:
            token = rng.choice(tokens)
            content[start:start + rng.choice((0, len(token)))] = token
        elif kind == 7 and rng.random() < 0.3:
            del content[start:]
    return bytes(content)


# ---------------------------------------------------------------------------------------
# The readers. The constructor writes intact files to the folder `path`. `example(rng)` damages a
# file and reads it.


class Pickles:
    TOKENS = (b"cos\nsystem\n", b"c__builtin__\neval\n", b"\x8c\x02os\x8c\x06system\x93", b"R",
              b"b", b"(", b"t", b"]", b"}", b"u", b".", b"0", b"h\x01", b"r\xff\xff\xff\x7f",
              b"\x8a\xff", b"i", b"\x80\x05", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
              b"B\xff\xff\xff\x7f")

    def __init__(self, path):
        self.path, rng = path, np.random.default_rng(0)
        for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
            data = rng.integers(0, 256, (2, 3072)).astype(np.uint8)
            (path / name).write_bytes(py2_pickle.dumps(
                {"data": data, "labels": [3, 9], "batch_label": name, "filenames": ["a", "b"]}))
        (path / cifar10.META_FILE).write_bytes(py2_pickle.dumps(
            {"label_names": list(cifar10.CLASS_NAMES), "num_vis": 3072}))
        self.intact = {name: (path / name).read_bytes() for name in cifar10.FILES}

    def example(self, rng):
        name = rng.choice((cifar10.META_FILE, cifar10.TEST_FILE))
        content = self.intact[name]
        if rng.random() < 0.8 and name != cifar10.META_FILE:  # damage no pixels
            at = content.index(b"\xff\x03") if b"\xff\x03" in content else 200
            content = damaged(rng, content[:at], self.TOKENS) + content[at:]
        else:
            content = damaged(rng, content, self.TOKENS)
        (self.path / name).write_bytes(content)
        try:
            test = cifar10.load(self.path).test
            assert test.images.dtype == np.uint8 and test.images.shape[1:] == (32, 32, 3)
            assert test.labels.dtype == np.int64 and len(test.labels) == len(test.images)
            assert set(test.labels) <= set(range(10))
        finally:
            (self.path / name).write_bytes(self.intact[name])


class NestedPickles:
    """Pickles that nest memoized objects and call the accepted functions with odd arguments."""
    NUMBERS = (b"K\x00", b"K\x03", b"M\x00\x0c", b"J\xff\xff\xff\xff", b"N", b"\x88",
               b"\x8a\x08" + b"\xff" * 7 + b"\x7f")
    TEXTS = (b"U\x04data", b"U\x06labels", b"X\x06\0\0\0latin1", b"U\x02u1", b"U\x03<i8", b"U\x01|",
             b"X\x04\0\0\0" + "äö".encode(), b"T\x00\x0c\0\0" + bytes(3072))

    def __init__(self, path):
        self.file = path / cifar10.TEST_FILE
        self.calls = [f"c{module}\n{name}\n".encode() for module, name in stand_ins.IMPORTS]

    def value(self, rng, depth):
        """The code of a value. Every value is memoized, and may be that of another one."""
        kind = rng.randrange(10)
        if depth == 0 or kind < 2:
            code = rng.choice(self.NUMBERS + self.TEXTS)
        elif kind < 4 and self.memoized:
            return b"h" + bytes([rng.choice(self.memoized)])
        elif kind < 7:
            parts = b"".join(self.value(rng, depth - 1) for _ in range(rng.randrange(6)))
            code = rng.choice((b"(%st", b"](%se")) % parts
        elif kind == 7:
            items = b"".join(rng.choice(self.TEXTS) + self.value(rng, depth - 1)
                             for _ in range(rng.randrange(4)))
            code = b"}(%su" % items
        else:
            arguments = b"".join(self.value(rng, depth - 1) for _ in range(rng.randrange(5)))
            code = rng.choice(self.calls) + b"(%stR" % arguments
            if rng.random() < 0.5:
                code += self.value(rng, depth - 1) + b"b"
        if len(self.memoized) < 255:
            self.memoized.append(len(self.memoized))
            code += b"q" + bytes(self.memoized[-1:])
        return code

    def example(self, rng):
        self.memoized = []
        code = self.value(rng, 6)
        for _ in range(rng.choice((0, 20, 100))):  # lists that hold the one before twice
            if self.memoized and len(self.memoized) < 255:
                last = bytes(self.memoized[-1:])
                self.memoized.append(len(self.memoized))
                code += b"0]q" + bytes(self.memoized[-1:]) + b"(h" + last + b"h" + last + b"e"
        content = b"\x80\x02}(U\x04data%su." % code
        self.file.write_bytes(damaged(rng, content) if rng.random() < 0.3 else content)
        try:
            assert isinstance(safe_pickle.unpickle(self.file), dict)
        except base.DataError as error:
            assert len(str(error)) < 600, "a message spells out what a file holds"
            raise


class Idx:
    TOKENS = tuple(struct.pack(">I", number) for number in (0x801, 0x803, 28, 3, 100_000))

    def __init__(self, path):
        self.path, self.intact = path, {}
        for name in mnist.FILES:
            header, values = ((">4I", 3 * 784) if "images" in name else (">2I", 3))
            numbers = (0x803, 3, 28, 28) if "images" in name else (0x801, 3)
            self.intact[name] = struct.pack(header, *numbers) + bytes(
                number % 10 for number in range(values))
            (path / name).write_bytes(self.intact[name])

    def example(self, rng):
        name, way = rng.choice(mnist.FILES), rng.randrange(3)
        content = self.intact[name]
        if way == 0:
            content = damaged(rng, gzip.compress(content), (b"\x1f\x8b\x08",))
        elif way == 1:
            content = gzip.compress(damaged(rng, content, self.TOKENS))
        else:
            content = damaged(rng, content, self.TOKENS)
        (self.path / name).write_bytes(content)
        try:
            dataset = mnist.load(self.path)
            for split in (dataset.train, dataset.test):
                assert split.images.dtype == np.uint8 and split.images.shape[1:] == (28, 28, 1)
                assert len(split.labels) == len(split.images)
                assert set(split.labels) <= set(range(10))
        finally:
            (self.path / name).write_bytes(self.intact[name])


DESCRIPTION = {
    "name": "cifar10", "directory": "/nowhere", "class_names": list(cifar10.CLASS_NAMES),
    "image_shape": [32, 32, 3], "training_images": 45000, "held_out_images": 5000,
    "test_images": 10000, "crc32": "01234567"}
ODD = (None, True, False, 0, -1, 1, 1.5, 10 ** 400, 2 ** 63, float("nan"), float("inf"), "", "x",
       "\ud800", "../..", [], {}, [1], ["x"], [[]], {"a": 1}, "lrn_cnn", "hinge", "none")


def damaged_json(rng, content):
    """JSON text of `content` with values replaced, added or removed, or with changed bytes."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        place = content
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], (dict, list)) and rng.random() < 0.7:
                place = place[key]
                continue
            if rng.random() < 0.2:
                del place[key]
            elif isinstance(place, dict) and rng.random() < 0.1:
                place["unknown"] = copy.deepcopy(rng.choice(ODD))
            else:
                place[key] = copy.deepcopy(rng.choice(ODD))
            break
    content = json.dumps(content, indent=2).encode()
    return damaged(rng, content, (b"NaN", b"1e999", b"[" * 3000, b"\xff", b"\\ud800", b"9" * 5000,
                                  b"null", b'"')) if rng.random() < 0.4 else content


class RecipeJson:
    def __init__(self, path):
        self.folder = RunFolder(path)
        self.intact = {"format": recipes.FORMAT, "name": "lrn_cnn",
                       "recipe": recipes.to_dict(recipes.RECIPES["lrn_cnn"]),
                       "dataset": DESCRIPTION, "versions": {"python": "3.11"}}
        self.folder.checkpoints.mkdir()
        (self.folder.checkpoints / "checkpoint").write_text("x")

    def example(self, rng):
        self.folder.recipe_file.write_bytes(damaged_json(rng, self.intact))
        name, recipe, data = self.folder.read_description()
        assert isinstance(name, str) and type(recipe) is recipes.Recipe
        shape = preparation.prepared_shape(data["image_shape"], recipe.preparation)
        assert len(shape) == 3 and recipe.total_steps(data["training_images"]) > 0
        with contextlib.suppress(*DOCUMENTED):
            resume.decide(self.folder, recipes.RECIPES["lrn_cnn"], DESCRIPTION)
        json.dumps([name, recipes.to_dict(recipe), data])
        assert len(data["class_names"]) > 1


class RecipeGraphs(RecipeJson):
    """The graphs of damaged recipe.json."""

    def example(self, rng):
        import tensorflow.compat.v1 as tf

        from tf1cifar import graph
        content = copy.deepcopy(self.intact)
        content["recipe"] = recipes.to_dict(recipes.RECIPES[rng.choice(list(recipes.RECIPES))])
        content["dataset"]["name"] = content["recipe"]["dataset"]
        if rng.random() < 0.7:
            content["dataset"]["image_shape"] = [rng.choice((1, 2, 8, 23, 24, 28, 33, 1024, 4096))
                                                 for _ in range(2)] + [rng.choice((1, 2, 3))]
        if rng.random() < 0.5:
            key = rng.choice(("training_images", "batch_size", "conv_layers", "steps_per_run"))
            place = content["dataset" if key == "training_images" else "recipe"]
            place[key] = rng.choice((1, 3, 32, 10 ** 6, 10 ** 8, 2 ** 31 - 1, 10 ** 30))
        if rng.random() < 0.3:
            content["recipe"]["network"] = rng.choice(list(recipes.NETWORKS))
        self.folder.recipe_file.write_bytes(
            json.dumps(content).encode() if rng.random() < 0.8 else damaged_json(rng, content))
        _, recipe, data = self.folder.read_description()
        shape = preparation.prepared_shape(data["image_shape"], recipe.preparation)
        with tf.Graph().as_default():
            model = graph.build(recipe, shape, len(data["class_names"]), data["training_images"])
            assert model.logits.shape.as_list() == [None, len(data["class_names"])]


class ResultJson:
    def __init__(self, path):
        self.folder = RunFolder(path)
        self.intact = {"trained_steps": 3600, "early_stopping": 0, "checkpoint": "best-3600",
                       "checkpoint_step": 3600, "test_accuracy": 0.7, "test_correct": 7000,
                       "test_images": 10000}

    def example(self, rng):
        self.folder.result_file.write_bytes(damaged_json(rng, self.intact))
        assert self.folder.read_result()["trained_steps"] is not None
        for name in ("lrn_cnn", "softmax"):
            line = resume.finished(self.folder, recipes.RECIPES[name], DESCRIPTION)
            assert line == "" or "is finished" in line


class Metrics:
    TOKENS = (b",", b"\n", b'"', b"\r", b"\0", b"nan", b"inf", b"-1", b"1e999", b"9" * 5000,
              "²".encode(), "٣".encode(), b"\xff", b"step")

    def __init__(self, path):
        self.folder = RunFolder(path)
        self.folder.write_metrics([
            {"epoch": epoch, "step": 10 * epoch, "learning_rate": 0.001, "training_loss": 2.0,
             "training_accuracy": 0.1, "held_out_loss": None, "held_out_accuracy": 0.25,
             "test_accuracy": None} for epoch in (1, 2, 3)])
        self.intact = self.folder.metrics_file.read_bytes()

    def example(self, rng):
        """Read damaged metrics, and use them like `records.Records`."""
        self.folder.metrics_file.write_bytes(damaged(rng, self.intact, self.TOKENS))
        rows = [row for row in self.folder.read_metrics() if row["step"] <= 20]
        accuracies = [row["held_out_accuracy"] for row in rows
                      if row["held_out_accuracy"] is not None]
        assert max(accuracies, default=-1.0) is not None
        if rng.random() < 0.1 and rows:
            drawing.learning_curve(rows, "title").savefig(io.BytesIO(), format="png")


class Comparisons:
    """A run with one damaged file beside one that is whole, as compare_runs.py reads them."""
    TOKENS = (*Metrics.TOKENS, b'"', b"{", b"}", b"null", b"true", b"-3", b"1e300", b"<b>")

    def __init__(self, path):
        write_run(path / "whole", seed=1)
        folder = write_run(path / "run")
        self.path = path
        self.intact = {file: file.read_bytes() for file in (
            folder.recipe_file, folder.result_file, folder.metrics_file, folder.times_file)}

    def example(self, rng):
        for file, content in self.intact.items():
            file.write_bytes(content)
        file = rng.choice(list(self.intact))
        if file.suffix == ".json" and rng.random() < 0.7:
            file.write_bytes(damaged_json(rng, json.loads(self.intact[file])))
        else:
            file.write_bytes(damaged(rng, self.intact[file], self.TOKENS))
        runs = [comparison.read(self.path / name) for name in ("run", "whole")]
        entries = comparison.entries(runs)
        head, lines = comparison.table(entries)
        assert all(text.isprintable() for line in (head, *lines) for text in line)
        assert len(list(comparison.records(runs))) == 2
        if rng.random() < 0.03:
            figure = compare_runs.draw(entries)
            assert compare_runs.page(head, lines, entries, figure).count("<b>") == 0


class MeanImage:
    def __init__(self, path):
        self.folder = RunFolder(path)
        preparation.write_mean_image(self.folder.mean_image_file,
                                     np.random.default_rng(0).random((32, 32, 3), np.float32))
        self.intact = self.folder.mean_image_file.read_bytes()

    def example(self, rng):
        content = damaged(rng, self.intact[:128],
                          (b"|O", b"<f8", b"<f4", b"(0,)", b"99999999", b"True", b"\x80\x04\x95",
                           b"__import__", b"(", b"L")) + self.intact[128:]
        self.folder.mean_image_file.write_bytes(content)
        assert np.isfinite(preparation.load_mean_image(self.folder.mean_image_file)).all()


class Images:
    """Pictures in many formats. Some are bombs: they claim far more pixels than they hold."""

    def __init__(self, path):
        from PIL import Image, features
        self.file, self.intact = path / "picture", []
        pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
        picture = Image.fromarray(pixels)
        for kind, mode, options in (
                ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "RGBA", {}), ("PNG", "1", {}),
                ("PNG", "LA", {}), ("PNG", "I;16", {}), ("JPEG", "RGB", {}), ("JPEG", "L", {}),
                ("JPEG", "RGB", {"progressive": True}), ("JPEG", "CMYK", {}), ("GIF", "P", {}),
                ("TIFF", "RGB", {}), ("TIFF", "CMYK", {}), ("TIFF", "I;16", {}),
                ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("WebP", "RGBA", {}),
                ("WebP", "RGB", {"lossless": True}), ("AVIF", "RGB", {}), ("BMP", "RGB", {}),
                ("PPM", "RGB", {})):
            if kind == "AVIF" and not features.check("avif"):
                continue
            out = io.BytesIO()
            exif = Image.Exif()
            exif[0x0112] = 6  # rotated
            more = {"exif": exif} if kind in ("PNG", "JPEG") else {}
            (Image.fromarray(pixels[..., 0].astype(np.uint16) * 256) if mode == "I;16"
             else picture.convert(mode)).save(out, kind, **options, **more)
            self.intact.append(out.getvalue())
        self.size = self.intact[0].index(b"IHDR") + 4

    def example(self, rng):
        content = rng.choice(self.intact)
        if rng.random() < 0.1:  # another size, with a right checksum
            import zlib
            content = bytearray(self.intact[0])
            content[self.size:self.size + 8] = struct.pack(
                ">2I", rng.choice((0, 1, 5000, 65535, 2 ** 31 - 1)), rng.choice((1, 5000, 65535)))
            check = zlib.crc32(content[self.size - 4:self.size + 13])
            content[self.size + 13:self.size + 17] = struct.pack(">I", check)
        else:
            content = damaged(rng, content, (b"IHDR", b"IDAT", b"tEXt", b"iCCP", b"PLTE", b"eXIf",
                                             b"acTL", b"\xff\xd8", b"\xff\xda", b"\xff\xc0"))
        self.file.write_bytes(content)
        channels = rng.choice((1, 3))
        image = own_pictures.read_image(self.file, (32, 32, channels))
        assert image.shape == (32, 32, channels) and image.dtype == np.uint8


class Tarballs:
    """Archives of a hostile server. A download must write exactly the seven files, or nothing."""
    KINDS = (tarfile.REGTYPE, tarfile.REGTYPE, tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE,
             tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
             tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE,
             tarfile.XGLTYPE, b"?")

    def __init__(self, path):
        self.path = path
        self.outside = path / "outside"
        self.outside.mkdir()
        (self.outside / "victim").write_text("untouched")

    def member(self, tar, rng, name):
        prefix = rng.choice(("cifar-10-batches-py/", "", "/", "../", "../../", "a/../../",
                             f"{self.outside}/", "./", "cifar-10-batches-py/../", "a\0b/", "\\"))
        info = tarfile.TarInfo(prefix + rng.choice(
            (name, name, name, "victim", "..", "", "a" * 300)))
        info.type = rng.choice(self.KINDS)
        info.linkname = rng.choice(("", str(self.outside / "victim"), "../../outside/victim", name,
                                    "/etc/passwd"))
        info.mode, info.uid = rng.choice((0o644, 0o7777, 0)), rng.choice((0, 1000))
        content = rng.randbytes(rng.choice((0, 1, 700)))
        info.size = len(content)
        if rng.random() < 0.1:
            info.size = rng.choice((0, 1, 10 ** 6, 8 ** 11 - 1, 2 ** 40, 2 ** 62))
        if rng.random() < 0.1:
            key = rng.choice(("GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.major",
                              "GNU.sparse.realsize", "size", "path", "linkpath"))
            info.pax_headers = {key: rng.choice(
                ("1", "-1", "0,9999999999", "x", str(self.outside), "9" * 40))}
        tar.fileobj.write(info.tobuf(rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))))
        tar.fileobj.write(content + bytes(-len(content) % 512))

    def example(self, rng):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            names = [*cifar10.FILES, *rng.choices(cifar10.FILES, k=4)]
            rng.shuffle(names)
            plain = rng.choice((0.5, 0.95))  # share of plain files, so that some are complete
            for name in names:
                if rng.random() < plain:
                    info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                    info.size = 5
                    tar.addfile(info, io.BytesIO(b"12345"))
                else:
                    self.member(tar, rng, name)
        content = raw.getvalue()
        if rng.random() < 0.4:
            content = damaged(rng, content, (b"ustar", b"\0" * 512, b"\x80", b"99999999999"))
        content = gzip.compress(content, 1)
        if rng.random() < 0.3:
            content = damaged(rng, content)
        tarball = self.path / "tarball"
        tarball.write_bytes(content)
        target = self.path / "in"
        try:
            md5 = hashlib.md5(content).hexdigest()
            folder = cifar10.download(target, tarball.as_uri(), md5)
            assert sorted(item.name for item in folder.iterdir()) == sorted(cifar10.FILES)
            for item in folder.iterdir():
                assert item.is_file() and not item.is_symlink() and item.stat().st_nlink == 1
                assert item.stat().st_mode & 0o7111 == 0 and item.stat().st_uid == os.getuid()
            shutil.rmtree(folder)
        finally:
            assert not target.exists() or not list(target.iterdir()), "something is left"
            assert sorted(item.name for item in self.path.iterdir()) in (
                ["in", "outside", "tarball"], ["outside", "tarball"])
            assert [item.name for item in self.outside.iterdir()] == ["victim"]
            assert (self.outside / "victim").read_text() == "untouched"


class _Run:
    """A run folder whose files are damaged. Its linear network keeps the files small."""

    def __init__(self, path):
        import dataclasses

        import tensorflow.compat.v1 as tf

        from tf1cifar import data
        from tf1cifar.training import loop
        with contextlib.redirect_stderr(io.StringIO()):
            tf.logging.set_verbosity(tf.logging.ERROR)
        rng, dataset = np.random.default_rng(0), []
        for count in (40, 20):
            dataset.append(base.Split(
                rng.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8), np.arange(count) % 10))
        dataset = base.Dataset("cifar10", str(path), cifar10.CLASS_NAMES, *dataset)
        recipe = dataclasses.replace(recipes.RECIPES["hinge"], epochs=1, summary_every=0)
        self.folder = RunFolder(path / "run")
        self.folder.path.mkdir()
        self.folder.write_description("hinge", recipe, data.describe(dataset, recipe), {})
        with contextlib.redirect_stdout(io.StringIO()):
            loop.train(recipe, dataset, self.folder, "cpu")
        (_, self.checkpoint), = checkpoints.Checkpoints(self.folder.checkpoints).saved()
        self.pixels = np.zeros((2, 8, 8, 1), np.float32)

    def restore(self, via):
        """Restore the run, and use it like restore_model.py."""
        from tf1cifar.training import evaluation, restore
        with restore.restored(self.folder, via=via, device="cpu") as (session, _):
            session.run("global_step:0")
            probabilities = session.run("probabilities:0", {"images:0": self.pixels})
            assert len(probabilities) == 2, "one row for each image"
            evaluation.evaluate(session, base.Split(self.pixels, np.array([1, 2])), lambda x: x)


class Checkpoints(_Run):
    def example(self, rng):
        file = pathlib.Path(self.checkpoint + rng.choice((".index", ".index",
                                                          ".data-00000-of-00001")))
        intact = file.read_bytes()
        file.write_bytes(damaged(rng, intact, (b"weights", b"\xff" * 9, b"\x80" * 9 + b"\x01")))
        state = rng.choice((None, b"", b"model_checkpoint_path: \"/etc/passwd\"", b"\xff\0"))
        if state is not None:
            (self.folder.checkpoints / "checkpoint").write_bytes(state)
        try:
            self.restore("saver")
        finally:
            file.write_bytes(intact)


class MetaGraphs(_Run):
    via = "meta_graph"
    TOKENS = (b"ReadFile", b"WriteFile", b"PyFunc", b"RestoreV2", b"SaveV2", b"Identity", b"NoOp",
              b"images", b"logits", b"save/Const", b"save/restore_all", b"^logits", b"Const",
              b"\x01", b"\x0a", b"\x12", b"T", b"dtype", b"\xff" * 9 + b"\x01", b"Placeholder")

    def file(self):
        return pathlib.Path(self.checkpoint + ".meta")

    def example(self, rng):
        file = self.file()
        intact = file.read_bytes()
        file.write_bytes(self.structured(rng, intact) if rng.random() < 0.6
                         else damaged(rng, intact, self.TOKENS))
        files = {item: item.stat().st_mtime_ns for item in self.folder.path.rglob("*")}
        try:
            self.restore(self.via)
        finally:
            assert files == {item: item.stat().st_mtime_ns
                             for item in self.folder.path.rglob("*")}, "a file was written"
            file.write_bytes(intact)

    def structured(self, rng, content):
        """Change nodes of the graph. The result is still a protocol buffer that can be parsed."""
        graph, whole = self.parsed(content)
        for _ in range(rng.choice((1, 1, 2, 5))):
            nodes = graph.graph_def.node
            node, other = rng.choice(nodes), rng.choice(nodes)
            kind = rng.randrange(9)
            if kind == 0:
                node.op = other.op
            elif kind == 1:
                node.op = rng.choice(("ReadFile", "WriteFile", "PyFunc", "RestoreV2", "SaveV2",
                                      "If", "While", "Const", "Placeholder", "VarHandleOp"))
            elif kind == 2:
                node.name = other.name
            elif kind == 3 and node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice(
                    (other.name, other.name + ":1", "^" + other.name, "", "x:99999999999"))
            elif kind == 4:
                node.input.append(rng.choice((other.name, "^" + other.name, "^" + node.name)))
            elif kind == 5 and node.attr:
                key = rng.choice(sorted(node.attr))
                node.attr[key].CopyFrom(rng.choice(list(other.attr.values()) or [node.attr[key]]))
            elif kind == 6 and node.attr:
                del node.attr[rng.choice(sorted(node.attr))]
            elif kind == 7:
                for attr in node.attr.values():
                    if attr.HasField("tensor"):
                        for dim in attr.tensor.tensor_shape.dim:
                            dim.size = rng.choice((-1, 0, 1, 10 ** 6, 2 ** 62))
                    elif attr.HasField("type"):
                        attr.type = rng.choice((0, 1, 3, 7, 9, 20, 21, 101, 77))
                    elif attr.HasField("shape"):
                        attr.shape.dim.add(size=rng.choice((-5, 0, 2 ** 62)))
            elif kind == 8:
                field = rng.choice(("filename_tensor_name", "restore_op_name"))
                setattr(graph.saver_def, field, rng.choice((other.name, other.name + ":0", "")))
        return whole.SerializeToString()

    def parsed(self, content):
        import tensorflow.compat.v1 as tf
        graph = tf.MetaGraphDef.FromString(content)
        return graph, graph


class SavedModels(MetaGraphs):
    via = "saved_model"

    def file(self):
        return self.folder.saved_model / "saved_model.pb"

    def parsed(self, content):
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
        whole = SavedModel.FromString(content)
        return whole.meta_graphs[0], whole


READERS = {
    "pickles": Pickles, "nested pickles": NestedPickles, "IDX files": Idx,
    "recipe.json": RecipeJson, "graphs of recipe.json": RecipeGraphs, "result.json": ResultJson,
    "metrics.csv": Metrics, "comparisons": Comparisons, "mean_image.npy": MeanImage,
    "images": Images, "tarballs": Tarballs, "checkpoints": Checkpoints, ".meta": MetaGraphs,
    "saved_model.pb": SavedModels}


def one(reader, name, number):
    """The outcome of an example: 'read', or the documented error's name.

    Raises:
      Any exception that is not documented.
    """
    try:
        reader.example(random.Random(f"{name} {number}"))
    except DOCUMENTED as error:
        assert str(error).strip() and "Traceback" not in str(error)
        return next(kind.__name__ for kind in DOCUMENTED if isinstance(error, kind))
    return "read"


# ---------------------------------------------------------------------------------------
# The campaign


def too_long(*_):
    raise TimeoutError(f"took more than {SECONDS} s")


def work(name, first, examples, seconds, notes):
    """Run examples in this process, and keep the counts in the file `notes` for `campaign`.

    Args:
      name: name of the reader, a key of READERS.
      first: number of the first example.
      examples: largest number of examples.
      seconds: time after which no further example starts.
      notes: path of the file for the counts, the messages and the number of the current example.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, too_long)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    counts, wrong = collections.Counter(), []
    with tempfile.TemporaryDirectory() as path, open(notes, "w") as out:
        reader, number = READERS[name](pathlib.Path(path)), first
        end = time.monotonic() + seconds  # TensorFlow's start does not count
        while time.monotonic() < end and number < first + examples:
            out.seek(0)
            json.dump({"number": number, "counts": counts, "wrong": wrong}, out)
            out.truncate()
            out.flush()
            signal.alarm(SECONDS)
            try:
                counts[one(reader, name, number)] += 1
            except Exception as error:
                counts["UNDOCUMENTED"] += 1
                if len(wrong) < 20:
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    wrong.append(f"{name} {number}: {error!r:.300} in "
                                 f"{last.filename}:{last.lineno}")
            finally:
                signal.alarm(0)
            number += 1
        out.seek(0)
        json.dump({"number": number, "counts": counts, "wrong": wrong}, out)
        out.truncate()


def campaign(name, first, examples, seconds):
    """Run the examples of a reader, in a new process after every crash.

    Args:
      name: name of the reader, a key of READERS.
      first: number of the first example.
      examples: largest number of examples.
      seconds: time after which no further example starts.

    Returns:
      (counts, wrong): a Counter of the outcomes, and a list of a message for each failed example.
    """
    counts, wrong, end = collections.Counter(), [], time.monotonic() + seconds
    with tempfile.NamedTemporaryFile("r") as notes:
        while examples > 0 and (left := end - time.monotonic()) > 0:
            process = subprocess.run(
                [sys.executable, __file__, "--reader", name, "--first", str(first), "--examples",
                 str(examples), "--seconds", str(left), "--notes", notes.name],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
            notes.seek(0)
            text = notes.read()
            if not text:
                sys.exit(process.stderr.decode(errors="replace"))
            state = json.loads(text)
            counts.update(state["counts"])
            wrong += state["wrong"]
            if process.returncode == 0:
                break
            counts["CRASHED"] += 1
            wrong.append(f"{name} {state['number']}: exit status {process.returncode}: "
                        f"{process.stderr.decode(errors='replace')[-500:]}")
            examples -= state["number"] + 1 - first
            first = state["number"] + 1
    return counts, wrong


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5,
                        help="minutes for all readers together (default: 5)")
    parser.add_argument("--examples", type=int, default=10 ** 9,
                        help="largest number of examples of each reader (default: no limit)")
    parser.add_argument("--reader", choices=READERS,
                        help="name of the only reader to run (default: all readers)")
    parser.add_argument("--first", type=int, default=0,
                        help="number of the first example (default: 0)")
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--notes", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    """Run the readers that the command line names."""
    options = parse_arguments()
    if options.notes:
        return work(options.reader, options.first, options.examples, options.seconds,
                    options.notes)
    names = [options.reader] if options.reader else list(READERS)
    all_wrong = []
    print(f"{'reader':16}{'examples':>10}{'read':>10}{'UserError':>11}{'Failure':>9}"
          f"{'undocumented':>14}{'crashes':>9}{'seconds':>9}")
    for name in names:
        start = time.monotonic()
        counts, wrong = campaign(name, options.first, options.examples,
                                options.minutes * 60 / len(names))
        print(f"{name:16}{counts.total():10,}{counts['read']:10,}{counts['UserError']:11,}"
              f"{counts['Failure']:9,}{counts['UNDOCUMENTED']:14,}{counts['CRASHED']:9,}"
              f"{time.monotonic() - start:9.0f}", flush=True)
        all_wrong += wrong
    print("\n".join(all_wrong))
    return 1 if all_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
