"""The scripts' way of speaking: one-line errors, a progress bar, a quiet TensorFlow.

    run               call a script's main() and turn exceptions into an exit status
    cut               foreign text for a message
    progress          the bar under anything that takes long
    quiet_tensorflow  import TensorFlow without its start-up messages
    say               print a line that must not end the work

The parser of command lines, `ArgumentParser`, is that of `arguments`.

This module imports neither TensorFlow nor NumPy, so that `--help` and argument errors are instant.
"""

import contextlib
import errno
import importlib.util
import os
import re
import sys
import time

import tf1cifar
from tf1cifar import machine, signals, standard_error
from tf1cifar.arguments import ArgumentParser, bounded  # noqa: F401, for users of this module
from tf1cifar.errors import Failure, Interrupted, UserError


def run(main, name):
    """Call `main()` and exit with its status; errors become one line on standard error.

    Args:
      main: function without arguments that returns None or an exit status.
      name: the script's name, which starts the line.

    Raises:
      SystemExit: always. The status is 0 after success, 2 for a `UserError`, 1 for a `Failure`
        or an error of the operating system (disk full, no permission, no memory), 130 after
        Ctrl-C, 128 and the signal's number after another signal. Any other exception is a defect of
        this project and keeps its traceback.
    """
    for number in range(3):
        # The next file would get the number of a closed stream, and TensorFlow's messages with it.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    standard_error.never_failing()
    if hasattr(sys.stdout, "reconfigure"):  # not so in a notebook, nor when it is closed
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        with signals.two_interrupts():
            status = main()
        print(end="", flush=True)  # a broken pipe or a full disk must show before the exit
        sys.exit(status)
    except UserError as error:
        message, status = error, 2
    except BrokenPipeError:  # the reader of the output went away, as `| head` does
        _silence_stdout()
        sys.exit(1)
    except Interrupted as error:
        sys.exit(complain(name, error, 128 + error.number, kind=""))
    except KeyboardInterrupt:
        # OpenBLAS, which NumPy loads, sends itself the signal of Ctrl-C if it gets no thread.
        message, status = ("interrupted", 130) if machine.starts_threads() else (NO_THREADS, 1)
    except (Failure, OSError, ImportError, MemoryError, RuntimeError) as error:
        message, status = _failure(error), 1
        if signals.interrupted():
            message, status = "interrupted", 130
        elif not message:
            raise
    sys.exit(complain(name, message, status))


NO_THREADS = ("the system starts no more threads for this process; 'ulimit -u' shows the limit of "
              "your processes and threads, so end some or raise it")
NO_MEMORY = ("not enough memory{}; end other programs, or give this one more ('ulimit -v' shows a "
             "limit); in training a smaller --batch-size needs less")


def _failure(error):
    """The line about a failure of the machine or its packages; '' for a defect of this project."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return NO_MEMORY.format(f" ({cut(error)})" if str(error) else "")
    if isinstance(error, (Failure, OSError)):
        return error
    if isinstance(error, ImportError):
        if re.search("failed to map segment|[Cc]annot allocate memory", str(error)):
            cause = re.findall("^ImportError: (.+)", str(error), re.MULTILINE) or [error]
            return NO_MEMORY.format(f" ({cut(cause[0])})")
        return _missing_package(error)
    return NO_THREADS if "can't start new thread" in str(error) else ""


def _silence_stdout():
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no file in a notebook
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line):
    """Print a line of a long work. A standard output that takes no more does not end the work."""
    try:
        print("" if progress.silent else f"{line}\n", end="", flush=True)
    except OSError as error:
        _silence_stdout()
        print(f"standard output takes nothing any more ({error.strerror}); the work goes on",
              file=sys.stderr)


def _missing_package(error):
    """The line about a package that is not installed or does not start, '' for other errors."""
    if "native TensorFlow runtime" in str(error):
        cause = re.findall(r"^ImportError: (.+)", str(error), re.MULTILINE)
        return (f"TensorFlow does not start ({cut(cause[0] if cause else 'no cause is named')}); "
                "https://www.tensorflow.org/install/errors has causes, on Windows most often a "
                "missing Microsoft Visual C++ Redistributable")
    if error.name not in ("tensorflow", "numpy", "matplotlib", "PIL"):
        return ""
    text = f"{error.name} is not installed for {sys.executable}"
    if not tf1cifar.OLDEST <= sys.version_info[:2] <= tf1cifar.NEWEST:
        version = "{}.{}".format(*sys.version_info)
        return (f"{text}, which is Python {version}; TensorFlow has packages for "
                f"{tf1cifar.PYTHONS} only, so use one of those")
    pip = machine.command("-m", "pip", "install", "-r", "requirements.txt")
    text += f"; install the packages with '{pip}'"
    return text if os.name == "nt" else (
        f"{text}, or run 'make train' once and then use .venv/bin/python")


def complain(name, message, status, kind="error: "):
    """Print `name: error: message` as one line on standard error and return `status`."""
    # A message may quote a file or a server, whose control characters must not get through.
    printable = "".join(c if c.isprintable() else " " for c in str(message))
    print(f"{name}: {kind}{' '.join(printable.split())}", file=sys.stderr)
    return status


def cut(text, limit=200):
    """`text` on one line without control characters, at most `limit` characters of it."""
    text = "".join(c if c.isprintable() else " " for c in str(text)[:limit + 1])
    return text if len(text) <= limit else text[:limit - 3] + "..."


def plain(text):
    """`text` for a picture: characters that matplotlib's font lacks become question marks."""
    return "".join(c if c.isprintable() and ord(c) < 0x530 else "?" for c in text)


