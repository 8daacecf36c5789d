"""The structure: imports go down, files stay short, and what must answer at once loads nothing."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "tf1cifar").rglob("*.py"))

# From the ground up. A module imports from its own floor and from those before it.
FLOORS = (
    ("errors",),
    ("arguments", "console", "files", "locks", "machine", "plain_paths", "signals",
     "standard_error"),
    ("recipes", "data", "parts", "networks", "losses", "optimizers", "drawing",
     "assessment", "html_page", "curves"),
    ("summaries", "resident"), ("graph",), ("training",), ("export",))

# Scripts use these before they know that they need TensorFlow, or even the data.
WITHOUT_NUMPY = ("errors", "console", "files", "locks", "machine", "plain_paths", "recipes",
                 "networks", "signals", "training.run_folder", "training.resume",
                 "training.checkpoints", "training.comparison")
WITHOUT_TENSORFLOW = ("data", "data.feed", "data.preparation", "data.own_pictures", "drawing",
                      "assessment", "html_page", "curves")


def floor_of(module):
    """The floor of a module of the package, such as 'data.feed'."""
    (number,) = [number for number, floor in enumerate(FLOORS) if module.split(".")[0] in floor]
    return number


def imported(path):
    """The modules of the package that a file imports, such as 'data.feed'."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("tf1cifar.") for name in names
                    if name.startswith("tf1cifar."))


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    module = ".".join(path.relative_to(ROOT / "tf1cifar").with_suffix("").parts)
    if module != "__init__":
        for name in imported(path):
            assert floor_of(name) <= floor_of(module.removesuffix(".__init__")), name


def test_imports_are_found():
    assert {"graph", "data.feed.Feed", "console"} <= set(
        imported(ROOT / "tf1cifar/training/loop.py"))
    assert floor_of("graph") > floor_of("data.feed") > floor_of("errors")


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path):
    longest = {"recipes.py": 420, "loop.py": 295}.get(path.name, 340)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


@pytest.mark.parametrize("modules, absent", [
    (WITHOUT_NUMPY, {"numpy", "tensorflow", "matplotlib"}), (WITHOUT_TENSORFLOW, {"tensorflow"})])
def test_modules_load_nothing_slow(modules, absent):
    code = (f"import {', '.join('tf1cifar.' + name for name in modules)}, sys\n"
            f"sys.exit(str({absent} & set(sys.modules)) if {absent} & set(sys.modules) else 0)")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True,
                            capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_imports_have_no_circles():
    """Imports at the top of modules; those inside functions come later."""
    names = {".".join(path.relative_to(ROOT / "tf1cifar").with_suffix("").parts).removesuffix(
        ".__init__"): path for path in PACKAGE}
    graph = {}
    for name, path in names.items():
        top = [node for node in ast.parse(path.read_text(encoding="utf-8")).body
               if isinstance(node, ast.ImportFrom) and node.module.startswith("tf1cifar")]
        targets = {f"{node.module}.{alias.name}".removeprefix("tf1cifar.")
                   for node in top for alias in node.names}
        graph[name] = {target if target in names else target.rpartition(".")[0]
                       for target in targets} - {name}
    assert "data.base" in graph["data.cifar10"] and len(graph) > 30
    while leaves := [name for name, targets in graph.items() if not targets & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}
