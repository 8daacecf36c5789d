"""Standard error: a stream that never fails, and TensorFlow's noise held back.

    never_failing  make a standard error that takes nothing any more harmless
    quiet_stderr   hold back what is written to it, and show it after all when things go wrong
"""

import contextlib
import io
import os
import re
import signal
import sys
import tempfile
import threading

from tf1cifar import signals

# What TensorFlow, CUDA, absl and matplotlib write at every start, and stack traces.
NOISE = re.compile(r"\s*$|WARNING: All log messages|To enable the following|Skipping registering|"
                   r"Matplotlib (created|is building)|mkdir -p failed|.* not a writable directory|"
                   r"\s*(PC: )?@ |\*\*\* Check failure stack trace|"
                   r"(\d{4}-\d\d-\d\d [\d:.]+ ?:? )?([IW](\d{4})? |E.*(regist|cuda|CUDA|cuInit))")
LONGEST = 1 << 16  # bytes of held text that are looked at


class _NeverFailing(io.FileIO):
    """A file whose write errors are ignored."""

    def write(self, data):
        try:
            return super().write(data)
        except OSError:
            return len(data)


def never_failing():
    """Replace the process's own `sys.stderr` by one that ignores errors, such as a closed terminal.

    A message that nobody can see must not end the work. The streams of notebooks, editors and
    tests, which are not the process's own, stay as they are.
    """
    if sys.stderr is not None and sys.stderr is not sys.__stderr__:
        return
    with contextlib.suppress(OSError, ValueError):  # without descriptor 2 it stays as it is
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        # Python's own stream stays referenced by `sys.__stderr__`; closing it would close 2.
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(_NeverFailing(2, "w", closefd=False)),
                                      encoding, "backslashreplace", line_buffering=True)


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what Python and C++ write to file descriptor 2 in the block.

    TensorFlow prints warnings about missing GPUs before it reads any of its log settings. The
    text is shown after all, without what is written at every start, if the block raises or the
    process dies in it, as it does when C++ code gets no memory or no thread. Nothing is held back
    when TF_CPP_MIN_LOG_LEVEL is below 3, which is the way to ask for TensorFlow's messages.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") != "3" or sys.stderr is None:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
            stack.callback(os.close, kept)
            held = stack.enter_context(tempfile.TemporaryFile())
            stack.enter_context(_watched(held.fileno(), kept))
        except (OSError, AttributeError):
            # Another stream in an editor, a closed descriptor, no room for a file, no process more.
            held = None
        if held is None:
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            if signals.interrupted():
                raise KeyboardInterrupt from None
            sys.stderr.flush()
            os.write(kept, "".join(_words(held.fileno())).encode(errors="surrogateescape"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
    if signals.interrupted():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _watched(held, kept):
    """Let another process show the held text if this one dies in the block.

    Nothing in a process outlives C++'s abort(). The other process waits for the end of a pipe that
    only this process can write to.

    Args:
      held: descriptor of the file with the text.
      kept: descriptor to show it on.

    Raises:
      OSError: the system starts no more processes.
    """
    if not hasattr(os, "fork") or threading.active_count() > 1:  # forks and threads do not mix
        yield
        return
    ended, alive = os.pipe()
    # The watcher keeps all signals blocked: a Ctrl-C is for both processes.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        watcher = os.fork()
        if not watcher:
            try:
                os.close(alive)
                _show_when_dead(ended, held, kept)
            finally:
                os._exit(0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(ended)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(alive, b".")
        os.close(alive)
        with contextlib.suppress(ChildProcessError):  # a program around it has waited for it
            os.waitpid(watcher, 0)


def _show_when_dead(ended, held, kept):
    """Wait for the end of the pipe; if nothing comes before it, show the last words."""
    if os.read(ended, 1) or signal.sigpending() & {signal.SIGINT, signal.SIGTERM}:
        return  # the block ended, or a person ended all processes
    words = " ".join(" ".join(_words(held)).split())
    name = os.path.basename(sys.argv[0])
    text = (f"{name}: error: the process was ended while TensorFlow was being started; unless "
            "somebody ended it, a limit on threads or memory is too small ('ulimit -a' shows the "
            f"limits){'. Its last words: ' * bool(words)}"
            f"{''.join(c if c.isprintable() else ' ' for c in words[-1000:])}\n")
    os.write(kept, text.encode(errors="backslashreplace"))


def _words(held):
    """The lines of the held text that are not written at every start, with their line ends."""
    text = os.pread(held, LONGEST, 0).decode(errors="surrogateescape")
    return [line for line in text.splitlines(keepends=True) if not NOISE.match(line)]
