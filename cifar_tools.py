"""CIFAR-10 from its files to the batches a network is fed with.

In the order they are called:

    find            the folder that holds the data set, downloaded if need be
    download        fetch, verify and extract the official tarball
    load            the whole data set as uint8 images and int64 labels
    read_image      a person's own picture as such an image
    fingerprint     a checksum that tells data sets apart
    prepare_once    what of the next can be done once for all training images
    prepare         uint8 images -> the float32 pixels a network sees
    training_batch  one batch of a training run, a function of (seed, step)
    evaluation_batches  a whole split, batch after batch

and what readers of *Machine Learning with TensorFlow* (N. Shukla, chapter 9) know:

    unpickle        one file of the data set as a dictionary
    clean           gray, cropped, normalized pixels of a whole array
    read_data       names, cleaned data and labels of a folder

The pickles come from the internet, so they are read by an unpickler that knows a uint8
array, numbers and strings and nothing else: no file can make it import or call anything.
"""

import contextlib
import functools
import hashlib
import http.client
import os
import pathlib
import pickle
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from typing import NamedTuple

import numpy as np

import augmentations
import console

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
FOLDER = "cifar-10-batches-py"
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
META_FILE = "batches.meta"
FILES = (META_FILE, *TRAIN_FILES, TEST_FILE)
MOST_BYTES = 64 << 20  # twice what a file of the official archive has
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer",
               "dog", "frog", "horse", "ship", "truck")

HOW_TO_GET = (f"To get CIFAR-10, download {URL}, extract it and name the folder {FOLDER} "
              "with --data-dir or in CIFAR10_DIR.")


class DataError(console.UserError, ValueError):
    """A data set that is missing, damaged or not what it should be."""


class Split(NamedTuple):
    """Images, uint8 [N, height, width, channels], and their labels, int64 [N]."""
    images: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """A whole data set; every data module's `load` returns one."""
    name: str
    directory: str
    class_names: tuple
    train: Split
    test: Split
    note: str = ""  # what a person should know when reading figures of it


# ---------------------------------------------------------------------------------------
# Finding and downloading


def cache_folder():
    """The user's cache folder of this project, as a path that need not exist.

    Without a home that can be written, as in some containers, it is a folder for temporary
    files.
    """
    try:
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base / "tf1-cifar10"
    except (RuntimeError, OSError):  # no home, or no place in it
        pass
    return pathlib.Path(tempfile.gettempdir()) / "tf1-cifar10"


def find(data_dir=None):
    """The folder with CIFAR-10's batches, downloading them into the cache as a last resort.

    Looked at in this order: `data_dir`, the environment variable CIFAR10_DIR,
    ./cifar-10-batches-py, the cache. The first two are the user's word: if they are given
    they are used or refused, never passed over. Either may name the folder of the batches
    or the one above it.

    Returns:
      A `pathlib.Path`.

    Raises:
      DataError: no data set where the user said one was.
      console.Failure: none anywhere, and the download failed.
    """
    asked_for = os.environ.get("CIFAR10_DIR") or None
    for given, source in ((data_dir, "--data-dir"), (asked_for, "CIFAR10_DIR")):
        if given is not None:
            return _named_folder(pathlib.Path(given), source)
    here, cached = pathlib.Path(FOLDER), cache_folder() / FOLDER
    if (here / META_FILE).exists():
        return here
    return cached if _complete(cached) else download(cache_folder())


def _named_folder(folder, source):
    for candidate in (folder, folder / FOLDER):
        if any((candidate / name).exists() for name in FILES):
            return candidate
    raise DataError(f"{source} {folder}: no CIFAR-10 there (expected the files {META_FILE}, "
                    f"{TRAIN_FILES[0]} ... {TEST_FILE} in it or in its {FOLDER}). {HOW_TO_GET}")


def _complete(folder):
    return all((folder / name).exists() for name in FILES)


