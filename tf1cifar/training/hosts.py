"""The tasks of a training on several machines: their addresses, their start, their end.

    add_arguments  the options of a command line that name the tasks
    from_options   the tasks that the options or TF_CONFIG name
    not_needed     the line for a task that the old tutorials have and this project does not need
    launch         start N tasks on this machine and wait for them
    Hosts          the addresses of all tasks, and which one this process is

Task 0 is the chief. This module imports neither TensorFlow nor NumPy.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple

from tf1cifar import arguments, console, errors, signals

JOIN_TIMEOUT, STEP_TIMEOUT = 300, 120  # seconds, the defaults
PORTS = range(20000, 32000)  # for `launch`; systems give out ports above these by themselves
LAUNCH_GRACE = 15.0  # seconds in which a task may end by itself after another one has failed
NOT_NEEDED = ("ps", "evaluator")


class Hosts(NamedTuple):
    """The tasks, and which one this process is."""
    addresses: tuple     # 'host:port' of every task
    index: int           # number of this task
    join_timeout: float  # seconds to wait for the other tasks
    step_timeout: float  # seconds that a step may wait for another task
    launcher: int = 0    # process id of `launch` that has started this task, 0 if none has

    @property
    def chief(self):
        """Whether this is the task that writes the run folder and prints."""
        return self.index == 0

    def place(self, index):
        """(host, port) of a task."""
        host, _, port = self.addresses[index].rpartition(":")
        return host.strip("[]"), int(port)

    def name(self, index):
        """A task's name for messages."""
        return f"task {index} ({self.addresses[index]})"

    def neighbours(self):
        """The numbers of the tasks on this machine, by their host's name, this one included."""
        return [index for index in range(len(self.addresses))
                if self.place(index)[0] == self.place(self.index)[0]]

    def elsewhere(self):
        """Whether any task is named by an address that other machines may reach."""
        return any(self.place(index)[0] not in ("localhost", "127.0.0.1", "::1")
                   for index in range(len(self.addresses)))

    def launcher_gone(self):
        """Whether the process that started all tasks has ended."""
        return bool(self.launcher) and os.getppid() != self.launcher


def add_arguments(parser):
    """Add the options that name the tasks; the old tutorials' underscores are accepted."""
    group = parser.add_argument_group("several processes or machines, see docs/several-machines.md")

    def add(name, **settings):
        group.add_argument(f"--{name}", **settings)
        if "-" in name:
            group.add_argument(f"--{name.replace('-', '_')}", dest=name.replace("-", "_"), **{
                **settings, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS})

    add("processes", type=arguments.bounded(1, 64), default=1, metavar="N",
        help="number of processes to train with on this machine, one a GPU if there are GPUs "
        "(default: 1)")
    add("worker-hosts", metavar="A:P,B:P", help="hosts and ports of all tasks, separated by "
        "commas; the first one is the chief, which writes the run folder (default: $TF_CONFIG, "
        "or no other task)")
    add("task-index", type=arguments.bounded(0, 10 ** 4), metavar="I",
        help="number of this process in --worker-hosts, from 0")
    add("join-timeout", type=arguments.bounded(1, 10 ** 6), default=JOIN_TIMEOUT, metavar="S",
        help="seconds to wait for the other tasks at the start (default: %(default)s)")
    add("step-timeout", type=arguments.bounded(1, 10 ** 6), default=STEP_TIMEOUT, metavar="S",
        help="seconds that a training step may wait for another task, which must be more than "
        "the chief needs to save and evaluate (default: %(default)s)")
    add("job-name", default="worker", metavar="J", help="kind of this task in the old tutorials; "
        "all are workers here (default: worker)")
    add("ps-hosts", metavar="A:P", help="accepted and not needed: no task holds variables for "
        "others")


def not_needed(options, environment):
    """The line that ends a parameter server or an evaluator, '' for every other task."""
    job = options.job_name
    if job == "worker" and not options.worker_hosts and options.processes == 1:
        job = _tf_config(environment)[1]
    if job in NOT_NEEDED:
        return (f"no task of the kind {job} is needed: every worker holds the variables and takes "
                "its part in the evaluation; start the workers only")
    if job not in ("worker", "chief", "master"):
        raise errors.UserError(f"--job-name {job}: expected worker")
    return ""


