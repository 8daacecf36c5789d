"""Train on eight classes of CIFAR-10, tune on a few images of the other two, and compare.

    python benchmarks/fine_tuning.py --cifar10 D [--classes A B] [--images N] [--seeds N]

One run of cnn_train.py learns all classes but two. Then, for every seed, N images of each of the
two are drawn, and three runs with equal settings train on them: from scratch, from the weights of
the first run with a new last layer (--init-from), and the same with frozen convolutions (--freeze).
All are tested on all test images of the two classes. Finished runs are not trained again.

The table goes to DIR/table.md: the test accuracy of each run, the mean, the least gain over the run
from scratch with the same seed, and the median of the seconds from the start of cnn_train.py's
training to its end.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import numpy as np

from tf1cifar import machine
from tf1cifar.data import cifar10

ROOT = pathlib.Path(__file__).resolve().parents[1]
KINDS = {"from scratch": "", "`--init-from`": "--init-from {source}",
         "`--init-from` and `--freeze conv1 conv2`": "--init-from {source} --freeze conv1 conv2"}


def write(folder, dataset, classes, images=None, seed=0):
    """Write a part of CIFAR-10 in its binary layout, which --dataset folders reads.

    Args:
      folder: a `pathlib.Path`; a folder that is there stays as it is.
      dataset: the `base.Dataset` of CIFAR-10.
      classes: names of the classes to keep.
      images: number of training images of each class, drawn at random; None for all.
      seed: seed of the draw.
    """
    if (folder / "batches.meta.txt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)

    def rows(split, images):
        chosen = [rng.permutation(np.flatnonzero(split.labels == dataset.class_names.index(name)))
                  [:images] for name in classes]
        labels = np.repeat(np.arange(len(classes), dtype=np.uint8), [len(part) for part in chosen])
        pixels = split.images[np.concatenate(chosen)].transpose(0, 3, 1, 2).reshape(len(labels), -1)
        return rng.permutation(np.concatenate([labels[:, None], pixels], 1))

    for number, part in enumerate(np.array_split(rows(dataset.train, images), 5), 1):
        (folder / f"data_batch_{number}.bin").write_bytes(part.tobytes())
    (folder / "test_batch.bin").write_bytes(rows(dataset.test, None).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(classes) + "\n")


def train(data, run, options):
    """Train a run on the images in a folder, unless it is finished.

    Returns:
      (test accuracy, seconds from the start of the training to the result).
    """
    if not (run / "result.json").exists():
        subprocess.run([sys.executable, str(ROOT / "cnn_train.py"), "--dataset", "folders",
                        "--data-dir", str(data), "--run-dir", str(run), *options.split()],
                       check=True, cwd=ROOT)
    seconds = ((run / "result.json").stat().st_mtime - (run / "recipe.json").stat().st_mtime)
    return json.loads((run / "result.json").read_text())["test_accuracy"], seconds


def main():
    """Train the runs that are missing; write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", required=True, help="folder of CIFAR-10")
    parser.add_argument("--classes", nargs=2, default=("ship", "truck"), metavar="NAME",
                        choices=cifar10.CLASS_NAMES, help="the two classes (default: ship truck)")
    parser.add_argument("--images", type=int, default=100, metavar="N",
                        help="training images of each of the two classes (default: 100)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="number of seeds (default: 5)")
    parser.add_argument("--before", default="", metavar="OPTIONS",
                        help="further options of the run on eight classes, in one argument")
    parser.add_argument("--tuning", default="--epochs 100 --batch-size 20 --held-out 0",
                        metavar="OPTIONS", help="options of all other runs, in one argument "
                        "(default: --epochs 100 --batch-size 20 --held-out 0)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/fine_tuning",
                        help="folder of the data and the runs (default: runs/fine_tuning)")
    options = parser.parse_args()
    out = options.out / "-".join(options.classes)
    dataset = cifar10.load(cifar10.find(options.cifar10))
    others = [name for name in dataset.class_names if name not in options.classes]
    write(out / "eight", dataset, others)
    accuracy, _ = train(out / "eight", out / "source", options.before)
    tested = np.isin(dataset.test.labels, [dataset.class_names.index(name)
                                           for name in options.classes]).sum()
    lines = [f"{machine.describe()}; the run on eight classes has {100 * accuracy:.2f} %, the "
             f"others are tested on {tested:,} images of {' and '.join(options.classes)}", "",
             "| start | test accuracy of each seed | mean | least gain | seconds |",
             "| --- | --- | --- | --- | --- |"]
    scratch = None
    for number, (kind, start) in enumerate(KINDS.items()):
        measured = []
        for seed in range(options.seeds):
            data = out / f"few-{seed}"
            write(data, dataset, options.classes, options.images, seed)
            measured.append(train(data, out / f"kind{number}-{seed}", f"{options.tuning} --seed "
                                  f"{seed} {start.format(source=out / 'source')}"))
        accuracies = [100 * accuracy for accuracy, _ in measured]
        scratch = scratch or accuracies
        gain = min(now - then for now, then in zip(accuracies, scratch))
        lines.append(f"| {kind} | {', '.join(f'{value:.2f}' for value in accuracies)} % | "
                     f"{statistics.mean(accuracies):.2f} % | {gain:+.2f} | "
                     f"{statistics.median(seconds for _, seconds in measured):.0f} |")
    table = "\n".join(lines) + "\n"
    (out / "table.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
