"""Compare the training speed of this project, the tutorials' own loops, Keras and PyTorch.

    python benchmarks/throughput.py [--recipe NAME ...] [--data-dir D] [--rounds 5]

The script prints one table for each recipe. Every rival trains the same network in a process of its
own, and the script checks the number of its parameters. In a round the rivals take turns: one
trains for some seconds while the others wait. Ratios are taken within a round, because the
machine's speed drifts by more than the measured differences. The product of two 4096 x 4096
matrices takes turns with the rivals. The last column of a table is the share of the product's
speed that a rival reaches with its convolutions and dense layers, also within a round.

The rows of a table are the rivals in benchmarks/rivals.py:

    ours float32, ours bfloat16                 this project with that --precision
    tutorial                                    the loop of the source's listing
    keras float32, keras bfloat16               `Model.fit`
    torch plain, torch float32, torch bfloat16  PyTorch: a plain loop, and two tuned ones

PyTorch is left out if it is not installed. The script runs on Linux only, because it reads the
processor time of the waiting processes from /proc.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import rivals

from tf1cifar import console, machine, recipes

CHOICE = "choice"  # name of the process that times layers as --precision auto does
PRODUCTS = {f"product {precision}": precision for precision in ("float32", "bfloat16")}


def serve(name, recipe, data_dir, seconds):
    """Be the process of a rival: prepare and warm up, then train once for each line of input.

    Standard output has the answers and nothing else: the number of parameters once the rival is
    ready, then the steps per second of each round.

    Args:
      name: name of the rival, or of a matrix product in PRODUCTS.
      recipe: name of the recipe.
      data_dir: path of CIFAR-10's folder; None for random pixels.
      seconds: approximate length of a round.
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
    """The process of a rival, ready to run rounds.

    Args:
      name: name of the rival.
      arguments: the other arguments of `serve`.
    """

    def __init__(self, name, *arguments):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--serve", json.dumps([name, *arguments])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.parameters = self._answer(int)

    def round(self):
        """Run one round; the steps per second."""
        print("go", file=self.process.stdin, flush=True)
        return self._answer(float)

    def _answer(self, kind):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"throughput.py: the process of {self.name} ended, see its error above")
        return kind(line)

    def processor_seconds(self):
        """Processor time that the process has used, in seconds."""
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
      (speeds, idle): a dictionary from the name of a rival to its steps per second in each round,
      a list; and the largest load by all waiting processes together in any turn, in processor
      seconds per second.
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
                sys.exit(f"throughput.py: {name} has {processes[-1].parameters:,} parameters, "
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
    """The lines of a recipe's table.

    Args:
      recipe: name of the recipe.
      speeds: dictionary from the name of a rival to its steps per second in each round.
    """
    settings, _, shape = rivals.setting(recipe)
    batch = settings.batch_size
    _, operations = rivals.count(settings.network, shape)
    best = max((name for name in speeds if name.startswith("ours")),
               key=lambda name: statistics.median(speeds[name]))

    def ratio(above, below, factor=1.0):
        ratios = [factor * a / b for a, b in zip(above, below)]
        return statistics.median(ratios), min(ratios), max(ratios)

    lines = [f"| {recipe}, batch {batch} | samples/s | ratio to tutorial | {best} / this rival | "
             "share of the product's speed |", "| --- | --- | --- | --- | --- |"]
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


def choice(recipe):
    """The timing by which `--precision auto` decides, in a process of its own.

    Returns:
      (precision, line): see `precision.choose`.
    """
    process = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--serve", json.dumps([CHOICE, recipe])],
        stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(process.stdout)


def serve_choice(recipe):
    """The process of `choice`: prints its result as JSON."""
    settings, _, shape = rivals.setting(recipe)
    with console.quiet_tensorflow():
        from tf1cifar.training import precision
    print(json.dumps(precision.choose(settings, shape, 10, "cpu")))


def versions():
    """The versions of Python and of the packages that are compared, a dictionary."""
    return {"python": platform.python_version(),
            **{package: importlib.metadata.version(package)
               for package in ("tensorflow", "keras", "torch")
               if importlib.util.find_spec(package)}}


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", nargs="+", choices=recipes.RECIPES, metavar="NAME",
                        default=list(recipes.RECIPES),
                        help=f"names of recipes: {', '.join(recipes.RECIPES)} (default: all)")
    parser.add_argument("--data-dir", help="folder of CIFAR-10 (default: random pixels)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0,
                        help="length of each rival's turn in seconds (default: 3)")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path,
                        help="file for all figures, the machine and the versions, as JSON, from "
                        "which benchmarks/tables.py makes the tables of docs/performance.md")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    """Measure the rivals and print the tables, or, with --serve, be the process of one rival."""
    options = parse_arguments()
    if options.serve:
        return (serve_choice(*options.serve[1:]) if options.serve[0] == CHOICE
                else serve(*options.serve))

    names = list(PRODUCTS) + list(rivals.RIVALS)
    if not importlib.util.find_spec("torch"):
        names = [name for name in names if not name.startswith("torch")]
        print("PyTorch is not installed, so the tables have no rows of PyTorch; "
              "pip install -r requirements-benchmarks.txt")
    data = ("CIFAR-10 is that of --data-dir; MNIST's images" if options.data_dir
            else "All images")
    print(f"{machine.describe()}; {', '.join(map(' '.join, versions().items()))}\n"
          f"{data} are random pixels. The figures are medians of {options.rounds} rounds of "
          f"{options.seconds:g} s, with the extremes in brackets.", flush=True)
    content = {"machine": machine.describe(), "versions": versions(), "rounds": options.rounds,
               "seconds": options.seconds, "recipes": {}}
    if options.json and options.json.exists():  # of recipes measured before, on this machine
        before = json.loads(options.json.read_text())
        if (before["machine"], before["versions"]) == (content["machine"], content["versions"]):
            content["recipes"] = before["recipes"]
    for recipe in options.recipe:
        chosen, line = choice(recipe)
        speeds, idle = measure(recipe, names, options)
        print("", *table(recipe, speeds), sep="\n")
        print(f"\n--precision auto: {line}")
        products = [f"{statistics.median(speeds[name]) * 2 * rivals.SIDE ** 3 / 1e9:,.0f} "
                    f"GFLOP/s {precision}" for name, precision in PRODUCTS.items()]
        print(f"The matrix product: {', '.join(products)}. The waiting processes together used "
              f"at most {100 * idle:.1f} % of a core.", flush=True)
        content["recipes"][recipe] = {
            "batch_size": rivals.setting(recipe)[0].batch_size, "auto": chosen, "speeds": speeds}
        if options.json:
            options.json.write_text(json.dumps(content, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
