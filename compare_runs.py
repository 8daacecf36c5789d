"""Compare trained runs: a table of settings, accuracies and times, and their curves.

    python compare_runs.py runs/*
    python compare_runs.py runs/* --html comparison.html
"""

import os
import sys

if __name__ == "__main__":  # `python -I` and PYTHONSAFEPATH=1 leave out the script's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tf1cifar  # noqa: I001 - first, because it refuses a Python that is too old

if __name__ == "__main__":
    sys.excepthook = tf1cifar.excepthook
import base64
import csv
import glob
import html
import io

from tf1cifar import console, errors, files
from tf1cifar.training import comparison

FIGURE_SUFFIXES = (".png", ".pdf", ".svg")
NUMERIC = ("test accuracy", "95 % interval", "held-out", "seconds", "images/s", "parameters")
STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 110rem;
       margin: 0 auto; padding: 1rem; }
p, ul { max-width: 50rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; white-space: nowrap;
         border-bottom: 1px solid #bbb; }
th { vertical-align: bottom; border-bottom: 2px solid #111; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; padding-left: 0;
         min-width: 8rem; max-width: 40vw; white-space: normal; overflow-wrap: anywhere; }
img { width: 100%; min-width: 40rem; max-width: 80rem; }
ul { padding-left: 1.2rem; font-size: .9rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
               img { min-width: 0; } }
"""


def parse_arguments(arguments=None):
    """The namespace of a command line.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    parser = console.ArgumentParser(
        description="Print a table of runs, the best first: the settings that differ, the test "
        "accuracy with its 95 % interval (Wilson's), the seconds of the training steps, images a "
        "second, and parameters. Runs that differ in the seed alone become one line with mean and "
        "standard deviation.",
        epilog="examples:\n  python compare_runs.py runs/*\n"
        "  python compare_runs.py runs/* --html comparison.html --csv comparison.csv")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, such as runs/*")
    parser.add_argument("--csv", metavar="FILE", help="write a line for each run, with all its "
                        "settings, to FILE")
    parser.add_argument("--html", metavar="FILE", help="write the table and the curves to FILE, a "
                        "page for a browser that needs no other file")
    parser.add_argument("--figure", metavar="FILE", help="draw the curves of all runs to FILE.png, "
                        "FILE.pdf or FILE.svg")
    options = parser.parse_args(arguments)
    for name in ("csv", "html", "figure"):
        path = getattr(options, name)
        if path is not None:
            path = files.expanded(path)
            suffixes = FIGURE_SUFFIXES if name == "figure" else (f".{name}",)
            if path.suffix.lower() not in suffixes or path.is_dir():
                parser.error(f"--{name} {path}: expected a file name that ends with "
                             f"{' or '.join(suffixes)}")
            if not path.parent.is_dir():
                parser.error(f"--{name} {path}: there is no folder {path.parent}")
            setattr(options, name, path)
    return options


def find(patterns):
    """The paths of a command line, each once; not every shell replaces a pattern such as runs/*."""
    paths = {}
    for pattern in patterns:
        path = files.expanded(pattern)
        found = [path] if path.exists() else sorted(glob.glob(str(path))) or [path]
        for item in found:
            paths.setdefault(os.path.realpath(item), os.path.normpath(item))
    return list(paths.values())


def read_runs(paths):
    """Read the runs; a line on standard error names a folder that is none.

    Returns:
      A list of `comparison.Run`.
    """
    runs = []
    for path in paths:
        try:
            runs.append(comparison.read(path))
        except (errors.UserError, OSError) as error:
            console.complain("compare_runs.py", f"left out: {error}", 0, kind="")
    return runs


def print_table(head, lines):
    """Print a table with aligned columns, numbers on the right."""
    widths = [max(len(line[number]) for line in (head, *lines)) for number in range(len(head))]
    for line in (head, *lines):
        cells = [text.rjust(width) if title in NUMERIC else text.ljust(width)
                 for title, text, width in zip(head, line, widths)]
        print("  ".join(cells).rstrip())


def write_csv(path, runs):
    """Write a line for each run."""
    records = list(comparison.records(runs))
    # The names of files need not be text.
    with files.replacing(path, newline="", errors="backslashreplace") as out:
        writer = csv.DictWriter(out, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def draw(entries):
    """The figure of the entries' curves."""
    console.import_matplotlib()
    from tf1cifar import curves
    count = sum(len(entry.runs) for entry in entries)
    return curves.comparison([entry.name for entry in entries],
                             [[run.rows for run in entry.runs] for entry in entries],
                             f"{count} run{'s' * (count != 1)} after every epoch")


def page(head, lines, entries, figure):
    """The page for a browser, as a str in which every foreign text is escaped.

    Args:
      head, lines: see `comparison.table`.
      entries: list of `comparison.Entry`.
      figure: a matplotlib figure.
    """
    def row(tag, cells):
        return "<tr>" + "".join(
            f'<{tag}{" class=number" * (title in NUMERIC)}>'
            f'{html.escape(text).replace("_", "_<wbr>")}</{tag}>'
            for title, text in zip(head, cells)) + "</tr>"

    image = io.BytesIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(image.getvalue()).decode()
    everything = [run for entry in entries for run in entry.runs]
    count = len(everything)
    alike = [f"{name}: {comparison.setting_text(value)}"
             for name, value in everything[0].settings.items() if value is not None
             and all(run.settings[name] == value for run in everything)]
    intervals = ("Of such intervals (Wilson's), 95 % hold the accuracy on all images of the kind. "
                 if "95 % interval" in head else "")
    members = [run for entry in entries if len(entry.runs) > 1 for run in entry.runs]
    runs = "".join(
        f"<li>{html.escape(console.cut(run.path))}, seed {run.settings['seed']}: "
        + (f"{run.test_accuracy:.4f}" if run.test_accuracy is not None else "no test")
        + f", {html.escape(run.state)}</li>" for run in members)
    return "\n".join([
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{count} runs side by side</title><style>{STYLE}</style></head><body>",
        f"<h1>{count} runs side by side</h1>",
        '<div class="wide"><table><thead>', row("th", head), "</thead><tbody>",
        *[row("td", line) for line in lines], "</tbody></table></div>",
        f"<p>The run with the highest test accuracy comes first. {intervals}Seconds are those of "
        "the training steps. Runs that differ in the seed alone are one line, with mean ± standard "
        "deviation.</p>",
        f'<h2>Curves</h2><div class="wide"><img alt="Training loss and error of each run after '
        f'every epoch" src="data:image/svg+xml;base64,{encoded}"></div>',
        *([f"<h2>Runs that differ in the seed alone</h2><ul>{runs}</ul>"] if members else []),
        "<h2>Settings that all runs share</h2><ul>",
        *[f"<li>{html.escape(console.cut(text))}</li>" for text in alike],
        "</ul></body></html>", ""])


def main(arguments=None):
    """Run the script; the exit status is 2 if no folder is a run."""
    options = parse_arguments(arguments)
    runs = read_runs(find(options.runs))
    if not runs:
        raise errors.UserError("none of these is a run; name run folders, such as runs/*")
    entries = comparison.entries(runs)
    head, lines = comparison.table(entries)
    print_table(head, lines)
    if options.csv:
        write_csv(options.csv, runs)
    if options.figure:
        files.save_figure(draw(entries), options.figure)
    if options.html:
        with files.replacing(options.html, errors="backslashreplace") as out:
            out.write(page(head, lines, entries, draw(entries)))
    return None


if __name__ == "__main__":
    console.run(main, "compare_runs.py")
