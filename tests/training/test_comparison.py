"""Several runs side by side: figures against NumPy, and runs in every state."""

import json
import pathlib
import tarfile

import numpy as np
import pytest
from support.run_files import TEST_IMAGES, TRAINING_IMAGES, write_run

from tf1cifar import errors, locks
from tf1cifar.training import comparison

RUNS = pathlib.Path(__file__).parents[1] / "fixtures/runs"


@pytest.mark.parametrize("correct, images", [(0, 40), (40, 40), (1, 1), (7066, 10000), (3, 12)])
def test_wilson_solves_its_equation(correct, images):
    """The ends are the shares p from which the found one is 1.96 standard deviations away."""
    share, z = correct / images, comparison.NORMAL_QUANTILE
    expected = sorted(np.roots([1 + z * z / images, -2 * share - z * z / images, share * share]))
    np.testing.assert_allclose(comparison.wilson(correct, images), np.real(expected), atol=1e-12)


def test_wilson_covers_the_true_accuracy_in_95_percent_of_cases():
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.02, 0.98, 4000)
    found = [comparison.wilson(int(rng.binomial(200, share)), 200) for share in shares]
    held = [low <= share <= high for share, (low, high) in zip(shares, found)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_read_knows_the_figures_of_a_run(tmp_path):
    write_run(tmp_path / "run", seconds=2.5, learning_rate=0.01)
    run = comparison.read(tmp_path / "run")
    assert (run.correct, run.test_images, run.test_accuracy) == (120, TEST_IMAGES, 0.6)
    assert run.held_out_accuracy == pytest.approx(0.6)
    assert (run.seconds, run.images) == (7.5, 3 * TRAINING_IMAGES)
    assert run.images_per_second() == 400.0
    assert (run.parameters, run.state, run.finished) == (2_474_698, "finished", True)
    assert run.settings["learning_rate"] == 0.01 and run.settings["processor"] == "a processor"


@pytest.mark.parametrize("options, changes, state", [
    ({}, {}, "finished"),
    ({"correct": None, "errors": [0.5, 0.4]}, {}, "stopped, epoch 2/3"),
    ({"correct": None, "errors": []}, {}, "stopped, no epoch yet"),
    ({"errors": [0.5, 0.6], "early_stopping": 1}, {"early_stopping": 1}, "stopped early"),
    ({"epochs": 9}, {}, "stopped, epoch 3/9, tested after epoch 3")])
def test_read_tells_the_state_of_a_run(options, changes, state, tmp_path):
    folder = write_run(tmp_path / "run", **options)
    if changes:
        folder.write_result({**folder.read_result(), **changes})
    assert comparison.read(folder.path).state == state


def test_read_tells_a_run_that_is_training_and_does_not_disturb_it(tmp_path):
    folder = write_run(tmp_path / "run", correct=None, errors=[0.5])
    with folder.locked():
        assert comparison.read(folder.path).state == "running, epoch 1/3"
    assert comparison.read(folder.path).state == "stopped, epoch 1/3"
    with locks.lock(folder.lock_file):  # nothing holds it any more
        pass


@pytest.mark.parametrize("name", ["no-number", "no-image-size"])
def test_read_runs_of_older_versions(name, tmp_path):
    with tarfile.open(RUNS / f"{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    run = comparison.read(tmp_path / name)
    number = json.loads((tmp_path / name / "recipe.json").read_text()).get("format", 1)
    assert run.state == f"finished, format {number}"
    assert (run.seconds, run.parameters, run.images_per_second()) == (None, None, None)
    assert run.test_accuracy == run.correct / run.test_images


@pytest.mark.parametrize("name, content, words", [
    ("result.json", '{"test_correct": 300}', "300 of 200"),
    ("result.json", '{"test_images": 0, "test_correct": 0}', "0 of 0"),
    ("times.csv", "step,images,seconds\n1,2,-3.0\n", "negative"),
    ("times.csv", "step,images,seconds\n1,2,nan\n", "negative or too large"),
    ("times.csv", "step,images\n1,2\n", "its columns are not"),
    ("metrics.csv", "epoch\n1\n", "its columns are not"),
    ("recipe.json", "{", "not JSON")])
def test_read_refuses_what_makes_no_sense(name, content, words, tmp_path):
    folder = write_run(tmp_path / "run")
    if name == "result.json":
        content = json.dumps({**folder.read_result(), **json.loads(content)})
    (folder.path / name).write_text(content)
    with pytest.raises(errors.UserError, match=words) as caught:
        comparison.read(folder.path)
    assert name in str(caught.value)


def test_read_leaves_out_figures_that_are_no_numbers(tmp_path):
    folder = write_run(tmp_path / "run", errors=[0.5, float("nan")])
    folder.write_result({**folder.read_result(), "parameters": "many"})
    run = comparison.read(folder.path)
    assert (run.held_out_accuracy, run.parameters) == (0.5, None)


def read_all(path):
    return [comparison.read(folder) for folder in sorted(path.iterdir())]


def test_entries_join_runs_that_differ_in_the_seed_alone(tmp_path):
    scores = (110, 130, 126)
    for seed, correct in enumerate(scores):
        write_run(tmp_path / f"a-seed{seed}-x", correct=correct, seed=seed, seconds=1 + seed)
    write_run(tmp_path / "b", correct=150, learning_rate=0.01, summary_every=7)
    write_run(tmp_path / "c", correct=None, errors=[], learning_rate=0.02)
    found = comparison.entries(read_all(tmp_path))
    assert [(entry.name, len(entry.runs)) for entry in found] == [
        ("b", 1), ("a-seed*-x", 3), ("c", 1)]
    head, lines = comparison.table(found)
    assert head == ["run", "test accuracy", "95 % interval", "held-out", "learning_rate", "seed",
                    "seconds", "images/s", "parameters", "state"]
    table = {line[0]: dict(zip(head, line)) for line in lines}
    shares, seconds = np.array(scores) / TEST_IMAGES, 3 * np.arange(1, 4)
    speeds = 3 * TRAINING_IMAGES / seconds
    joined = table["a-seed*-x"]
    assert joined["test accuracy"] == f"{shares.mean():.4f} ± {shares.std(ddof=1):.4f}"
    assert joined["seconds"] == f"{seconds.mean():.1f} ± {seconds.std(ddof=1):.1f}"
    assert joined["images/s"] == f"{speeds.mean():,.0f} ± {speeds.std(ddof=1):,.0f}"
    assert (joined["95 % interval"], joined["seed"], joined["held-out"],
            joined["parameters"]) == ("", "3 seeds", "0.6000", "2,474,698")
    assert table["b"]["95 % interval"] == "{:.4f}-{:.4f}".format(*comparison.wilson(150, 200))
    assert table["c"]["test accuracy"] == table["c"]["seconds"] == ""
    assert table["c"]["state"] == "stopped, no epoch yet"


def test_entries_keep_apart_what_says_nothing_about_chance(tmp_path):
    """A copy of a run has its figures, and other data make it another experiment."""
    write_run(tmp_path / "a")
    write_run(tmp_path / "copy")
    write_run(tmp_path / "other-data", crc32="ffffffff", seed=1)
    found = comparison.entries(read_all(tmp_path))
    assert [entry.name for entry in found] == ["a", "copy", "other-data"]
    assert comparison.differences(found) == {"seed": ["0", "0", "1"],
                                             "data": ["0123abcd", "0123abcd", "ffffffff"]}


def test_entries_of_seeds_that_are_not_all_finished(tmp_path):
    for seed, correct in ((0, 110), (1, None)):
        write_run(tmp_path / f"s{seed}", correct=correct, seed=seed,
                  errors=[0.5] if correct is None else [0.6, 0.5, 0.4])
    head, (line,) = comparison.table(comparison.entries(read_all(tmp_path)))
    values = dict(zip(head, line))
    assert (values["run"], values["state"]) == ("s*", "1 of 2 finished")
    assert values["test accuracy"] == "0.5500 (1 run)"


def test_differences_name_settings_as_the_command_line_does(tmp_path):
    write_run(tmp_path / "a", augment=(), test_every_epoch=True, learning_rate=0.001)
    write_run(tmp_path / "b", augment=("crop", "flip"), lrn="native", learning_rate=0.0005)
    found = comparison.entries(read_all(tmp_path))
    assert comparison.differences(found) == {
        "augment": ["none", "crop flip"], "learning_rate": ["0.001", "0.0005"],
        "lrn": ["auto", "native"]}  # no report decides over a result


@pytest.mark.parametrize("paths, name", [
    (["s-0", "s-1"], "s-*"), (["a0b", "a1b"], "a*b"), (["a", "aa"], "a*"), (["x", "y"], "*")])
def test_common_name(paths, name):
    assert comparison.common_name(paths) == name
