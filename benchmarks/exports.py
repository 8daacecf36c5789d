"""The table of docs/export.md: every form of trained runs, as its own consumer runs it.

    python benchmarks/exports.py runs/lrn_cnn runs/hinge ...     prints the table
"""

import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tf1cifar import console, machine
from tf1cifar.export import FORMS
from tf1cifar.training.run_folder import RunFolder

HEAD = """| run | form | MB | run by | images | accuracy | session | same class | difference \
| logits | ms |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="run folders")
    parser.add_argument("--browser-images", type=int, default=250, metavar="N",
                        help="number of test images that the page classifies")
    return parser.parse_args(arguments)


def rows(name, export):
    """The lines of the table about a `writing.Export`."""
    for form, measured in export.measured.items():
        start = f"| {name} | `{FORMS[form]}` | {export.sizes[form] / 1e6:.2f} |"
        if form == "npz":
            yield f"{start} NumPy | | equal to the bit | | | | | |"
        for one in measured:
            yield (f"{start} {one.consumer} | {one.images:,} | {one.accuracy:.4f} | "
                   f"{one.session:.4f} | {one.same:.2%} | {one.difference:.1e} | "
                   f"{one.relative:.1e} | {one.milliseconds:.2f} |")
    for form, line in export.refused.items():
        yield f"| {name} | `{FORMS[form]}` | | left out: {line} | | | | | | | |"


def main():
    """Export every run into a temporary folder and print the table."""
    options = parse_arguments()
    with console.quiet_tensorflow():
        from tf1cifar.export import comparison, inference, writing
    comparison.BROWSER_IMAGES = options.browser_images
    table = [HEAD]
    for path in options.runs:
        folder = RunFolder(path)
        run = inference.read(folder)
        with tempfile.TemporaryDirectory() as made:
            table += rows(path.name, writing.write(run, folder, FORMS, pathlib.Path(made)))
    print(f"\n{machine.processor()}, {machine.cores()} cores\n\n" + "\n".join(table))


if __name__ == "__main__":
    console.run(main, "exports.py")
