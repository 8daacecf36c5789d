"""Write a trained run in the formats of other programs.

    python export_model.py runs/lrn_cnn                         every form, in runs/lrn_cnn/export
    python export_model.py runs/lrn_cnn --format tflite html    two of them
"""

import os
import sys

if __name__ == "__main__":  # `python -I` and PYTHONSAFEPATH=1 leave out the script's folder
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tf1cifar  # noqa: I001 - first, because it refuses a Python that is too old

if __name__ == "__main__":
    sys.excepthook = tf1cifar.excepthook

from tf1cifar import console, errors, files
from tf1cifar.export import FORMS, OTHERS
from tf1cifar.training.run_folder import RunFolder


def parse_arguments(arguments=None):
    """The namespace of a command line.

    Raises:
      errors.UserError: the command line has a mistake.
    """
    parser = console.ArgumentParser(
        description="Write a trained run in the formats of other programs. Each form takes uint8 "
        "pictures. It is run by the program that it is for and compared with the restored run; a "
        "form that differs is left out. A model card tells the figures.",
        epilog="examples:\n  python export_model.py runs/lrn_cnn\n"
        "  python export_model.py runs/lrn_cnn --format tflite html --to telephone")
    parser.add_argument("run", metavar="RUN", help="run folder, such as runs/lrn_cnn")
    parser.add_argument("--format", nargs="+", choices=tuple(FORMS), metavar="F", default=[],
                        help="forms to write: saved_model (TensorFlow 2, TensorFlow Serving, "
                        "Keras), tflite (LiteRT), tflite-int8 (the same with weights of 8 bits), "
                        "pb (frozen GraphDef), npz (weights), onnx (needs requirements-export.txt) "
                        "or html (a page for a browser) (default: all that can be written here)")
    parser.add_argument("--to", metavar="DIR",
                        help="folder of the export, which replaces an earlier export there as a "
                        "whole (default: the folder export in RUN)")
    parser.add_argument("--checkpoint", metavar="C",
                        help="best, latest, or the path of a checkpoint (default: the checkpoint "
                        "on which training measured its final accuracy)")
    parser.add_argument("--data-dir", metavar="D",
                        help="folder of the data set, whose test images the forms are compared on "
                        "(default: the folder used in training)")
    options = parser.parse_args(arguments)
    options.run = files.expanded(options.run)
    options.to = files.expanded(options.to) if options.to else options.run / "export"
    options.data_dir = options.data_dir and files.expanded(options.data_dir)
    return options


def main():
    """Run the script."""
    options = parse_arguments()
    folder = RunFolder(options.run)
    folder.read_description()
    folder.checkpoint_path(options.checkpoint)  # whose errors need no TensorFlow
    require_export_folder(options.to)
    with console.quiet_tensorflow():
        from tf1cifar.export import inference, writing
    for form in options.format:
        writing.require(form)
    run = inference.read(folder, options.checkpoint, options.data_dir)
    print(f"restored {run.checkpoint}, global step {run.step}")
    options.to.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing_folder(options.to) as made:
        made.mkdir()
        refused = writing.write(run, folder, options.format or FORMS, made).refused
    print(f"{options.to} holds {', '.join(sorted(path.name for path in options.to.iterdir()))}")
    for form, line in refused.items():
        console.complain("export_model.py", line, 0, kind="error: " * (form in options.format))
    return 1 if set(refused) & set(options.format) else 0


def require_export_folder(path):
    """Raise an `errors.UserError` unless `path` is free, empty or an earlier export."""
    files.require_folder(path, "--to")
    if path.exists() and (foreign := sorted(
            item.name for item in path.iterdir() if item.name not in (*FORMS.values(), *OTHERS))):
        raise errors.UserError(f"--to {path}: the folder holds {console.cut(foreign[0])}, which is "
                               "no file of an export; name a new folder, since an export replaces "
                               "its folder as a whole")


if __name__ == "__main__":
    console.run(main, "export_model.py")
