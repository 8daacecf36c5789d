"""Every benchmark, run for a moment on small data. The measured figures are not checked."""

import importlib.util
import json
import os
import pathlib

import numpy as np
import pytest

pytestmark = pytest.mark.whole
ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def benchmark(forks, tmp_path, tiny_cifar):
    """Function (name, *arguments) that runs a benchmark and returns its output."""
    def run(name, *arguments):
        result = forks.run(f"benchmarks/{name}.py", arguments, tmp_path, {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path),
            "XDG_CACHE_HOME": str(tmp_path / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"})
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout
    return run


def test_epoch(benchmark, tiny_cifar):
    printed = benchmark("epoch", "--data-dir", tiny_cifar, "--recipe", "hinge", "--rounds", 2)
    assert "an epoch of 2 steps" in printed and printed.count(" %  ") == 4


def test_lrn(benchmark):
    printed = benchmark("lrn", "--rounds", 1)
    assert "CPU float32" in printed and "CPU bfloat16" in printed


def test_cluster_and_model(benchmark, tmp_path):
    printed = benchmark("cluster", "--recipes", "softmax", "--images", 8, "--tasks", 1, 2,
                        "--steps", 2, "--rounds", 1, "--json", tmp_path / "cluster.json")
    assert printed.count("core-ms a task") == 4 and printed.count("efficiency") == 1
    printed = benchmark("cluster_model", tmp_path / "cluster.json")
    assert printed.count("| `softmax` float32 | 8 | 2 |") == 2


def test_read_data(benchmark, tiny_cifar):
    assert "chapter / ours" in benchmark("read_data", tiny_cifar, "--rounds", 1)


def test_reproduce_and_trace(benchmark, forks, tiny_cifar, tmp_path):
    """`reproduce` would start cnn_train.py as a process, so the run is trained before."""
    for name, options in (("hinge", []), ("two_layer_fc", ["--profile", "--steps-per-run", "1"])):
        result = forks.run(
            "cnn_train.py", ["--recipe", name, "--data-dir", tiny_cifar, "--run-dir",
                             tmp_path / name, "--steps", 8, "--precision", "float32",
                             *options], tmp_path,
            {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert result.returncode == 0, result.stderr
    printed = benchmark("reproduce", "--cifar10", tiny_cifar, "--only", "hinge", "--out", tmp_path)
    assert "| `hinge` |" in printed and "40 test images" in printed
    assert (tmp_path / "tables.md").read_text() in printed
    printed = benchmark("trace", tmp_path / "two_layer_fc/profile", "--top", 3)
    assert printed.startswith("3 calls of ") and printed.count("\n") == 4


@pytest.fixture(scope="module")
def throughput():
    """The module `throughput`, imported with its folder on the path for `rivals`."""
    path = ROOT / "benchmarks/throughput.py"
    spec = importlib.util.spec_from_file_location("throughput", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rival", ["ours float32", "tutorial", "keras float32"])
def test_throughput_serves_a_rival(rival, benchmark):
    """The process prints the number of parameters, and ends at the end of its input."""
    assert benchmark("throughput", "--serve",
                     json.dumps([rival, "softmax", None, 0.01])) == "30730\n"


def test_throughput_table_has_ratios_within_rounds(throughput):
    speeds = {"product float32": [1.0, 2.0], "product bfloat16": [1.0, 2.0],
              "ours float32": [30.0, 80.0], "tutorial": [10.0, 40.0]}
    *_, ours, tutorial = throughput.table("softmax", speeds)
    assert "| 5,500 | 2.50 (2.00 to 3.00) | 1.00 (1.00 to 1.00) |" in ours  # 100 images a step
    assert "| 2,500 | 1.00 (1.00 to 1.00) | 2.50 (2.00 to 3.00) |" in tutorial


@pytest.mark.parametrize("torch", [True, False])
def test_tables(torch, benchmark, tmp_path):
    """Ratios are taken within rounds: 2.50 is neither 110 / 50 nor the ratio of the medians."""
    speeds = {"product float32": [1.0, 1.0], "product bfloat16": [1.0, 1.0],
              "ours float32": [30.0, 80.0], "ours bfloat16": [15.0, 20.0],
              "tutorial": [10.0, 40.0], "keras float32": [3.0, 4.0]}
    if torch:
        speeds.update({"torch plain": [1.0, 2.0], "torch float32": [15.0, 80.0]})
    content = {"machine": "a machine, 2 cores", "versions": {"python": "3.11"}, "rounds": 2,
               "seconds": 1.5, "recipes": {
                   "hinge": {"batch_size": 100, "auto": "float32", "speeds": speeds}}}
    (tmp_path / "figures.json").write_text(json.dumps(content))
    printed = benchmark("tables", tmp_path / "figures.json")
    for words in ("### a machine, 2 cores", "| `hinge` | 100 | 5,500 | 1,750 | 2,500 | 350 |",
                  "| `hinge` | 2.50 (2.00 to 3.00) | 2.50 (2.00 to 3.00) | ",
                  "| `hinge` | 0.38 (0.25 to 0.50) | float32 |"):
        assert words in printed, printed
    assert ("PyTorch, tuned float32 | 1.50 (1.00 to 2.00) |" in printed) == torch


@pytest.mark.parametrize("network", ["lrn_cnn", "linear", "batchnorm_cnn"])
def test_rivals_count_a_networks_parameters(network, throughput):
    """The expected numbers are computed by hand: 105.8 million operations for `lrn_cnn`."""
    numbers, operations = throughput.rivals.count(
        network, {"lrn_cnn": (24, 24, 1), "linear": (32, 32, 3), "batchnorm_cnn": (28, 28, 1)}[
            network])
    assert numbers == {"lrn_cnn": 2_474_698, "linear": 30_730, "batchnorm_cnn": 6_642_462}[network]
    conv1, conv2 = 576 * 25 * 64, 144 * 1600 * 64
    dense = np.array([2304 * 1024, 10240])
    assert network != "lrn_cnn" or operations == 2 * (2 * conv1 + 3 * (conv2 + dense.sum()))