def download(directory, url=None, md5=None, timeout=10.0):
    """Download, verify and extract the CIFAR-10 tarball: all of it or nothing.

    Args:
      directory: where the folder cifar-10-batches-py is to appear.
      url, md5: what to fetch and its checksum in hexadecimal; by default the environment
        variables CIFAR10_URL and CIFAR10_MD5, else the official ones.
      timeout: seconds without an answer after which the server counts as unreachable.

    Returns:
      The folder, as a `pathlib.Path`.

    Raises:
      console.Failure: no network, a wrong checksum, or a tarball without the data set.
      OSError: the folder cannot be written.
    """
    url = url or os.environ.get("CIFAR10_URL") or URL
    md5 = md5 or os.environ.get("CIFAR10_MD5") or MD5
    target = pathlib.Path(directory) / FOLDER
    target.parent.mkdir(parents=True, exist_ok=True)
    # All work is done in a scratch folder beside the target, which one rename puts in place.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as scratch:
        tarball = pathlib.Path(scratch) / "tarball"
        fetch(url, md5, tarball, timeout)
        extracted = pathlib.Path(scratch) / FOLDER
        extracted.mkdir()
        _extract(tarball, extracted, url)
        with contextlib.suppress(OSError):
            os.rename(extracted, target)
        if not _complete(target):
            # Something incomplete of that name is in the way: ours is whole, so it wins.
            shutil.rmtree(target, ignore_errors=True)
            os.rename(extracted, target)
    return target


def fetch(url, md5, path, timeout=10.0):
    """Download `url` to `path` under a progress bar and check its MD5.

    Raises:
      console.Failure: the server cannot be reached or the checksum differs.
    """
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer, open(path, "wb") as out:
            total = int(answer.headers.get("Content-Length") or 0)
            with console.progress(total, f"downloading {url.rsplit('/', 1)[-1]}", "B") as bar:
                while chunk := answer.read(1 << 18):
                    digest.update(chunk)
                    out.write(chunk)
                    bar.update(out.tell())
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError,
            ValueError) as error:
        reason = getattr(error, "reason", error)
        raise console.Failure(f"cannot download {url}: {reason}") from error
    if digest.hexdigest() != md5.lower():
        raise console.Failure(f"{url}: MD5 is {digest.hexdigest()}, expected {md5}; "
                              "the download was cut short or is not the official file")


def _extract(tarball, folder, url):
    """Write the tarball's data files into `folder`.

    Only regular files with the seven known names are taken, and only their bytes: no
    path, link, owner or mode of the archive is ever used. None may be larger than
    MOST_BYTES, nor have holes, which would let a small archive fill the disk.
    """
    missing = set(FILES)
    try:
        with tarfile.open(tarball, "r:gz") as tar:
            for member in tar:
                name = member.name.rsplit("/", 1)[-1]
                if name in missing and member.isfile() and not member.issparse():
                    if member.size > MOST_BYTES:
                        raise ValueError(f"{name} is {member.size} bytes long, expected at most "
                                         f"{MOST_BYTES}")
                    with tar.extractfile(member) as source, open(folder / name, "wb") as out:
                        shutil.copyfileobj(source, out, 1 << 20)
                    missing.remove(name)
    except Exception as error:  # a damaged archive can raise nearly anything, MemoryError too
        if getattr(error, "errno", None):  # the disk's complaint, not the archive's
            raise
        raise console.Failure(f"{url}: not a gzipped tar archive of CIFAR-10 "
                              f"({str(error) or repr(error)})") from error
    if missing:
        raise console.Failure(f"{url}: the archive lacks {', '.join(sorted(missing))}")


# ---------------------------------------------------------------------------------------
# Reading the pickles


class _Array:
    """Stands in for a NumPy array while a pickle is read; holds its raw state."""
    state = None

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        self.state = state

    def array(self):
        """The array as read-only uint8 of the stored shape."""
        _, shape, dtype, fortran_order, raw = self.state
        if dtype.name not in ("u1", "|u1") or fortran_order:
            raise ValueError(f"expected a C-ordered uint8 array, found dtype {dtype.name!r}")
        return np.frombuffer(raw, np.uint8).reshape(shape)


class _Dtype:
    """Stands in for a NumPy dtype; remembers its name and ignores the rest."""

    def __init__(self, name, *_):
        self.name = name.decode("latin1") if isinstance(name, bytes) else name

    def __setstate__(self, state):
        pass