class progress:
    """A progress bar on standard error; silent when standard error is not a terminal.

    The bar appears after `delay` seconds, so quick work stays quiet. With a `total` of 0 the
    amount of work is unknown and only the amount done is shown.

        with progress(total, "download", unit="B") as bar:
            bar.update(done, "any short text")
    """

    silent = False  # whether bars and `say` show nothing, since another process speaks for this one
    def __init__(self, total, title, unit="", delay=0.5):
        self.total, self.title, self.unit = total, title, unit
        self.start = time.monotonic()
        self.next_draw = self.start + delay
        self.shown = hasattr(sys.stderr, "isatty") and sys.stderr.isatty() and not self.silent
        self.drawn = False

    def update(self, done, note="", remaining=0):
        """Show that `done` of `total` is done; draws at most ten times a second.

        Args:
          done: amount of work done.
          note: short text beside the bar.
          remaining: amount of work that follows this bar's and counts for the time left.
        """
        now = time.monotonic()
        if not self.shown or now < self.next_draw:
            return
        self.next_draw, self.drawn = now + 0.1, True
        columns = _columns()
        if self.total:
            share = min(done / self.total, 1.0)
            left = (now - self.start) * max(self.total - done + remaining, 0) / done if done else 0
            tail = f" {_short(done)}/{_short(self.total)}{self.unit}  {note}  {_clock(left)} left"
            width = max(5, min(24, columns - 4 - len(self.title) - len(tail)))
            line = f"{self.title} [{'=' * int(share * width):<{width}}]{tail}"
        else:
            line = f"{self.title} {_short(done)}{self.unit}  {note}"
        sys.stderr.write("\r\x1b[K" + line[:columns - 1])
        sys.stderr.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _columns():
    """The width of the terminal; 80 if standard error does not say, as in some editors."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return 80


def _short(number):
    """1234 as '1234', 170498071 as '170.5M'."""
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number}"


def _clock(seconds):
    """6.4 as '6 s', 200 as '3:20 min', 7260 as '2:01 h'."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return (f"{minutes}:{seconds:02} min" if minutes < 100
            else f"{minutes // 60}:{minutes % 60:02} h")


@contextlib.contextmanager
def quiet_tensorflow():
    """Import TensorFlow and start it without its messages; yields `tensorflow.compat.v1`.

        with console.quiet_tensorflow() as tf:
            from tf1cifar import graph
    """
    with standard_error.quiet_stderr():
        import_matplotlib()
        import tensorflow.compat.v1 as tf
        tf.config.list_physical_devices()
        # The first session prints messages too. This one does not touch the GPUs.
        with tf.Graph().as_default(), tf.Session(
                config=tf.ConfigProto(device_count={"GPU": 0})) as session:
            session.run(tf.constant(0))
        if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3":
            tf.logging.set_verbosity(tf.logging.ERROR)
        yield tf


def import_matplotlib():
    """Import matplotlib with its own settings, if it is not imported yet.

    A person's matplotlibrc, such as one that asks for LaTeX or is damaged, would decide over the
    pictures and over the run. In a notebook the person's settings count.
    """
    if "matplotlib" in sys.modules or machine.in_notebook():
        return
    found = importlib.util.find_spec("matplotlib")
    if not found or not found.origin:
        return  # the module that needs it says so
    settings = os.path.join(os.path.dirname(found.origin), "mpl-data")
    os.environ.pop("MPLBACKEND", None)  # the scripts draw to files, which needs none
    here = ""
    with contextlib.suppress(OSError):
        os.chdir(os.getcwd())  # not every folder can be entered again
        here = os.getcwd()
        os.chdir(settings)  # it takes the first matplotlibrc, that in the current folder
    try:
        import matplotlib.figure  # noqa: F401
    finally:
        if here:
            os.chdir(here)
