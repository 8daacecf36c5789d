"""compare_runs.py: the table, the CSV file, the page and the figure."""

import csv
import html.parser
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image
from support.run_files import write_run

import compare_runs
from tf1cifar import errors
from tf1cifar.training import comparison

ROOT = pathlib.Path(__file__).parents[1]
HOSTILE = "<script>alert('x')<b> & \"$x^2$"


@pytest.fixture
def runs(tmp_path):
    """A folder with three runs, two of which differ in the seed alone, and a file."""
    write_run(tmp_path / "runs/one", correct=150, learning_rate=0.01)
    write_run(tmp_path / "runs/s0", correct=100, seed=0)
    write_run(tmp_path / "runs/s1", correct=110, seed=1)
    (tmp_path / "runs/notes.txt").write_text("notes")
    return tmp_path / "runs"


def test_main_prints_the_best_run_first(runs, capsys):
    compare_runs.main([str(path) for path in sorted(runs.iterdir())])
    out, err = capsys.readouterr()
    head, first, second = out.splitlines()
    assert head.split("  ")[0] == "run" and "learning_rate" in head
    assert first.split()[:3] == ["one", "0.7500", "{:.4f}-{:.4f}".format(
        *comparison.wilson(150, 200))]
    assert second.split()[:4] == ["s*", "0.5250", "±", "0.0354"]
    assert first.index("0.7500") + 6 == second.index("0.0354") + 6  # numbers end in one column
    assert err == f"compare_runs.py: left out: {runs / 'notes.txt'}: no run, since it has no " \
                  "recipe.json\n"


def test_main_goes_on_over_a_damaged_run(runs, capsys):
    (runs / "s0/metrics.csv").write_bytes(b"\xff\n")
    compare_runs.main([str(runs / "*")])  # not every shell replaces a pattern
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and "s1" in out and "s0" not in out
    assert "metrics.csv: damaged" in err and err.count("\n") == 2


def test_main_refuses_folders_without_a_run(tmp_path, capsys):
    with pytest.raises(errors.UserError, match="none of these is a run"):
        compare_runs.main([str(tmp_path), str(tmp_path / "nothing")])
    assert capsys.readouterr().err.count("left out: ") == 2


@pytest.mark.parametrize("line, words", [
    ("", "RUN"), ("a --csv b.txt", "ends with .csv"), ("a --html nowhere/b.html", "no folder"),
    ("a --figure b.gif", ".png or .pdf or .svg")])
def test_parse_arguments_names_a_mistake(line, words):
    with pytest.raises(errors.UserError) as caught:
        compare_runs.parse_arguments(line.split())
    assert words in str(caught.value)


def test_find_names_a_run_once(runs, monkeypatch):
    monkeypatch.chdir(runs.parent)
    assert compare_runs.find(["runs/one", "runs/one/", "runs/o*", "./runs/s0"]) == [
        "runs/one", "runs/s0"]


def test_csv_has_a_line_for_each_run(runs, tmp_path):
    compare_runs.main([str(runs / "*"), "--csv", str(tmp_path / "x.csv")])
    with open(tmp_path / "x.csv", newline="", encoding="utf-8") as source:
        lines = list(csv.DictReader(source))
    assert [pathlib.Path(line["run"]).name for line in lines] == ["one", "s0", "s1"]
    assert [line["seed"] for line in lines] == ["0", "0", "1"]
    assert float(lines[0]["test_accuracy"]) == 0.75
    assert (float(lines[0]["interval_low"]), float(lines[0]["interval_high"])) == pytest.approx(
        comparison.wilson(150, 200))
    assert {"augment", "learning_rate", "parameters", "seconds", "data"} <= lines[0].keys()


class Page(html.parser.HTMLParser):
    """Collects the tags and the texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(data)


def test_page_escapes_everything_and_needs_no_network(runs, tmp_path, monkeypatch):
    write_run(runs / HOSTILE, correct=20, dropout=0.25, crc32=HOSTILE)
    compare_runs.main([str(runs / "*"), "--html", str(tmp_path / "x.html")])
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "b", "link", "iframe"} & set(page.tags)
    assert HOSTILE in page.texts and "<script" not in text
    (source,) = page.sources
    assert source.startswith("data:image/svg+xml;base64,")
    for word in ("0.7500", "0.5250 ± 0.0354", "network: lrn_cnn", "3 seeds"[2:]):
        assert any(word in item for item in page.texts), word
    assert page.tags.count("tr") == 4


def test_page_names_the_settings_that_all_runs_share(runs, tmp_path):
    write_run(runs / "other", correct=20, summary_every=7, augment=("crop",))
    compare_runs.main([str(runs / "*"), "--html", str(tmp_path / "x.html")])
    shared = {text.partition(":")[0] for text in Page(
        (tmp_path / "x.html").read_text(encoding="utf-8")).texts if ": " in text}
    assert {"network", "batch_size", "data", "processor"} <= shared
    assert not {"summary_every", "augment", "learning_rate", "seed"} & shared


def test_figure_is_a_picture(runs, tmp_path):
    compare_runs.main([str(runs / "*"), "--figure", str(tmp_path / "x.png")])
    assert np.ptp(image.imread(tmp_path / "x.png")) > 0.5


def test_main_answers_without_tensorflow_and_numpy(runs):
    code = (f"import sys; sys.argv = ['compare_runs.py', {str(runs / 'one')!r}]\n"
            "import compare_runs; compare_runs.main()\n"
            "sys.exit(str({'numpy', 'tensorflow', 'matplotlib'} & set(sys.modules) or ''))")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True,
                            capture_output=True, check=False)
    assert result.stderr.strip() == "" and "0.7500" in result.stdout
