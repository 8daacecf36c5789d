"""Train every recipe with its own settings and write the accuracies as tables.

    python benchmarks/reproduce.py [--cifar10 D] [--mnist M] [--only NAME ...] [--out DIR]

A row of a table is a run of cnn_train.py in a folder of its own below DIR. Finished runs are not
trained again, so this script can be stopped and resumed. The tables go to DIR/tables.md. The
first table has the published and the measured accuracy of every recipe. The second table has the
effect of each tip of chapter 9 on `lrn_cnn`. The minutes of a run are those after its last start.

The third table races the published accuracies that are in reach: the seconds from the command to
the first checkpoint whose accuracy on held-out images is the published one, and the test accuracy
of that checkpoint. These runs are trained anew each time.

An accuracy is that of the last weights. If the recipe holds out images, it is that of the weights
with the best held-out accuracy. It is never the best of several test accuracies.
"""

import argparse
import csv
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

from tf1cifar import recipes

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Row(NamedTuple):
    """A row of the first table.

    Attributes:
      recipe: name of the recipe.
      options: options of cnn_train.py that differ from the recipe's settings.
      claim: the published test accuracy.
      remark: short description of the run, for the last column.
    """
    recipe: str
    options: str
    claim: str
    remark: str


SYSTEMS = {
    "hinge": Row(
        "hinge", "", "none",
        "multi-class hinge loss of the source's text, learning rate falling to 0"),
    "hinge-published": Row(
        "hinge", "--loss hinge --schedule constant", "none",
        "one-against-all hinge loss of the source's code, which does not settle at the constant "
        "learning rate of 0.5"),
    "softmax": Row("softmax", "", "about 30 %", "learning rate falling to 0"),
    "softmax-published": Row(
        "softmax", "--schedule constant", "about 30 %",
        "constant learning rate, so the last of 1,000 noisy steps decides: 25 to 28 % with the "
        "seeds 0 to 3"),
    "two_layer_fc": Row("two_layer_fc", "", "46 %", "as published"),
    "lrn_cnn": Row(
        "lrn_cnn", "", "none", "He weights, shuffled images, crop and flip, cosine schedule"),
    "lrn_cnn-published": Row(
        "lrn_cnn", "--initialization normal --schedule constant --learning-rate 0.001 "
        "--batch-size 250 --order in_order --augment none --held-out 0", "none",
        "the chapter's settings: weights from N(0, 1), no shuffling; 10 epochs instead of 1,000"),
    "dropout_cnn": Row(
        "dropout_cnn", "", "78.81 %", "dropout active, cosine schedule, 10 epochs instead of 60"),
    "dropout_cnn-published": Row(
        "dropout_cnn", "--dropout 0 --schedule steps --decay-epochs 20 --epochs 60", "78.81 %",
        "dropout is never active in the source's code, so the network overfits"),
    "batchnorm_cnn": Row(
        "batchnorm_cnn", "", "99.17 %", "the moving mean and variance are updated"),
    "batchnorm_cnn-published": Row(
        "batchnorm_cnn", "--batch-norm-decay 1", "99.17 %",
        "the moving mean and variance are never updated, so evaluation normalizes by mean 0 and "
        "variance 1"),
    "tutorial_cnn": Row(
        "tutorial_cnn", "", "about 86 % after 256 epochs", "cosine schedule, 40 epochs"),
    "tutorial_cnn-published": Row(
        "tutorial_cnn", "--schedule steps --decay-epochs 350", "about 86 % after 256 epochs",
        "the learning rate is constant for 350 epochs, of which this run trains 40"),
}

PLAIN = "--augment none"
TIPS = {
    "none of them": PLAIN,
    "flip": "--augment flip",
    "crop": "--augment crop",
    "crop and flip (the default)": "--augment crop flip",
    "brightness": "--augment brightness",
    "contrast": "--augment contrast",
    "hue": "--augment hue",
    "noise": "--augment noise",
    "scale": "--augment scale",
    "early stopping": f"{PLAIN} --early-stopping 2",
    "L2": f"{PLAIN} --l2 0.002",
    "dropout": f"{PLAIN} --dropout 0.5",
    "deeper": f"{PLAIN} --conv-layers 3",
    "crop, flip and deeper": "--augment crop flip --conv-layers 3",
}


# Published accuracy -> options of the run that reaches it.
CLAIMS = {0.30: "--recipe softmax --held-out 0.1", 0.46: "--recipe two_layer_fc --held-out 0.1",
          0.7881: "--recipe fast --epochs 3 --held-out 0.1"}
OUT_OF_REACH = """
99.17 % on MNIST is published for 60,000 training images; the `t10k` files alone leave 8,500. About
86 % on CIFAR-10 is published for 256 epochs of `tutorial_cnn`, hours on two cores, and on pixels
that were not stored as JPEG. The sources of `hinge` and `lrn_cnn` name no accuracy.
"""


