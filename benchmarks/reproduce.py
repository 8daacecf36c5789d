"""Train every recipe with its own settings and write the accuracies as tables.

    python benchmarks/reproduce.py [--cifar10 D] [--mnist M] [--only NAME ...] [--out DIR]

A row is a training run in DIR/NAME, made by cnn_train.py; what is finished there is not
trained again, so this can be stopped and resumed. The tables go to DIR/tables.md: every
system against its own claim, and what each tip of chapter 9 does to `lrn_cnn`. Minutes are those
of a run's last start.

Accuracies are of the last epoch's weights, or, where images are held out, of those that did
best on these; never of the best of many tests.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

from tf1cifar import recipes

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Row(NamedTuple):
    """A run: its recipe, the options that make it differ, and what to say of it."""
    recipe: str
    options: str
    claim: str
    remark: str


SYSTEMS = {
    "hinge": Row("hinge", "", "none", "the multi-class loss of the text, the rate falling"),
    "hinge-published": Row(
        "hinge", "--loss hinge --schedule constant", "none",
        "the one-against-all loss of the code; at the constant rate of 0.5 it never settles"),
    "softmax": Row("softmax", "", "about 30 %", "the rate falling to 0"),
    "softmax-published": Row(
        "softmax", "--schedule constant", "about 30 %",
        "at a constant rate the last of 1,000 noisy steps decides: 25 to 28 % by the seed"),
    "two_layer_fc": Row("two_layer_fc", "", "46 %", "as published"),
    "lrn_cnn": Row("lrn_cnn", "", "none", "He weights, shuffled, crop and flip, cosine"),
    "lrn_cnn-published": Row(
        "lrn_cnn", "--initialization normal --schedule constant --learning-rate 0.001 "
        "--batch-size 250 --order in_order --augment none --held-out 0", "none",
        "N(0, 1) weights; 10 epochs instead of 1,000"),
    "dropout_cnn": Row("dropout_cnn", "", "78.81 %", "dropout on, cosine, 10 epochs"),
    "dropout_cnn-published": Row(
        "dropout_cnn", "--dropout 0 --schedule steps --decay-epochs 20 --epochs 60", "78.81 %",
        "its dropout never switches on, so after some epochs it overfits"),
    "batchnorm_cnn": Row("batchnorm_cnn", "", "99.17 %", "moving statistics updated"),
    "batchnorm_cnn-published": Row(
        "batchnorm_cnn", "--batch-norm-decay 1", "99.17 %",
        "they are never updated, so evaluation normalizes by mean 0 and variance 1"),
    "tutorial_cnn": Row("tutorial_cnn", "", "about 86 % after 256 epochs", "cosine, 40 epochs"),
    "tutorial_cnn-published": Row(
        "tutorial_cnn", "--schedule steps --decay-epochs 350", "about 86 % after 256 epochs",
        "the rate of 0.1 is constant for 350 epochs; 40 of them"),
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


def train(name, recipe, options, data, out):
    """The finished run in out/name: its result, description, and its last start's minutes."""
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


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", help="folder of CIFAR-10")
    parser.add_argument("--mnist", help="folder of MNIST")
    parser.add_argument("--only", nargs="+", choices=[*SYSTEMS, "tips"], metavar="NAME",
                        default=[*SYSTEMS, "tips"],
                        help=f"rows to make: {', '.join(SYSTEMS)}, tips (default: all)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/reproduce",
                        help="folder of the runs and of tables.md (default: runs/reproduce)")
    options = parser.parse_args(arguments)
    for name in options.only:
        kind = recipes.RECIPES[SYSTEMS[name].recipe if name in SYSTEMS else "lrn_cnn"].dataset
        if not getattr(options, kind):
            parser.error(f"--{kind} is needed for {name}")
    return options


def main():
    """Train the rows that the command line names, and write and print the tables."""
    options = parse_arguments()
    data = {"cifar10": options.cifar10, "mnist": options.mnist}
    lines = []
    if set(options.only) & set(SYSTEMS):
        lines += ["| row | options | claim | test accuracy | steps | minutes | data | |",
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
    table = "\n".join(lines) + "\n"
    (options.out / "tables.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