# All that a pickle may import, and the opcodes it may use: those of the official files and of
# a copy of them saved by Python 3.
_IMPORTS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
}
_OPCODES = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in (
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.EMPTY_DICT, pickle.EMPTY_LIST,
    pickle.APPEND, pickle.APPENDS, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1,
    pickle.TUPLE2, pickle.TUPLE3, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT,
    pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINSTRING,
    pickle.SHORT_BINSTRING, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINUNICODE,
    pickle.SHORT_BINUNICODE, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET,
    pickle.LONG_BINGET, pickle.MEMOIZE, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE,
    pickle.BUILD,
    # In no official file, but what old attacks are written with: known, they can be named.
    pickle.STRING, pickle.UNICODE, pickle.INST)}


def _set_items(reader):
    """The opcode SETITEMS, for keys that are strings: hashing nested tuples may never end."""
    items = reader.pop_mark()
    for key, value in zip(items[::2], items[1::2]):
        if not isinstance(key, (bytes, str)):
            raise TypeError(f"a key is of type {type(key).__name__}")
        reader.stack[-1][key] = value


_OPCODES[pickle.SETITEMS[0]] = _set_items


class _Unpickler(pickle._Unpickler):
    """Reads dictionaries, lists, strings, numbers and uint8 arrays; refuses all else.

    NumPy's own reconstruction functions are not called either: stand-ins collect the
    array's shape, type and bytes, which are checked before an array is made of them.

    This is pickle's reader in Python with few of its opcodes. The one in C takes whatever
    memory a memo index asks for and can be crashed by deeply nested keys; it is no faster
    here, since it copies the pixels.
    """

    dispatch = _OPCODES

    def find_class(self, module, name):
        try:
            return _IMPORTS[module, name]
        except KeyError:
            raise DataError(f"it asks to import {module}.{name}, which no CIFAR-10 file does; "
                            "refused, nothing was executed") from None


def unpickle(file):
    """One file of the data set, as the dictionary it holds (chapter 9's `unpickle`).

    Args:
      file: path of a pickle as the official data set has them: Python 2 strings, and
        NumPy arrays of uint8.

    Returns:
      A dictionary with str keys: 'data' uint8 [N, 3072], 'labels' a list of N int and
      more for a batch; 'label_names' a list of str and more for batches.meta.

    Raises:
      DataError: the file is missing, cut short, not a pickle of this kind, or asks to
        import anything.
    """
    try:
        with open(file, "rb") as source:
            content = _Unpickler(source, encoding="bytes").load()
        if not isinstance(content, dict):
            raise TypeError(f"expected a dictionary, found {type(content).__name__}")
        return {_text(key): _plain(value) for key, value in content.items()}
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; the data set is incomplete") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything, MemoryError too
        raise DataError(f"{file}: cut short or damaged, not a CIFAR-10 pickle "
                        f"({error!r})") from error


def _plain(value):
    if isinstance(value, _Array):
        return value.array()
    if isinstance(value, list):
        return [_text(item) for item in value]
    return _text(value)


def _text(value):
    return value.decode("latin1") if isinstance(value, bytes) else value


def _read_batch(file):
    """(data uint8 [N, 3072], labels int64 [N]) of one batch file, both checked."""
    batch = unpickle(file)
    for key in ("data", "labels"):
        if key not in batch:
            raise DataError(f"{file}: no '{key}' in it, so it is not a CIFAR-10 batch")
    data, labels = batch["data"], batch["labels"]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3072:
        found = getattr(data, "shape", type(data).__name__)
        raise DataError(f"{file}: 'data' is {found}, expected uint8 of shape (N, 3072)")
    if not isinstance(labels, list) or len(labels) != len(data):
        found = len(labels) if isinstance(labels, list) else type(labels).__name__
        raise DataError(f"{file}: 'labels' is {found}, "
                        f"expected a list of {len(data)}, one an image")
    if not len(data):
        raise DataError(f"{file}: holds no images")
    for number, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < len(CLASS_NAMES):
            raise DataError(f"{file}: label {number} is not a whole number from 0 to 9")
    return data, np.array(labels, np.int64)


