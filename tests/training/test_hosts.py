"""The tasks that a command line or TF_CONFIG names, and their start on this machine."""

import json
import os
import signal
import time

import pytest

from tf1cifar import arguments, errors
from tf1cifar.training import hosts


def parsed(*words):
    parser = arguments.ArgumentParser()
    hosts.add_arguments(parser)
    return parser.parse_args(words)


def config(cluster, **task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.parametrize("options", [
    ["--worker-hosts", "a:1,b:2", "--task-index", "1"],
    ["--worker_hosts=a:1,b:2", "--task_index=1", "--job_name=worker", "--ps_hosts=c:1"]])
def test_from_options_takes_hyphens_and_underscores(options):
    where = hosts.from_options(parsed(*options), {})
    assert (where.addresses, where.index, where.chief) == (("a:1", "b:2"), 1, False)
    assert (where.join_timeout, where.step_timeout, where.launcher) == (300, 120, 0)
    assert where.name(0) == "task 0 (a:1)"


@pytest.mark.parametrize("environment, addresses, index", [
    (config({"worker": ["a:1", "b:2"]}, type="worker", index=1), ("a:1", "b:2"), 1),
    (config({"worker": ["a:1", "b:2"], "chief": ["c:3"]}, type="worker", index="0"),
     ("c:3", "a:1", "b:2"), 1),
    (config({"worker": ["a:1"], "master": ["c:3"]}, type="master", index=0), ("c:3", "a:1"), 0),
    (config({"worker": ["a:1", "b:2"], "ps": ["p:1"]}, type="worker", index=0), ("a:1", "b:2"), 0),
])
def test_from_options_reads_tf_config(environment, addresses, index):
    where = hosts.from_options(parsed(), environment)
    assert (where.addresses, where.index) == (addresses, index)


@pytest.mark.parametrize("options, environment", [
    ([], {}), ([], {"TF_CONFIG": " "}), ([], {"TF_CONFIG": "{}"}),
    (["--worker-hosts", "a:1", "--task-index", "0"], {}),
    ([], config({"worker": ["a:1"]}, type="worker", index=0)),
    (["--processes", "2"], config({"worker": ["a:1", "b:2"]}, type="worker", index=1))])
def test_from_options_finds_no_other_task(options, environment):
    assert hosts.from_options(parsed(*options), environment) is None


@pytest.mark.parametrize("options, environment, words", [
    (["--worker-hosts", "a:1,b:2"], {}, "--task-index is missing, expected 0 to 1"),
    (["--worker-hosts", "a:1,b:2", "--task-index", "2"], {}, "is 2, expected 0 to 1"),
    (["--worker-hosts", "a,b:2", "--task-index", "0"], {}, "'a', expected host:port"),
    (["--worker-hosts", "a:1,b:70000", "--task-index", "0"], {}, "'b:70000', expected host:port"),
    (["--worker-hosts", "a:1,a:1", "--task-index", "0"], {}, "names a:1 twice"),
    (["--worker-hosts", "a:1,http://b:1", "--task-index", "0"], {}, "expected host:port"),
    (["--task-index", "0"], {}, "--task-index needs --worker-hosts"),
    ([], {"TF_CONFIG": "{"}, 'expected such as {"cluster"'),
    ([], {"TF_CONFIG": "[1]"}, 'expected such as {"cluster"'),
    ([], config({"worker": ["a:1", "b:2"]}, type="worker", index=2), "TF_CONFIG is 2, expected"),
    ([], config({"worker": ["a:1", "b:2"]}, type="chief", index=0), "the cluster has none")])
def test_from_options_refuses_what_makes_no_sense(options, environment, words):
    with pytest.raises(errors.UserError) as error:
        hosts.from_options(parsed(*options), environment)
    assert words in str(error.value)


def test_not_needed_is_said_to_parameter_servers_and_evaluators():
    workers = ["--worker_hosts=a:1,b:2", "--task_index=0"]
    assert "the kind ps is needed" in hosts.not_needed(
        parsed("--job_name=ps", "--ps_hosts=c:1", *workers), {})
    assert "evaluator" in hosts.not_needed(
        parsed(), config({"worker": ["a:1", "b:2"]}, type="evaluator", index=0))
    assert hosts.not_needed(parsed(*workers), {}) == ""
    with pytest.raises(errors.UserError, match="--job-name worke: expected worker"):
        hosts.not_needed(parsed("--job-name", "worke"), {})


@pytest.mark.parametrize("addresses, index, neighbours, elsewhere", [
    (("127.0.0.1:1", "127.0.0.1:2"), 1, [0, 1], False),
    (("a:1", "b:1", "a:2"), 2, [0, 2], True), (("localhost:1", "[::1]:2"), 0, [0], False)])
def test_hosts_know_which_tasks_share_a_machine(addresses, index, neighbours, elsewhere):
    where = hosts.Hosts(addresses, index, 1, 1)
    assert (where.neighbours(), where.elsewhere()) == (neighbours, elsewhere)


def test_free_ports_are_different_and_free():
    ports = hosts.free_ports(5)
    assert len(set(ports)) == 5 and all(port in hosts.PORTS for port in ports)


SCRIPT = """import os, signal, sys, time
index = sys.argv[-1]
assert sys.argv[-4::2] == ["--worker-hosts", "--task-index"], sys.argv
mode = sys.argv[1]
open(f"{mode}-{index}", "w").write(sys.argv[-3])
if mode == "fail" and index == "1":
    sys.exit(3)
if mode == "kill" and index == "0":
    os.kill(os.getpid(), signal.SIGKILL)
if mode in ("fail", "kill"):
    time.sleep(60)
if mode == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    open(f"ready-{index}", "w")
    time.sleep(60)
"""


@pytest.mark.parametrize("mode, status, words", [
    ("good", 0, ""), ("fail", 3, "task 0 was ended by SIGTERM\n"),
    ("kill", 137, "task 0 was ended by SIGKILL\ntask 1 was ended by SIGTERM\n")])
def test_launch_starts_all_tasks_and_ends_them(tmp_path, monkeypatch, capfd, mode, status, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosts, "LAUNCH_GRACE", 0.5)
    (tmp_path / "script.py").write_text(SCRIPT)
    assert hosts.launch(tmp_path / "script.py", [mode], 2) == status
    assert capfd.readouterr().err == words
    first, second = ((tmp_path / f"{mode}-{index}").read_text() for index in (0, 1))
    assert first == second and len(set(first.split(","))) == 2


def test_launch_passes_signals_on(tmp_path):
    """To every task, once."""
    (tmp_path / "script.py").write_text(SCRIPT)
    launcher = os.fork()
    if not launcher:
        os.chdir(tmp_path)
        os._exit(hosts.launch(tmp_path / "script.py", ["wait"], 2))
    end = time.monotonic() + 20
    while not all((tmp_path / f"ready-{index}").exists() for index in (0, 1)):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(launcher, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(launcher, 0)[1]) == 143


def test_launcher_gone():
    assert not hosts.Hosts((), 0, 1, 1).launcher_gone()
    assert not hosts.Hosts((), 0, 1, 1, os.getppid()).launcher_gone()
    assert hosts.Hosts((), 0, 1, 1, os.getpid()).launcher_gone()
