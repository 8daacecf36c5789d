"""Predict the speed of 1 to 8 machines from the figures of benchmarks/cluster.py.

    python benchmarks/cluster_model.py benchmarks/figures/cluster.json [--cores 2]

A step takes the computation of a machine's part, the processor time of the sum, and the time of the
sum's bytes on the wire, one after the other. The first two are measured on one machine and divided
by the cores; the wire is assumed to carry its nominal rate. Bytes and core-seconds are compared
with those that 2, 3 and 4 tasks took.
"""

import argparse
import json
import pathlib

MACHINES, RATES = (2, 4, 8), (10, 100)  # numbers of machines; Gbit/s
BYTES = {"float32": 4, "bfloat16": 2}


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", type=pathlib.Path, help="file that cluster.py --json wrote")
    parser.add_argument("--cores", type=int, default=2, help="cores of a machine (default: 2)")
    return parser.parse_args(arguments)


def sum_bytes(tasks, numbers, dtype):
    """Bytes that each task sends for one sum: a ring sends every number 2 (N - 1) / N times."""
    return 2 * (tasks - 1) / tasks * numbers * BYTES[dtype]


def sum_seconds(figures, dtype):
    """Core-seconds of one task for each byte that it sends, the median of the measured sums."""
    costs = sorted(row["core_seconds"] / row["tasks"] / sum_bytes(row["tasks"], row["numbers"],
                                                                  dtype)
                   for row in figures["sums"] if row["dtype"] == dtype)
    return costs[len(costs) // 2]


def main():
    """Print how well the model fits, and what it predicts."""
    options = parse_arguments()
    figures = json.loads(options.figures.read_text())
    costs = {dtype: sum_seconds(figures, dtype) for dtype in BYTES}
    print(f"{figures['machine']}, TensorFlow {figures['tensorflow']}")
    print("a sum takes " + ", ".join(f"{1e9 * cost:.2f} core-ms a MB in {dtype}"
                                     for dtype, cost in costs.items()))
    one = {(row["recipe"], row["precision"], row["images"]): row for row in figures["training"]
           if row["tasks"] == 1}

    print("\n| recipe | images a task | tasks | MB a task: measured / model | core-ms a task: "
          "measured / model | efficiency |\n| --- | --- | --- | --- | --- | --- |")
    for row in figures["training"]:
        alone, tasks = one[row["recipe"], row["precision"], row["images"]], row["tasks"]
        if tasks == 1:
            continue
        sent = sum_bytes(tasks, row["parameters"], "float32")
        model = alone["core_seconds"] + costs["float32"] * sent
        measured = row["core_seconds"] / tasks
        print(f"| `{row['recipe']}` {row['precision']} | {row['images']} | {tasks} | "
              f"{row['bytes'] / tasks / 1e6:.2f} / {sent / 1e6:.2f} | {1000 * measured:.0f} / "
              f"{1000 * model:.0f} | {alone['core_seconds'] / measured:.2f} |")

    print("\n| recipe | images a machine | machines | " + " | ".join(
        f"{dtype}, {rate} Gbit/s" for dtype in BYTES for rate in RATES)
        + " |\n| --- | --- | --- |" + " --- |" * len(BYTES) * len(RATES))
    for (recipe, precision, images), row in one.items():
        for machines in MACHINES:
            compute, cells = row["core_seconds"] / options.cores, []
            for dtype in BYTES:
                sent = sum_bytes(machines, row["parameters"], dtype)
                for rate in RATES:
                    step = compute + costs[dtype] * sent / options.cores + sent * 8 / rate / 1e9
                    cells.append(f"{compute / step:.2f}")
            print(f"| `{recipe}` {precision} | {images} | {machines} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