def _read_names(directory):
    file = pathlib.Path(directory) / META_FILE
    names = unpickle(file).get("label_names")
    if (not isinstance(names, list) or len(names) != len(CLASS_NAMES)
            or not all(isinstance(name, str) for name in names)):
        raise DataError(f"{file}: 'label_names' is not a list of {len(CLASS_NAMES)} names")
    return names


def load(directory, name="cifar10", class_names=CLASS_NAMES):
    """The whole data set in `directory`.

    Args:
      directory: folder with the seven files of the official layout.
      name: the name the data set goes by in what is printed and drawn.
      class_names: the ten names batches.meta must hold, so that no figure is taken for
        another data set's.

    Returns:
      A `Dataset`; images are [N, 32, 32, 3].

    Raises:
      DataError: a file is missing or damaged, or the classes are others.
    """
    directory = pathlib.Path(directory)
    names = _read_names(directory)
    if tuple(names) != tuple(class_names):
        raise DataError(f"{directory / META_FILE}: classes {', '.join(names)}; "
                        f"expected those of {name}: {', '.join(class_names)}")
    return Dataset(name, str(directory), tuple(names),
                   _read_split(directory, TRAIN_FILES), _read_split(directory, [TEST_FILE]))


def _read_split(directory, files):
    images, labels = [], []
    for file in files:
        data, batch_labels = _read_batch(directory / file)
        images.append(data.reshape(-1, 3, 32, 32))
        labels.append(batch_labels)
    # One pass puts the colour planes last and the batches behind one another.
    out = np.empty((sum(map(len, images)), 32, 32, 3), np.uint8)
    np.concatenate(images, out=out.transpose(0, 3, 1, 2))
    return Split(out, np.concatenate(labels))


# ---------------------------------------------------------------------------------------
# Preparing pixels


def _window(images):
    """The central 24x24 of [n, height, width, channels]."""
    top, left = (images.shape[1] - 24) // 2, (images.shape[2] - 24) // 2
    return images[:, top:top + 24, left:left + 24]


def _standardize(out, planes=1):
    """In place: subtract each image's mean, divide by max(its deviation, 1/sqrt(its numbers)).

    Args:
      out: float32 [n, height, width, channels], contiguous.
      planes: how many planes each pixel is the sum of. Sums of whole numbers are exact, where means
        would be rounded.
    """
    pixels = out.reshape(len(out), -1)
    length = np.float32(pixels.shape[1])
    # Of whole numbers no sum and no mean is rounded now, as the length is a multiple of 64. Where
    # an augmentation made fractions, the mean is a millionth or two off.
    pixels *= length
    pixels -= (np.einsum("ij->i", pixels) / length)[:, None]
    squares = (pixels[:, None] @ pixels[:, :, None])[:, 0]
    pixels /= np.maximum(np.sqrt(squares / length), planes * np.sqrt(length))


def _gray24(images, mean, out):
    """Chapter 9's "clean": gray, the central 24x24, standardized."""
    window, gray = _window(images), out[..., 0]
    channels = window.shape[-1]
    gray[...] = window[..., 0]
    for channel in range(1, channels):
        gray += window[..., channel]
    _standardize(out, 3 if images.dtype == np.uint16 else channels)  # see `prepare_once`


def _standardized24(images, mean, out):
    """The central 24x24 in colour, standardized as a whole (TensorFlow's CIFAR-10 tutorial)."""
    out[...] = _window(images)
    _standardize(out)


def _unit(images, mean, out):
    """Pixels from 0 to 1."""
    np.divide(images, np.float32(255), out=out)


def _minus_mean(images, mean, out):
    """Pixels from 0 to 255 less the mean training image's."""
    np.subtract(images, mean, out=out)


PREPARATIONS = {"gray24": _gray24, "standardized24": _standardized24,
                "unit": _unit, "minus_mean": _minus_mean}


