"""README.md, CONTRIBUTING.md and docs/: commands are accepted, and links and paths exist.

Every command is parsed by the `parse_arguments` of its own script. Nothing is trained.
"""

import importlib.util
import os
import pathlib
import re
import shlex
import sys
import tarfile
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from matplotlib import image

from tf1cifar import graph, recipes
from tf1cifar.data import preparation
from tf1cifar.training import sources

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")))}
SCRIPT = (r"(?:cnn_train|restore_model|conv_visuals|compare_runs|export_model|"
          r"(?:benchmarks|tests/stress)/\w+)\.py")
FENCED = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The two entries in tables of recipes.py that belong to README's example of a network.
ENTRIES = re.findall(r'`("my_cnn": .+?)`', README)


def commands(text):
    """The command lines of this project's scripts in a document, as lists of words.

    A command is at the beginning of a line, perhaps after '$ ', or in `code` within a sentence. A
    backslash continues a line.
    """
    text = text.replace("\\\n", " ")
    lines = re.findall(rf"^\s*(?:\$ )?(python {SCRIPT}.*)$", text, re.MULTILINE)
    lines += re.findall(rf"`(python {SCRIPT}[^`]*)`", FENCED.sub("", text))
    return [shlex.split(line, comments=True)[1:] for line in lines]


COMMANDS = sorted({tuple(words) for text in DOCUMENTS.values() for words in commands(text)})


@pytest.fixture
def my_cnn(monkeypatch):
    """Add the README's example of a network to the tables in recipes.py."""
    for table, entry in zip((recipes.NETWORKS, recipes.RECIPES), ENTRIES, strict=True):
        (item,) = eval("{" + entry + "}", {"Recipe": recipes.Recipe}).items()
        monkeypatch.setitem(table, *item)


@pytest.fixture(scope="module")
def parser():
    """Function: path of a script -> its `parse_arguments`. Effects of the imports are undone."""
    environment, path, parsers = dict(os.environ), list(sys.path), {}

    def find(script):
        if script not in parsers:
            sys.path.insert(0, str((ROOT / script).parent))
            name = f"script_{pathlib.Path(script).stem}"
            spec = importlib.util.spec_from_file_location(name, ROOT / script)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            parsers[script] = module.parse_arguments
        return parsers[script]

    yield find
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path


def test_commands_finds_every_form():
    text = ("    $ python cnn_train.py --epochs 2 \\\n        --seed 1  # twice\n"
            "python benchmarks/lrn.py\nsee `python restore_model.py\nruns/x` and python cnn.py\n")
    assert commands(text) == [["cnn_train.py", "--epochs", "2", "--seed", "1"],
                              ["benchmarks/lrn.py"], ["restore_model.py", "runs/x"]]


def test_documents_have_commands_of_every_script():
    scripts = {words[0] for words in COMMANDS}
    expected = {"cnn_train.py", "restore_model.py", "conv_visuals.py", "compare_runs.py",
                "export_model.py"}
    expected |= {f"tests/stress/{name}.py" for name in ("campaign", "fuzz", "several")}
    expected |= {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py")
                 if path.name != "rivals.py"}  # a module without a command line
    assert scripts == expected


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_command_is_accepted_by_its_script(words, parser, my_cnn, monkeypatch):
    monkeypatch.setattr(sources, "find", lambda path, run_dir: sources.Source(
        path, "", "", None, None, None, None))
    parser(words[0])(list(words[1:]))


def test_readme_begins_with_two_commands_and_is_short():
    lines = README.splitlines()
    assert lines[0].startswith("# ")
    assert [line.split("#")[0].split() for line in lines[2:4]] == [["make", "train"],
                                                                   ["make", "test"]]
    assert len(lines) <= 200
    assert max(map(len, lines)) <= 110


def test_readme_first_training_command_downloads_the_data():
    assert commands(README)[0] == ["cnn_train.py"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = DOCUMENTS[document]
    for target, _, anchor in re.findall(r"\]\(((?!https?:)[^)#\s]*)(#([^)]*))?\)", text):
        path = (ROOT / document).parent / target if target else ROOT / document
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
                              for heading in headings]
    for reference in set(re.findall(r"\]\[(\w+)\]", text)):
        assert re.search(rf"^\[{reference}\]: https://\S+$", text, re.MULTILINE), reference


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_exist(document):
    for path in re.findall(r"`((?:tf1cifar|tests|benchmarks|docs)/[\w./-]*)", DOCUMENTS[document]):
        if "NAME" not in path and "my_cnn" not in path:
            assert (ROOT / path).exists(), path


def tree():
    """The paths in the README's tree of files, relative to the project."""
    (block,) = [block for block in re.findall(r"(?:^    .*\n)+", README, re.MULTILINE)
                if "tf1cifar/\n" in block]
    folders, paths = {4: pathlib.Path()}, []
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        folder = folders[indent]
        first = line.split()[0]
        if first.endswith("/") and not first.startswith("tests"):
            folder = folders[indent + 2] = folder / first
            paths.append(folder)
        paths += [folder / name for name in re.findall(r"\w+\.py|\w+/(?=\s)", line)
                  if name not in folder.parts and name != first or name.endswith(".py")]
    return paths


def test_readme_has_the_measured_accuracy_and_minutes_of_every_recipe():
    for name, (accuracy, minutes) in recipes.MEASURED.items():
        (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        assert row.split("|")[4:6] == [f" {accuracy} % ", f" {minutes:g} "]
    assert list(recipes.MEASURED) == list(recipes.RECIPES)


def test_readme_tree_names_files_that_exist():
    paths = tree()
    assert len(paths) > 30
    for path in paths:
        assert (ROOT / path).exists(), path


def test_readme_tree_names_every_module():
    modules = {path.relative_to(ROOT) for path in (ROOT / "tf1cifar").rglob("*.py")
               if path.name != "__init__.py"}
    networks = {pathlib.Path(f"tf1cifar/networks/{name}.py") for name in recipes.NETWORKS}
    assert modules - networks - set(tree()) == set()
    assert {path.relative_to(ROOT) for path in ROOT.glob("*.py")} <= set(tree())


def test_readme_network_is_a_network(my_cnn, monkeypatch):
    (source,) = [block for block in FENCED.findall(README) if "def inference" in block]
    assert len(source.splitlines()) <= 13
    module = types.ModuleType("tf1cifar.networks.my_cnn")
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    recipe = recipes.RECIPES["my_cnn"]
    assert recipe.network == "my_cnn"
    with tf.Graph().as_default():
        shape = preparation.prepared_shape((32, 32, 3), recipe.preparation)
        model = graph.build(recipe, shape, 10, 100)
        assert model.logits.shape.as_list() == [None, 10]


def test_notebook_cell_classifies_a_picture(tmp_path, monkeypatch, capsys):
    (source,) = [block for block in FENCED.findall(DOCUMENTS["docs/places.md"])
                 if "restored(folder)" in block]
    with tarfile.open(ROOT / "tests/fixtures/runs/no-lrn.tar.xz") as archive:
        archive.extractall(tmp_path / "runs", filter="data")
    (tmp_path / "runs/no-lrn").rename(tmp_path / "runs/lrn_cnn")
    image.imsave(tmp_path / "cat.png", np.zeros((40, 50, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(source, {})
    (row,) = eval(re.sub(r"(?<=\d)\s+", ", ", capsys.readouterr().out.strip()))
    assert len(row) == 10 and sum(row) == pytest.approx(1, abs=1e-4)