def train(name, recipe, options, data, out):
    """Train a run in the folder out/name, unless it is finished.

    Args:
      name: name of the run's folder.
      recipe: name of the recipe.
      options: further options of cnn_train.py, in one str.
      data: dictionary from the name of a data set to the path of its folder.
      out: the `pathlib.Path` of the folder of all runs.

    Returns:
      (result, description, minutes): the contents of result.json and of recipe.json, and the
      minutes from the last start of the run to its end.
    """
    folder = out / name
    if not (folder / "result.json").exists():
        print(f"{name}: {recipe} {options}", flush=True)
        subprocess.run([sys.executable, str(ROOT / "cnn_train.py"), "--recipe", recipe,
                        "--data-dir", data[recipes.RECIPES[recipe].dataset], "--run-dir",
                        str(folder), *options.split()], check=True, cwd=ROOT)
    result = json.loads((folder / "result.json").read_text())
    description = json.loads((folder / "recipe.json").read_text())
    minutes = ((folder / "result.json").stat().st_mtime
               - (folder / "recipe.json").stat().st_mtime) / 60
    return result, description, minutes


def race(claim, options, data_dir, out):
    """Train until a checkpoint has the accuracy `claim` on held-out images.

    Args:
      claim: an accuracy, a share of 1.
      options: options of cnn_train.py, in one str.
      data_dir: folder of CIFAR-10.
      out: the `pathlib.Path` of the folder of all runs.

    Returns:
      (seconds, held_out, test): the seconds from the command to the end of the first epoch with
      that accuracy, None if there was none; its accuracy; and the line of restore_model.py about
      its checkpoint.
    """
    folder = out / f"claim-{claim}"
    shutil.rmtree(folder, ignore_errors=True)
    metrics, seconds, row = folder / "metrics.csv", None, {}
    start = time.monotonic()
    with subprocess.Popen([sys.executable, str(ROOT / "cnn_train.py"), *options.split(),
                           "--data-dir", data_dir, "--run-dir", str(folder), "--max-to-keep",
                           "1000"], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not row:
            ended = process.poll() is not None
            now = time.monotonic()
            if metrics.exists():
                with open(metrics, encoding="utf-8") as file:
                    row = next((row for row in csv.DictReader(file)
                                if float(row["held_out_accuracy"]) >= claim), {})
            if ended:
                break
            time.sleep(0.05)
        seconds = now - start
    if not row:
        return None, None, ""
    printed = subprocess.run(
        [sys.executable, str(ROOT / "restore_model.py"), str(folder), "--checkpoint",
         f"model.ckpt-{row['step']}", "--data-dir", data_dir], cwd=ROOT, check=True,
        capture_output=True, text=True).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("test accuracy")]
    return seconds, float(row["held_out_accuracy"]), line


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", help="folder of CIFAR-10")
    parser.add_argument("--mnist", help="folder of MNIST")
    parser.add_argument("--only", nargs="+", choices=[*SYSTEMS, "tips", "claims"],
                        metavar="NAME", default=[*SYSTEMS, "tips", "claims"],
                        help=f"names of the rows to make: {', '.join(SYSTEMS)}, tips for the "
                        "second table, and claims for the third (default: all)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/reproduce",
                        help="folder of the runs and of tables.md (default: runs/reproduce)")
    options = parser.parse_args(arguments)
    for name in options.only:
        kind = recipes.RECIPES[SYSTEMS[name].recipe if name in SYSTEMS else "lrn_cnn"].dataset
        if not getattr(options, kind):
            parser.error(f"--{kind} is needed for {name}")
    return options


def main():
    """Train the runs that the command line names, and write and print the tables."""
    options = parse_arguments()
    data = {"cifar10": options.cifar10, "mnist": options.mnist}
    lines = []
    if set(options.only) & set(SYSTEMS):
        lines += ["| run | options | published | test accuracy | steps | minutes | data | remark |",
                  "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, row in SYSTEMS.items():
        if name in options.only:
            result, description, minutes = train(name, row.recipe, row.options, data, options.out)
            shown = row.options and f"`{row.options}`"
            lines.append(
                f"| `{name}` | {shown} | {row.claim} | {100 * result['test_accuracy']:.2f} % | "
                f"{result['trained_steps']:,} | {minutes:.1f} | {description['dataset']['name']}, "
                f"{description['dataset']['test_images']:,} test images | {row.remark} |")
    if "tips" in options.only:
        lines += ["", "| tip | options | test accuracy | training accuracy |",
                  "| --- | --- | --- | --- |"]
        for name, tip in TIPS.items():
            folder = "tip-" + re.sub("[^a-z0-9]+", "-", name.lower())
            result, _, _ = train(folder, "lrn_cnn", tip, data, options.out)
            last = (options.out / folder / "metrics.csv").read_text().splitlines()[-1].split(",")
            lines.append(f"| {name} | `{tip}` | {100 * result['test_accuracy']:.2f} % | "
                         f"{100 * float(last[4]):.1f} % |")
    if "claims" in options.only:
        lines += ["", "| published | run | seconds | held-out accuracy | test |",
                  "| --- | --- | --- | --- | --- |"]
        for claim, run in CLAIMS.items():
            seconds, held_out, line = race(claim, run, data["cifar10"], options.out)
            reached = (f"{seconds:.1f} | {100 * held_out:.2f} % | {line}" if seconds
                       else "not reached | | ")
            lines.append(f"| {100 * claim:.4g} % | `{run}` | {reached} |")
        lines.append(OUT_OF_REACH)
    options.out.mkdir(parents=True, exist_ok=True)
    table = "\n".join(lines) + "\n"
    (options.out / "tables.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