def prepare(images, preparation, mean=None, out=None):
    """The pixels a network sees, the same for training, evaluation and prediction.

    Args:
      images: uint8 (or float32, once augmented; or of `prepare_once`) [N, height, width,
        channels].
      preparation: 'gray24': mean of the colour planes, central 24x24, minus the image's
        own mean, divided by max(its standard deviation, 1/sqrt(576)); 'standardized24': the
        same without making it gray; 'unit': divided by 255; 'minus_mean': less `mean`.
      mean: float32 [height, width, channels], the mean of the training images; only
        'minus_mean' needs it.
      out: optional array to write to, of what is returned, C-contiguous.

    Returns:
      float32 [N, *prepared_shape(...)].

    Raises:
      ValueError: an unknown preparation, or another kind of `out`.
      DataError: the images are too small for it.
    """
    if preparation not in PREPARATIONS:
        raise ValueError(f"preparation {preparation!r}, expected one of {', '.join(PREPARATIONS)}")
    shape = len(images), *prepared_shape(images.shape[1:], preparation)
    if out is None:
        out = np.empty(shape, np.float32)
    elif (out.shape, out.dtype, out.flags.c_contiguous) != (shape, np.float32, True):
        raise ValueError(f"out is {out.dtype} {out.shape} with strides {out.strides}, "
                         f"expected contiguous float32 {shape}")
    for start in range(0, len(images), 128):  # so many images stay in the cache
        chunk = slice(start, start + 128)
        PREPARATIONS[preparation](images[chunk], mean, out[chunk])
    return out


def prepare_once(images, preparation, augment):
    """What can be done once of what `prepare` would do with every batch.

    Planes can be added up before pixels are moved as well as after, and then there is a third of
    the work to do.

    Args:
      images: uint8 [N, height, width, channels], training images.
      preparation: as for `prepare`.
      augment: names of the augmentations in between.

    Returns:
      Images of which `prepare` makes the same: for 'gray24' with no augmentations but 'crop' and
      'flip' the sums of the three planes, uint16 [N, height, width, 1]; else `images`.
    """
    if preparation != "gray24" or images.shape[-1] != 3 or set(augment) - {"crop", "flip"}:
        return images
    sums = np.empty((*images.shape[:3], 1), np.uint16)
    for start in range(0, len(images), 128):
        chunk = slice(start, start + 128)
        for channel in range(3):
            np.add(images[chunk, ..., channel], sums[chunk, ..., 0] if channel else 0,
                   out=sums[chunk, ..., 0])
    return sums


def mean_image(images):
    """float32 [height, width, channels]: the mean of uint8 [N, height, width, channels]."""
    return images.mean(0).astype(np.float32)


def fingerprint(dataset):
    """A checksum of all images and labels of a `Dataset`, as eight hexadecimal digits."""
    checksum = 0
    for split in (dataset.train, dataset.test):
        for array in split:
            checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return f"{checksum:08x}"


def prepared_shape(image_shape, preparation):
    """(height, width, channels) of what `prepare` makes of images of `image_shape`.

    Raises:
      DataError: the images are too small for it.
    """
    height, width, channels = image_shape
    if not preparation.endswith("24"):
        return height, width, channels
    if min(height, width) < 24:
        raise DataError(f"preparation {preparation} needs images of at least 24x24 pixels, "
                        f"these are {height}x{width}")
    return 24, 24, 1 if preparation == "gray24" else channels


def read_image(file, image_shape):
    """A person's own picture as an image of a data set.

    The middle square of the picture is taken and resized; a turned camera is put right and
    what is transparent becomes white.

    Args:
      file: path of a PNG or JPEG of any size: gray, colour, palette or with alpha.
      image_shape: (height, width, channels) of the data set's images.

    Returns:
      uint8 [height, width, channels].

    Raises:
      DataError: no such file, not a whole PNG or JPEG, or far too large to be a picture.
    """
    import warnings

    from PIL import Image, ImageOps
    height, width, channels = image_shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                picture = ImageOps.exif_transpose(picture)
                if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
                    picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
                picture = picture.convert("RGB" if channels == 3 else "L")
                picture = ImageOps.fit(picture, (width, height), Image.Resampling.BOX)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{file}: is a folder, expected a PNG or JPEG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{file}: too many pixels for a picture; make it smaller") from error
    except Exception as error:  # a damaged image can raise nearly anything
        raise DataError(f"{file}: not a PNG or JPEG that can be read ({error})") from error
    return np.asarray(picture, np.uint8).reshape(height, width, channels)


# ---------------------------------------------------------------------------------------
# Batches


@functools.lru_cache(maxsize=2)
def _shuffled(size, seed, epoch):
    return np.random.default_rng((seed, epoch, 0)).permutation(size)


