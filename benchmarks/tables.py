"""Make the tables of docs/performance.md from the figures of benchmarks/throughput.py.

    python benchmarks/throughput.py --data-dir D --json figures.json
    python benchmarks/tables.py benchmarks/figures/*.json

Prints, for every file, which is of one machine, three tables in Markdown: images per second, the
ratios, and the precision that `--precision auto` chooses beside the measured training steps.
Figures are medians over the rounds; ratios are taken within rounds and have their extremes.
"""

import argparse
import json
import pathlib
import statistics

COLUMNS = {"ours float32": "this project, float32", "ours bfloat16": "this project, bfloat16",
           "tutorial": "tutorial's loop", "keras float32": "Keras, float32",
           "keras bfloat16": "Keras, bfloat16", "torch plain": "PyTorch, plain",
           "torch float32": "PyTorch, tuned float32", "torch bfloat16": "PyTorch, tuned bfloat16"}


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", metavar="FILE", nargs="+", type=pathlib.Path,
                        help="file that throughput.py --json wrote")
    return parser.parse_args(arguments)


def row(*cells):
    """A line of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def ratio(above, below):
    """The median ratio of two lists of speeds, round by round, with its extremes in brackets."""
    ratios = [a / b for a, b in zip(above, below)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def fastest(speeds):
    """The name of the rival with the highest median speed, None without rivals."""
    return max(speeds, default=None, key=lambda name: statistics.median(speeds[name]))


def tables(content):
    """The lines of the tables of one machine.

    Args:
      content: the dictionary that throughput.py wrote.
    """
    recipes = content["recipes"]
    shown = [name for name in COLUMNS if any(name in item["speeds"] for item in recipes.values())]
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    lines = [f"### {content['machine']}", "",
             f"{versions}; {content['rounds']} rounds of {content['seconds']:g} s.", "",
             row("images/s", "batch", *(COLUMNS[name] for name in shown)),
             row(*["---"] * (2 + len(shown)))]
    for recipe, item in recipes.items():
        lines.append(row(f"`{recipe}`", item["batch_size"], *(
            f"{item['batch_size'] * statistics.median(item['speeds'][name]):,.0f}"
            if name in item["speeds"] else "" for name in shown)))
    lines += ["", row("ratios", "default / tutorial's loop", "float32 / tutorial's loop",
                      "default / best rival", "the best rival",
                      "float32 / best PyTorch in float32"), row(*["---"] * 6)]
    for recipe, item in recipes.items():
        speeds = item["speeds"]
        default = speeds[f"ours {item['auto']}"]
        rivals = {name: values for name, values in speeds.items()
                  if not name.startswith(("ours", "product"))}
        best = fastest(rivals)
        torch = fastest({name: speeds[name] for name in ("torch plain", "torch float32")
                         if name in speeds})
        lines.append(row(
            f"`{recipe}`", ratio(default, speeds["tutorial"]),
            ratio(speeds["ours float32"], speeds["tutorial"]), ratio(default, speeds[best]),
            COLUMNS[best], ratio(speeds["ours float32"], speeds[torch]) if torch else ""))
    lines += ["", row("precision", "bfloat16 / float32, training steps", "`--precision auto`"),
              row("---", "---", "---")]
    for recipe, item in recipes.items():
        lines.append(row(f"`{recipe}`", ratio(item["speeds"]["ours bfloat16"],
                                              item["speeds"]["ours float32"]), item["auto"]))
    return lines


def main():
    """Print the tables."""
    for file in parse_arguments().files:
        print("\n".join(tables(json.loads(file.read_text()))), end="\n\n")


if __name__ == "__main__":
    main()
