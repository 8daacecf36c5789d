"""Run the scripts in forks of one process that has imported TensorFlow, which takes seconds.

A fork is a process with its own arguments, folder, environment, output and exit status. The process
that forks has started no session, so it has no threads of TensorFlow.

    server = ForkServer()
    result = server.run(script, arguments, folder, environment)   a subprocess.CompletedProcess
"""

import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback

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
        arguments = list(map(str, arguments))
        with tempfile.TemporaryDirectory() as outputs:
            out, err = (pathlib.Path(outputs) / name for name in ("out", "err"))
            print(json.dumps([script, arguments, str(folder), environment, str(out), str(err)]),
                  file=self._process.stdin, flush=True)
            status = int(self._process.stdout.readline())
            return subprocess.CompletedProcess([script, *arguments], status, out.read_text(),
                                               err.read_text())


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
    """Fork for every line on standard input; print the exit status of each."""
    sys.path.insert(0, str(ROOT))
    import matplotlib.figure  # noqa: F401
    import numpy  # noqa: F401
    import tensorflow.compat.v1  # noqa: F401
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _child(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers)


if __name__ == "__main__":
    main()