def batch_indices(size, step, *, batch_size, order, seed):
    """Which of `size` training images are in batch number `step`, see `training_batch`.

    Returns:
      int64 [B].
    """
    epoch, number = divmod(step, -(-size // batch_size))
    if order == "with_replacement":
        return np.random.default_rng((seed, step, 2)).integers(0, size, batch_size)
    start, end = number * batch_size, min((number + 1) * batch_size, size)
    return np.arange(start, end) if order == "in_order" else _shuffled(size, seed, epoch)[start:end]


def training_batch(split, step, *, batch_size, order, augment, prepare, seed, margin=0):
    """Batch number `step` of a training run, a function of its arguments alone.

    An epoch is one pass over the split in ceil(N / batch_size) batches, the last one
    smaller if N leaves a rest. Nothing is remembered from batch to batch, so a run can be
    taken up at any step.

    Args:
      split: `Split` of N images.
      step: 0 for the first batch of the first epoch.
      batch_size: images a batch.
      order: 'shuffled', a fresh permutation each epoch; 'in_order', that of the files;
        'with_replacement', every image of every batch drawn at random.
      augment: names of `augmentations.AUGMENTATIONS`.
      prepare: function of images -> float32 pixels, `prepare` with its arguments bound.
      seed: of the order and the augmentations, not negative.
      margin: how many pixels at each edge of an image `prepare` cuts off.

    Returns:
      images float32 [B, height, width, channels], labels int64 [B].
    """
    chosen = batch_indices(len(split.labels), step, batch_size=batch_size, order=order, seed=seed)
    images = split.images.take(chosen, axis=0)  # much faster than by [chosen]
    if augment:
        images = augmentations.augment(images, augment, np.random.default_rng((seed, step, 1)),
                                       margin)
    return prepare(images), split.labels[chosen]


def evaluation_batches(split, batch_size=250):
    """The whole split in order, as a list of `Split`s of `batch_size` images, the last smaller."""
    return [Split(*(array[start:start + batch_size] for array in split))
            for start in range(0, len(split.labels), batch_size)]


def hold_out(split, share):
    """(training, held-out): the last `share` of the split is kept from training."""
    kept = len(split.labels) - round(len(split.labels) * share)
    return (Split(split.images[:kept], split.labels[:kept]),
            Split(split.images[kept:], split.labels[kept:]))


# ---------------------------------------------------------------------------------------
# What chapter 9's readers know


def clean(data):
    """Gray, cropped, normalized pixels of a batch (chapter 9's `clean`).

    Args:
      data: uint8 [N, 3072], the red, green and blue planes of 32x32 images.

    Returns:
      float32 [N, 576]: mean of the three planes, rows and columns 4 to 27, minus the
      image's mean, divided by max(its standard deviation, 1/sqrt(576)).

    Raises:
      ValueError: `data` is not [N, 3072].
    """
    data = np.asarray(data)
    if data.ndim != 2 or data.shape[1] != 3072:
        raise ValueError(f"data has shape {data.shape}, expected (N, 3072)")
    return _clean_into(data, np.empty((len(data), 576), np.float32))


def _clean_into(data, out):
    images = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    prepare(images, "gray24", out=out.reshape(-1, 24, 24, 1))
    return out


def read_data(directory, split="train"):
    """Names, cleaned pixels and labels of a folder (chapter 9's `read_data`).

    Args:
      directory: folder with the official files.
      split: 'train' (50,000 images in the official data set) or 'test' (10,000).

    Returns:
      names, a list of ten str; data, float32 [N, 576]; labels, int64 [N].

    Raises:
      DataError: a file is missing or damaged.
      ValueError: an unknown split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split {split!r}, expected 'train' or 'test'")
    directory = pathlib.Path(directory)
    names = _read_names(directory)
    data, labels = np.empty((0, 576), np.float32), []
    for file in TRAIN_FILES if split == "train" else [TEST_FILE]:
        raw, batch_labels = _read_batch(directory / file)
        data.resize((len(data) + len(raw), 576), refcheck=False)  # grows where it lies
        _clean_into(raw, data[-len(raw):])
        labels.append(batch_labels)
    return names, data, np.concatenate(labels)
