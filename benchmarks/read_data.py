"""Compare time and memory of `cifar_tools.read_data` and of chapter 9's listing.

    python benchmarks/read_data.py FOLDER [--rounds N]

Both read and clean CIFAR-10. FOLDER is the folder with the data_batch files. In the output,
"chapter" is the book's listing and "ours" is this project's `read_data`. The two functions take
turns, and their pixels must agree within 1e-5.
"""

import argparse
import pathlib
import pickle
import runpy
import statistics
import time
import tracemalloc

import numpy as np

from tf1cifar.data import cifar10

READ_DATA = runpy.run_path(str(pathlib.Path(__file__).parents[1] / "cifar_tools.py"))["read_data"]


def chapter(directory):
    """The book's listing: clean all 50,000 images at once, in float64."""
    data, labels = [], []
    for file in cifar10.TRAIN_FILES:
        with open(pathlib.Path(directory) / file, "rb") as source:
            batch = pickle.load(source, encoding="latin1")
        data = np.vstack((data, batch["data"])) if len(data) else batch["data"]
        labels = np.hstack((labels, batch["labels"])) if len(labels) else batch["labels"]
    gray = data.reshape(len(data), 3, 32, 32).mean(1)
    pixels = gray[:, 4:28, 4:28].reshape(len(data), -1)
    means = pixels.mean(1).reshape(-1, 1)
    deviations = np.maximum(pixels.std(1).reshape(-1, 1), 1.0 / np.sqrt(pixels.shape[1]))
    return (pixels - means) / deviations, labels


def ours(directory):
    """This project's `cifar_tools.read_data`."""
    return READ_DATA(directory)[1:]


def peak_megabytes(function, directory):
    """The largest memory that Python and NumPy allocate during a call, in MiB."""
    tracemalloc.start()
    function(directory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2 ** 20


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder with CIFAR-10's data_batch files")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds (default: 7)")
    return parser.parse_args(arguments)


def main():
    """Time both functions, and print their times, their memory and the ratio of the times."""
    options = parse_arguments()
    seconds = {chapter: [], ours: []}
    for _ in range(options.rounds + 1):
        for function, spent in seconds.items():
            start = time.perf_counter()
            result = function(options.folder)
            spent.append(time.perf_counter() - start)
            if function is chapter:
                expected = result
        difference = np.abs(expected[0] - result[0]).max()
        assert difference < 1e-5
        assert np.array_equal(expected[1], result[1])
    del expected, result
    for function, spent in seconds.items():
        memory = peak_megabytes(function, options.folder)
        print(f"{function.__name__:8}  {statistics.median(spent[1:]):.3f} s  {memory:5.0f} MB")
    ratios = [a / b for a, b in zip(seconds[chapter][1:], seconds[ours][1:])]
    print(f"chapter / ours, median of {options.rounds}: {statistics.median(ratios):.2f}; "
          f"largest difference of a pixel {difference:.1g}")


if __name__ == "__main__":
    main()
