"""Run the scripts in forks of one process that has imported TensorFlow, which takes seconds.

A fork is a process with its own arguments, folder, environment, output and exit status. The process
that forks has started no session, so it has no threads of TensorFlow.

    server = ForkServer()
    result = server.run(script, arguments, folder, environment)   a subprocess.CompletedProcess
    started = server.start(script, arguments, folder, environment)   a `Started`; several can run
"""

import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback

RUNNING = 1000  # stands for the exit status of a script that has not ended
ROOT = pathlib.Path(__file__).resolve().parents[2]


class ForkServer:
    """The process that has imported TensorFlow. It ends when the process of this object ends."""

    def __init__(self):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}  # read by the import
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True, env=environment)

    def run(self, script, arguments, folder, environment):
        """Run ROOT/script and wait for its end.

        Args:
          script: path of a script, relative to the project's folder.
          arguments: list of the script's command-line arguments.
          folder: path of the script's working directory.
          environment: dictionary of all the script's environment variables.

        Returns:
          A `subprocess.CompletedProcess` with text.
        """
        return self.start(script, arguments, folder, environment).wait()

    def start(self, script, arguments, folder, environment):
        """Start ROOT/script; the arguments of `run`, a `Started`."""
        arguments, outputs = list(map(str, arguments)), tempfile.TemporaryDirectory()
        out, err = (str(pathlib.Path(outputs.name) / name) for name in ("out", "err"))
        pid = self.ask("start", script, arguments, str(folder), environment, out, err)
        return Started(self, pid, [script, *arguments], outputs)

    def ask(self, *request):
        """The number with which the process answers a request."""
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


class Started:
    """A script that `ForkServer.start` has started; `pid` is its process id."""

    def __init__(self, server, pid, arguments, outputs):
        self.pid, self._server, self._arguments, self._outputs = pid, server, arguments, outputs
        self._status = None

    def read(self, name):
        """What the script has written so far to 'out' or 'err'."""
        path = pathlib.Path(self._outputs.name) / name
        return path.read_text() if path.exists() else ""

    def ended(self):
        """Whether the script has ended."""
        if self._status is None:
            status = self._server.ask("status", self.pid)
            self._status = None if status == RUNNING else status
        return self._status is not None

    def wait(self, seconds=120):
        """Wait for the end; a `subprocess.CompletedProcess` with text."""
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.01)
        return subprocess.CompletedProcess(self._arguments, self._status, self.read("out"),
                                           self.read("err"))


def _child(script, arguments, folder, environment, out, err):
    """Run the script in this process, and exit."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdin = open(os.devnull)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str((ROOT / script).parent))
    status = 0
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    """Answer every line on standard input: fork and tell the process id, or the exit status."""
    sys.path.insert(0, str(ROOT))
    import matplotlib.figure  # noqa: F401
    import numpy  # noqa: F401
    import tensorflow.compat.v1  # noqa: F401
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        kind, *request = json.loads(line)
        if kind == "start":
            answer = os.fork()
            if not answer:
                _child(*request)
        else:
            pid, status = os.waitpid(request[0], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else RUNNING
        print(answer, file=answers)


if __name__ == "__main__":
    main()
