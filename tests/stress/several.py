"""Disturb trainings by several tasks on this machine.

    python tests/stress/several.py --kills 50   kill tasks at random moments, then start all again
    python tests/stress/several.py --faults     print the faults in docs/several-machines.md

After a kill every other task must end within BOUND seconds with one line that names the killed
task. When all tasks are started again, the finished run must equal an undisturbed run of as many
tasks bit for bit, in everything that `campaign.py` compares.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import socket
import sys
import tempfile
import time

import campaign  # first, because it prepares TensorFlow and the path
from campaign import RUNS, Start, Wrong, check_same, traces, write_data

from tf1cifar.training import cluster, hosts

BOUND = 30.0  # seconds in which the tasks must end after a kill
JOIN = 10  # seconds of --join-timeout in the campaign
COMMON = campaign.COMMON.split()
FAULTS_RUN = ("--recipe softmax --device cpu --steps 5000 --batch-size 20 --steps-per-run 1 "
              "--checkpoint-every 50 --join-timeout 8 --step-timeout 8").split()


class Tasks:
    """Several tasks, each a `campaign.Start` with outputs of its own.

    Args:
      count: number of tasks.
      work: `pathlib.Path` of the folder for the data and the outputs.
      run: path of the chief's run folder.
      arguments: arguments of all tasks.
      own: dictionary from the number of a task to arguments of its own.
      before: dictionary from the number of a task to a function to call in it.
      addresses: addresses of the tasks, by default free ports.
      only: numbers of the tasks to start, by default all.
    """

    def __init__(self, count, work, run, arguments, own=(), before=(), addresses=(), only=None):
        self.addresses = list(addresses) or [
            f"127.0.0.1:{port}" for port in hosts.free_ports(count)]
        self.starts, own, before = {}, dict(own), dict(before)
        for index in range(count) if only is None else only:
            outputs = work / f"outputs-{index}"
            outputs.mkdir(exist_ok=True)
            folder = run if index == 0 else outputs / "no run"
            self.starts[index] = Start(
                ["--data-dir", work / "cifar-10-batches-py", *arguments, "--run-dir", folder,
                 "--worker-hosts", ",".join(self.addresses), "--task-index", index,
                 *own.get(index, [])], outputs, before.get(index, lambda: None))

    def wait(self, seconds):
        """Wait for all tasks and kill those that are left.

        Returns:
          {number: (exit status, seconds until the end, standard error)}; the status of a task
          that had to be killed is None.
        """
        begin, ended = time.monotonic(), {}
        while len(ended) < len(self.starts) and time.monotonic() < begin + seconds:
            for index, start in self.starts.items():
                if index not in ended and start.ended():
                    ended[index] = time.monotonic() - begin
            time.sleep(0.01)
        results = {}
        for index, start in self.starts.items():
            hung = index not in ended
            if hung:
                start.send(signal.SIGKILL)
                start.wait()
            results[index] = (None if hung else start.status, ended.get(index, seconds),
                              start.complaint())
        return results

    def trains(self, seconds=60):
        """Wait until the training steps have begun."""
        self.starts[0].wait(seconds, self.starts[0].trains)
        time.sleep(0.5)


def kills(count, work):
    """Kill tasks `count` times; raises `Wrong` if a check fails."""
    rng, done, late = random.Random(19), 0, 0.0
    write_data(work / "cifar-10-batches-py")
    whole = {}
    while done < count:
        name, tasks = rng.choice(sorted(RUNS)), rng.choice([2, 3])
        arguments = [*COMMON, "--recipe", name, *RUNS[name].split(), "--join-timeout", str(JOIN)]
        if (name, tasks) not in whole:
            path = work / f"whole-{name}-{tasks}"
            begin = time.monotonic()
            results = Tasks(tasks, work, path, [*arguments, "--precision", "float32"]).wait(300)
            if {status for status, _, _ in results.values()} != {0}:
                raise Wrong(f"{name}: the undisturbed run ends with {results}")
            whole[name, tasks] = traces(path), time.monotonic() - begin
        expected, seconds = whole[name, tasks]
        run, before = work / "disturbed" / f"whole-{name}-{tasks}", done
        shutil.rmtree(run.parent, ignore_errors=True)
        run.parent.mkdir()
        for _ in range(100):
            started = Tasks(tasks, work, run, [*arguments, "--precision", "float32"])
            victim, disturbed = rng.randrange(tasks), done < count and done < before + 4
            if disturbed:
                started.starts[victim].wait(rng.uniform(0, seconds))
                disturbed = not started.starts[victim].ended()
                started.starts[victim].send(signal.SIGKILL)
                done += disturbed
            results = started.wait(BOUND if disturbed else 300)
            statuses = {index: result[0] for index, result in results.items()}
            if None in statuses.values():
                raise Wrong(f"{name}: hung after the end of task {victim}: {results}")
            for index, (status, passed, text) in results.items():
                late = max(late, passed if disturbed else 0)
                if status and (not disturbed or index != victim):
                    if not disturbed or status != 1 or text.count("\n") > 2 or (
                            f"task {victim} (" not in text):
                        raise Wrong(f"{name}: task {index} ended with {status}: {text}")
            if set(statuses.values()) == {0}:
                break
        check_same(run, expected)
        print(f"{done} kills, {name} with {tasks} tasks: the bits of an undisturbed run",
              flush=True)
    print(f"{done} kills of a task: the other tasks ended within {late:.1f} s, and every run ended "
          "in the bits of an undisturbed one")


# ---------------------------------------------------------------------------------------
# The table of faults


def other_version():
    """Make this process believe that it has another version of the project."""
    real = cluster.identity
    cluster.identity = lambda *arguments: {**real(*arguments), "version of this project": "1234"}


def faults(work):
    """Yield (fault, function that brings it about and returns the results of `Tasks.wait`)."""
    other = work / "other"
    other.mkdir()
    write_data(work / "cifar-10-batches-py")
    write_data(other / "cifar-10-batches-py", images=10)

    def tasks(count=2, **options):
        shutil.rmtree(work / "run", ignore_errors=True)
        return Tasks(count, work, work / "run", FAULTS_RUN, **options)

    def signalled(number, victim, count=3):
        def cause():
            started = tasks(count)
            started.trains()
            started.starts[victim].send(number)
            results = started.wait(40)
            return {index: result for index, result in results.items()
                    if index != victim or number == signal.SIGTERM}
        return cause

    def late():
        addresses = [f"127.0.0.1:{port}" for port in hosts.free_ports(2)]
        first = tasks(addresses=addresses, only=[0], own={0: ["--steps", "100"]})
        time.sleep(6)
        second = Tasks(2, work, work / "run", FAULTS_RUN, addresses=addresses, only=[1],
                       own={1: ["--steps", "100"]})
        return {**first.wait(60), **second.wait(60)}

    def occupied(greeting):
        def cause():
            with socket.create_server(("127.0.0.1", 0)) as taken:
                addresses = [f"127.0.0.1:{hosts.free_ports(1)[0]}",
                             f"127.0.0.1:{taken.getsockname()[1]}"]
                return tasks(addresses=addresses, only=None if greeting else [0]).wait(40)
        return cause

    def fewer():
        addresses = [f"127.0.0.1:{port}" for port in hosts.free_ports(3)]
        first = tasks(2, addresses=addresses[:2], only=[0])
        second = Tasks(3, work, work / "run", FAULTS_RUN, addresses=addresses, only=[1])
        return {**first.wait(40), **second.wait(40)}

    port = hosts.free_ports(1)[0]
    yield "a task is killed (`kill -9`)", signalled(signal.SIGKILL, 1)
    yield "the chief is killed", signalled(signal.SIGKILL, 0)
    yield "a task is stopped or its machine vanishes (`kill -STOP`)", signalled(signal.SIGSTOP, 1)
    yield "one task gets SIGTERM", signalled(signal.SIGTERM, 1)
    yield "a task comes 6 s late", late
    yield "a task never comes", lambda: tasks(only=[0]).wait(40)
    yield "the chief never comes", lambda: tasks(only=[1]).wait(40)
    yield "a task's port is taken", occupied(True)
    yield "another program listens on a task's port", occupied(False)
    yield "a host's name is wrong", lambda: tasks(
        addresses=[f"127.0.0.1:{port}", "no-such-host.invalid:2222"], only=[0]).wait(40)
    yield "a task has other data", lambda: tasks(
        own={1: ["--data-dir", str(other / "cifar-10-batches-py")]}).wait(40)
    yield "a task has another recipe", lambda: tasks(own={1: ["--learning-rate", "0.5"]}).wait(40)
    yield "a task has another version of the project", lambda: tasks(
        before={1: other_version}).wait(40)
    yield "a task names another number of hosts", fewer
    yield "a batch has too few images", lambda: tasks(
        3, own={index: ["--batch-size", "2"] for index in range(3)}).wait(40)


def table(work):
    """Print the table of faults in Markdown."""
    print("| fault | task | exit status | after | line |\n| --- | --- | --- | --- | --- |")
    for fault, cause in faults(work):
        for index, (status, seconds, text) in sorted(cause().items()):
            lines = [line for line in text.splitlines() if line.startswith("cnn_train.py")]
            line = " ".join(lines).replace("cnn_train.py: ", "").replace("|", "\\|")
            for path in (work, work.resolve()):
                line = line.replace(str(path), "/data")
            shown = "hangs" if status is None else f"{seconds:.1f} s"
            print(f"| {fault} | {index} | {status} | {shown} | {line or 'none'} |", flush=True)


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0, help="number of kills")
    parser.add_argument("--faults", action="store_true", help="print the table of faults")
    return parser.parse_args(arguments)


def main():
    """Run the campaign that the command line names."""
    options = parse_arguments()
    work = pathlib.Path(tempfile.mkdtemp())
    try:
        if options.kills:
            kills(options.kills, work)
        if options.faults:
            table(work)
    except Wrong as wrong:
        sys.exit(f"several.py: {wrong}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    os.environ.pop("TF_CONFIG", None)
    main()
