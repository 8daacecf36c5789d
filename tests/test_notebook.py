"""docs/chapter9.ipynb, run in a real kernel."""

import pathlib
import re

import matplotlib
import nbclient
import nbformat
import pytest

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.whole
def test_notebook_runs(tmp_path, monkeypatch):
    # Without its cache of fonts, matplotlib takes seconds to build a new one.
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "IPYTHONDIR", "TMPDIR",
                     "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        folder = tmp_path / variable
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    notebook = nbformat.read(DOCS / "chapter9.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 12
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)

    # A cell that fails raises an error with its traceback.
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3",
                            resources={"metadata": {"path": str(DOCS)}}).execute()
    pictures = [output for cell in code for output in cell.outputs
                if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    printed = "".join(output.text for output in code[-1].outputs if output.get("name") == "stdout")
    accuracy = re.fullmatch(r"test accuracy (\d\.\d{4}) \(\d+/1000\)\n", printed)
    assert accuracy and float(accuracy[1]) > 0.2, printed