def from_options(options, environment):
    """The tasks that the command line or TF_CONFIG names.

    Args:
      options: the namespace of `add_arguments`.
      environment: a dictionary, `os.environ`.

    Returns:
      A `Hosts`, or None for a training in one process.

    Raises:
      errors.UserError: the tasks' names make no sense.
    """
    addresses, index, what = options.worker_hosts, options.task_index, "--worker-hosts"
    launcher = 0
    if addresses is not None:
        addresses = addresses.split(",")
        if options.processes > 1:
            launcher = os.getppid()
    elif options.processes > 1:
        return None
    else:
        addresses, _, index = _tf_config(environment)
        what = "TF_CONFIG"
        if options.task_index is not None and not addresses:
            raise errors.UserError("--task-index needs --worker-hosts")
        if not addresses:
            return None
    for address in addresses:
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):(\d{1,5})", str(address))
        if not match or not 0 < int(match[2]) < 2 ** 16:
            raise errors.UserError(f"{what}: {console.cut(address)!r}, expected host:port, such as "
                                   "192.168.1.5:2222")
        if addresses.count(address) > 1:
            raise errors.UserError(f"{what} names {address} twice")
    if index is None or not 0 <= index < len(addresses):
        raise errors.UserError(f"{'--task-index' if what[0] == '-' else 'the index in TF_CONFIG'} "
                               f"is {'missing' if index is None else index}, expected 0 to "
                               f"{len(addresses) - 1} for the {len(addresses)} tasks of {what}")
    if len(addresses) == 1:
        return None
    return Hosts(tuple(addresses), index, options.join_timeout, options.step_timeout, launcher)


def _tf_config(environment):
    """(addresses, kind of this task, its number) of TF_CONFIG; the chief's address comes first."""
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return [], "worker", None
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster") or {}, config.get("task") or {}
        chiefs = [*jobs.get("chief", []), *jobs.get("master", [])]
        kind, index = task.get("type", "worker"), task.get("index", 0)
        index = int(index)
        if kind == "worker":
            index += len(chiefs)
        elif kind in ("chief", "master") and not chiefs:
            raise ValueError(f"the task is a {kind}, and the cluster has none")
        return [*chiefs, *jobs.get("worker", [])], kind, index
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.UserError(
            f"TF_CONFIG: {console.cut(error)}; expected such as "
            '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
        ) from error


# ---------------------------------------------------------------------------------------
# Tasks on this machine


def launch(script, line, count):
    """Start `count` tasks on this machine and wait until all have ended.

    Signals are passed on to the tasks. If one task fails, the others get LAUNCH_GRACE seconds to
    say why and are then ended.

    Args:
      script: path of the script.
      line: its command line, a list of str, to which the tasks' names are added.
      count: number of tasks.

    Returns:
      The exit status of the task that failed first, the chief's if several did, or 0.
    """
    addresses = ",".join(f"127.0.0.1:{port}" for port in free_ports(count))
    command = [sys.executable, str(script), *line, "--worker-hosts", addresses, "--task-index"]
    with signals.caught() as caught:
        # In a session of their own, a Ctrl-C does not reach them a second time.
        tasks = [subprocess.Popen([*command, str(index)], stdin=subprocess.DEVNULL,
                                  start_new_session=True) for index in range(count)]
        failed, status, passed_on = None, 0, 0
        steps = iter([(LAUNCH_GRACE, signal.SIGTERM), (4 * LAUNCH_GRACE, signal.SIGKILL)])
        wait, number = next(steps)
        while None in (codes := [task.poll() for task in tasks]):
            for caught_number in caught[passed_on:]:
                passed_on += 1
                _send(tasks, caught_number)
            if failed is None and any(codes):
                failed, status = time.monotonic(), _status(codes)
            if failed is not None and time.monotonic() > failed + wait:
                _send(tasks, number)
                wait, number = next(steps, (float("inf"), 0))
            time.sleep(0.05)
    for index, task in enumerate(tasks):
        if task.returncode < 0:
            print(f"task {index} was ended by {signal.Signals(-task.returncode).name}",
                  file=sys.stderr)
    return status or _status(codes)


def _status(codes):
    """The exit status of the first task that failed, 0 if none did."""
    code = next(filter(None, codes), 0)
    return code if code >= 0 else 128 - code


def _send(tasks, number):
    for task in tasks:
        with contextlib.suppress(OSError):
            task.send_signal(number)


def free_ports(count):
    """Numbers of ports on which nothing listens, at random so that two programs seldom collide."""
    found = []
    with contextlib.ExitStack() as stack:
        for port in random.SystemRandom().sample(PORTS, len(PORTS)):
            listener = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("", port))
                found.append(port)
            if len(found) == count:
                return found
    raise errors.Failure("no free port on this machine")
