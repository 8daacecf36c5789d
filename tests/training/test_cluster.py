"""Several tasks on this machine: one process's weights, the same bits, faults in bounded time."""

import os
import shutil
import signal
import socket
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from support.runs import variables

from tf1cifar.training import hosts
from tf1cifar.training.run_folder import RunFolder

SMALL = ("--recipe softmax --optimizer adam --learning-rate 0.00003 --batch-size 50 --steps 240 "
         "--held-out 0.1 --steps-per-run 1 --augment flip --checkpoint-every 20").split()


@pytest.fixture
def tasks(forks, tiny_cifar, tmp_path):
    """Function (number of tasks, name of the run, arguments) that starts a run's tasks."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_CONFIG", None)

    def start(count, run, arguments, own=lambda index: [], which=None, addresses=None):
        addresses = addresses or [f"127.0.0.1:{port}" for port in hosts.free_ports(count)]
        started = []
        for index in which or range(count):
            one = [] if count == 1 else ["--worker-hosts", ",".join(addresses),
                                         "--task-index", index]
            (tmp_path / f"{run}-{index}").mkdir(exist_ok=True)
            folder = tmp_path / run if index == 0 else tmp_path / f"{run}-{index}" / "none"
            started.append(forks.start("cnn_train.py", [
                "--data-dir", tiny_cifar, "--device", "cpu", "--precision", "float32",
                "--run-dir", folder, *arguments, *one, *own(index)],
                tmp_path / f"{run}-{index}", environment))
        return started

    return start


def finish(started, status=0):
    """Wait for tasks; the chief's standard output. Only the chief prints and writes."""
    done = [task.wait() for task in started]
    assert [result.returncode for result in done] == [status] * len(done), done
    assert [result.stderr for result in done if not status] == [""] * len(done) * (not status)
    assert {result.stdout for result in done[1:]} <= {""}
    return done[0].stdout


def values(folder):
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(folder / "checkpoints"))
    return {name: reader.get_tensor(name).astype(np.float64)
            for name in reader.get_variable_to_shape_map()}


# Batches of 81, 81 and 38 images: no task's part is a whole number of the others' parts.
@pytest.mark.parametrize("count, arguments", [
    (3, "--recipe tutorial_cnn --dropout 0.3 --moving-average 0.9 --lrn product"),
    # Adam would move the biases before batch norm, whose gradient is zero but for rounding, by the
    # sign of that rounding.
    (2, "--recipe batchnorm_cnn --dataset cifar10 --dropout 0.3 --moving-average 0.9 "
        "--optimizer momentum --steps-per-run 2 --batch-norm-decay 0.9 --preparation gray24"),
], ids=["tutorial_cnn", "batchnorm_cnn"])
def test_tasks_train_as_one_process_does(tasks, tmp_path, count, arguments):
    arguments = [*arguments.split(), "--batch-size", "81", "--steps", "3", "--test-every-epoch"]
    several = tasks(count, "several", arguments)
    finish(tasks(1, "one", arguments))
    printed = finish(several)
    assert printed.count("test accuracy") == 1
    expected, found = values(tmp_path / "one"), values(tmp_path / "several")
    assert found.keys() == expected.keys()
    # Slots of the optimizer are gradients, whose rounding errors are larger.
    weights = [name for name in found if name.split("/")[0] not in ("training", "epoch")]
    difference, norm = (np.linalg.norm(np.concatenate([array.ravel() for array in arrays]))
                        for arrays in ([found[name] - expected[name] for name in weights],
                                       [expected[name] for name in weights]))
    assert difference <= 1e-6 * norm
    for name in [name for name in weights if "/moving_" in name]:  # of batch norm
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)
    assert [item.name for index in range(1, count)
            for item in (tmp_path / f"several-{index}").rglob("*")] == []
    rows = [RunFolder(tmp_path / run).read_metrics() for run in ("one", "several")]
    for name, value in rows[0][0].items():
        assert rows[1][0][name] == (value and pytest.approx(value, rel=1e-5)), name
    assert RunFolder(tmp_path / "several").read_versions()[0]["tasks"] == str(count)


def weights_of(folder):
    """All weights, averages and statistics of a run, without the slots of the optimizer."""
    found = values(folder)
    return np.concatenate([found[name].ravel() for name in sorted(found)
                           if name.split("/")[0] not in ("training", "epoch")])


def test_tasks_train_fast_as_one_process_does(tasks, tmp_path):
    """Muon's steps grow rounding errors, so other numbers of threads are the measure."""
    arguments = "--recipe fast --batch-size 81 --steps 3".split()
    cores = sorted(os.sched_getaffinity(0))
    started = [*tasks(2, "several", arguments), *tasks(1, "one", arguments)]
    (thread,) = tasks(1, "thread", arguments)
    os.sched_setaffinity(thread.pid, cores[:1])
    finish([thread])
    for task in started[-1:], started[:2]:
        finish(task)
    one, thread, several = (weights_of(tmp_path / run) for run in ("one", "thread", "several"))
    assert np.linalg.norm(several - one) <= 3 * np.linalg.norm(thread - one)


