"""Training steps a second: ours, the tutorials' own loops, Keras and PyTorch, on one machine.

    python benchmarks/throughput.py [--recipe NAME ...] [--data-dir D] [--rounds 5]

Prints one table a recipe. Every rival trains the same network (the number of its parameters
is checked) in a process of its own; a round lets one after the other train for some seconds
while the others wait, and ratios are taken within rounds, since the machine's speed drifts by
more than what is measured. The product of two 4096 x 4096 matrices takes its turn as well:
what share of its speed a rival reaches is also taken within rounds, counting convolutions and
dense layers only. The rivals are in benchmarks/rivals.py; PyTorch is left out where it is not
installed. Linux only: what the waiting processes used is read from /proc.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import rivals

from tf1cifar import recipes
from tf1cifar.training.resume import native_bfloat16

PRODUCTS = {f"product {precision}": precision for precision in ("float32", "bfloat16")}


def serve(name, recipe, data_dir, seconds):
    """A rival's process: prepare, warm up, then train for `seconds` at every line that comes.

    Standard output is for the answers alone: the number of parameters when ready, then steps
    a second.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if name in PRODUCTS:
        steps, parameters = rivals.product(PRODUCTS[name]), 0
    else:
        steps, parameters = rivals.RIVALS[name][0](rivals.task(recipe, data_dir))
    number, spent = 2, 0.0
    while spent < seconds / 3:
        number *= 2
        start = time.perf_counter()
        steps(number)
        spent = time.perf_counter() - start
    number = max(1, round(number * seconds / spent))
    print(parameters, file=answers)
    for _ in sys.stdin:
        start = time.perf_counter()
        steps(number)
        print(number / (time.perf_counter() - start), file=answers)


class Process:
    """The process of a rival, ready to run rounds."""

    def __init__(self, name, *arguments):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--serve", json.dumps([name, *arguments])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.parameters = self._answer(int)

    def round(self):
        """Steps a second in one round."""
        print("go", file=self.process.stdin, flush=True)
        return self._answer(float)

    def _answer(self, kind):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"throughput.py: {self.name} died, see above")
        return kind(line)

    def processor_seconds(self):
        """Processor time that it has used."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()
        self.process.wait()


def measure(recipe, names, options):
    """Run `options.rounds` rounds of the rivals called `names`.

    Returns:
      Dictionary, name -> list of steps a second, one a round; and that of the processes that
      waited: processor seconds they used, per second of waiting, at most.
    """
    settings, _, shape = rivals.setting(recipe)
    expected, _ = rivals.count(settings.network, shape)
    speeds, idle = {name: [] for name in names}, 0.0
    with contextlib.ExitStack() as stack:
        processes = []
        for name in names:
            processes.append(stack.enter_context(
                Process(name, recipe, options.data_dir, options.seconds)))
            if name not in PRODUCTS and processes[-1].parameters != expected:
                sys.exit(f"throughput.py: {name} trains {processes[-1].parameters:,} numbers, "
                         f"expected {expected:,}")
        for number in range(options.rounds):
            first = number % len(names)
            for process in processes[first:] + processes[:first]:
                others = [other for other in processes if other is not process]
                start, before = time.perf_counter(), [o.processor_seconds() for o in others]
                speeds[process.name].append(process.round())
                used = [o.processor_seconds() - b for o, b in zip(others, before)]
                idle = max(idle, sum(used) / (time.perf_counter() - start))
    return speeds, idle


def table(recipe, speeds):
    """The lines of a recipe's table."""
    settings, _, shape = rivals.setting(recipe)
    batch = settings.batch_size
    _, operations = rivals.count(settings.network, shape)
    best = max((name for name in speeds if name.startswith("ours")),
               key=lambda name: statistics.median(speeds[name]))

    def ratio(above, below, factor=1.0):
        ratios = [factor * a / b for a, b in zip(above, below)]
        return statistics.median(ratios), min(ratios), max(ratios)

    lines = [f"| {recipe}, batch {batch} | samples/s | / tutorial | {best} / this | "
             "of the product |", "| --- | --- | --- | --- | --- |"]
    for name, rounds in speeds.items():
        if name in PRODUCTS:
            continue
        precision = rivals.RIVALS[name][1]
        product = [steps * 2 * rivals.SIDE ** 3 for steps in speeds[f"product {precision}"]]
        share, _, _ = ratio(rounds, product, 100 * batch * operations)
        cells = [name, f"{batch * statistics.median(rounds):,.0f}"]
        for above, below in ((name, "tutorial"), (best, name)):
            cells.append("{:.2f} ({:.2f} to {:.2f})".format(*ratio(speeds[above], speeds[below])))
        lines.append(f"| {' | '.join(cells)} | {share:.0f} % |")
    return lines


def machine():
    """What this is measured on, in words."""
    cpu = platform.machine()
    with contextlib.suppress(OSError):  # not Linux
        names = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
        cpu = (names or [cpu])[0]
    native = "native" if native_bfloat16() else "no native"
    versions = [f"{package} {importlib.metadata.version(package)}"
                for package in ("tensorflow", "keras", "torch")
                if importlib.util.find_spec(package)]
    return (f"{cpu}, {os.cpu_count()} cores, {native} bfloat16; "
            f"Python {platform.python_version()}, {', '.join(versions)}")


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", nargs="+", choices=recipes.RECIPES, metavar="NAME",
                        default=list(recipes.RECIPES),
                        help=f"of {', '.join(recipes.RECIPES)} (default: all)")
    parser.add_argument("--data-dir", help="folder of CIFAR-10 (default: random pixels)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each rival's turn")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    """Measure and print the tables, or be one of the processes that are measured."""
    options = parse_arguments()
    if options.serve:
        return serve(*options.serve)

    names = list(PRODUCTS) + list(rivals.RIVALS)
    if not importlib.util.find_spec("torch"):
        names = [name for name in names if not name.startswith("torch")]
        print("PyTorch is not installed and left out")
    data = ("CIFAR-10 is that of --data-dir; MNIST's images" if options.data_dir
            else "All images")
    print(f"{machine()}\n{data} are random pixels. Medians, in brackets extremes, of "
          f"{options.rounds} rounds of {options.seconds:g} s.", flush=True)
    for recipe in options.recipe:
        speeds, idle = measure(recipe, names, options)
        print("", *table(recipe, speeds), sep="\n")
        print()
        products = [f"{statistics.median(speeds[name]) * 2 * rivals.SIDE ** 3 / 1e9:,.0f} "
                    f"GFLOP/s {precision}" for name, precision in PRODUCTS.items()]
        print(f"The product: {', '.join(products)}. The waiting processes together used at "
              f"most {100 * idle:.1f} % of a core.", flush=True)
    return None


if __name__ == "__main__":
    main()
