"""Print the operations that take the most time in the traces of `cnn_train.py --profile`.

    python benchmarks/trace.py R/profile [--top 20]

A trace holds one call of session.run. A printed time is the mean over the traces. Operations that
run at the same time share the cores, so the sum of their times may be longer than the call.
"""

import argparse
import collections
import json
import pathlib


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="R/profile", type=pathlib.Path,
                        help="folder of the traces in the run folder R")
    parser.add_argument("--top", type=int, default=20,
                        help="number of operations to print (default: 20)")
    return parser.parse_args(arguments)


def main():
    """Add up the times of each operation, and print the largest sums."""
    options = parse_arguments()
    traces = [json.loads(file.read_text())["traceEvents"]
              for file in sorted(options.folder.glob("step-*.json"))]
    if not traces:
        raise SystemExit(f"trace.py: {options.folder}: no step-*.json there; "
                         "cnn_train.py --profile writes them")
    spent, whole = collections.Counter(), 0.0
    for events in traces:
        operations = [event for event in events if event.get("cat") == "Op"]
        start = min(event["ts"] for event in operations)
        whole += max(event["ts"] + event["dur"] for event in operations) - start
        for event in operations:
            spent[event["args"]["name"], event["name"]] += event["dur"]
    total = sum(spent.values())
    print(f"{len(traces)} calls of {whole / len(traces) / 1000:.1f} ms, "
          f"operations {total / len(traces) / 1000:.1f} ms")
    for (name, kind), time in spent.most_common(options.top):
        print(f"{time / len(traces) / 1000:8.2f} ms {100 * time / total:5.1f} %  {kind:30} {name}")


if __name__ == "__main__":
    main()