def wait_for_checkpoint(run, started):
    end = time.monotonic() + 60
    while not list((run / "checkpoints").glob("model.ckpt-*.index")):
        assert time.monotonic() < end and not started.ended(), started.read("err")
        time.sleep(0.01)


@pytest.mark.whole
def test_tasks_end_in_the_same_bits_after_a_kill_and_a_signal(tasks, tmp_path):
    finish(tasks(2, "whole", SMALL))
    run = tmp_path / "stopped"
    chief, other = tasks(2, "stopped", SMALL)
    wait_for_checkpoint(run, chief)
    os.kill(other.pid, signal.SIGKILL)
    began = time.monotonic()
    done = chief.wait()
    assert time.monotonic() - began < 10 and done.returncode == 1
    assert done.stderr.startswith("cnn_train.py: error: task 1 (127.0.0.1:")
    assert "has ended" in done.stderr and done.stderr.count("\n") == 1
    steps = len(list((run / "checkpoints").glob("*.index")))

    started = chief, other = tasks(2, "stopped", SMALL)
    while "resuming from step" not in chief.read("out"):
        assert not chief.ended(), chief.read("err")
        time.sleep(0.01)
    os.kill(other.pid, signal.SIGTERM)  # stops both after the same step
    done = [task.wait() for task in started]
    if not done[0].returncode:
        pytest.fail("the run ended before the signal")
    assert [task.returncode for task in done] == [143, 143], done
    assert done[0].stderr == done[1].stderr and "stopped and saved at step" in done[0].stderr
    assert steps

    finish(tasks(2, "stopped", SMALL))
    assert variables(RunFolder(run)) == variables(RunFolder(tmp_path / "whole"))
    for name in ("metrics.csv", "result.json"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "is finished" in finish(tasks(2, "stopped", SMALL))
    shutil.rmtree(run)


@pytest.mark.whole
def test_another_number_of_tasks_takes_a_run_up_and_says_so(tasks, tmp_path):
    finish(tasks(2, "run", [*SMALL, "--steps", "20"]))
    (done,) = (task.wait() for task in tasks(1, "run", [*SMALL, "--steps", "40"]))
    assert (done.returncode, "tasks: 2 before, 1 now" in done.stderr) == (0, True)
    assert RunFolder(tmp_path / "run").read_versions()[1] == [
        {"step": 20, "what": "tasks", "before": "2", "now": "1"}]


@pytest.mark.whole
def test_tasks_begin_with_the_chief_s_initial_weights_and_mean_image(tasks, tmp_path):
    """The weights of a run on other images: its mean image is not that of these images."""
    arguments = [*SMALL, "--steps", "3"]
    finish(tasks(1, "source", [*arguments, "--held-out", "0.5"]))
    began = [*arguments, "--init-from", tmp_path / "source"]
    finish(tasks(1, "one", began))
    printed = finish(tasks(2, "several", began))
    assert printed.count("before training: test accuracy") == 1
    one, several = (weights_of(tmp_path / run) for run in ("one", "several"))
    assert np.linalg.norm(several - one) <= 1e-6 * np.linalg.norm(one)
    means = [np.load(tmp_path / run / "mean_image.npy") for run in ("source", "one", "several")]
    np.testing.assert_array_equal(means[0], means[2])
    np.testing.assert_array_equal(means[1], means[2])


def test_tasks_that_train_something_else_are_named(tasks):
    started = tasks(2, "run", SMALL, own=lambda index: ["--seed", "3"] if index else [])
    done = [task.wait() for task in started]
    assert [result.returncode for result in done] == [2, 2]
    assert done[0].stderr == done[1].stderr
    assert "task 1 (127.0.0.1:" in done[0].stderr
    assert "(seed: 3 there, 0 in task 0)" in done[0].stderr


def test_a_task_that_never_comes_and_a_taken_port_are_named(tasks, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addresses = [f"127.0.0.1:{port}" for port in (*hosts.free_ports(1),
                                                      taken.getsockname()[1])]
        chief, other = tasks(2, "run", [*SMALL, "--join-timeout", "2"], addresses=addresses)
        done = other.wait()
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        assert f"task 1 ({addresses[1]}) cannot listen on port" in done.stderr
        done = chief.wait()
    assert done.returncode == 1 and f"task 1 ({addresses[1]}): the process" in done.stderr
    assert list(tmp_path.glob("run/*")) == []


@pytest.mark.whole
def test_a_stopped_task_is_named(tasks, tmp_path):
    chief, other = tasks(2, "run", [*SMALL, "--steps", "100000", "--step-timeout", "2"])
    wait_for_checkpoint(tmp_path / "run", chief)
    os.kill(other.pid, signal.SIGSTOP)
    done = chief.wait(40)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "task 1 (127.0.0.1:" in done.stderr and "does not answer" in done.stderr


def test_a_batch_that_is_too_small_is_refused(tasks):
    (done,) = (task.wait() for task in tasks(3, "run", ["--recipe", "softmax", "--batch-size", "66"
                                                        , "--order", "shuffled"], which=[1]))
    assert done.returncode == 2 and "3 tasks need an image each of every batch" in done.stderr
    assert "has 2; give another" in done.stderr
