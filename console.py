"""What a person sees of the scripts: one-line errors, a progress bar, a quiet TensorFlow.

    run             call a script's main() and turn what it raises into an exit status
    progress        the bar under anything that takes long
    quiet_tensorflow  import TensorFlow without its start-up noise

Nothing here imports TensorFlow or NumPy, so `--help` and argument errors stay instant.
"""

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time


class UserError(Exception):
    """The user asked for something that cannot be: told in one line, exit status 2."""


class Interrupted(Exception):
    """A signal asked for an end: told in one line, exit status 128 and its number."""

    def __init__(self, message, number):
        super().__init__(message)
        self.number = number


class Failure(Exception):
    """The machine could not do what was rightly asked: told in one line, exit status 1."""


def run(main, name):
    """Call `main()` and exit with its status; errors become one line on standard error.

    Args:
      main: function without arguments; None or an exit status is what it returns.
      name: the script's name, which starts the line.

    Raises:
      SystemExit: always: 0 when all went well, 2 for a `UserError`, 1 for a `Failure` or
        an error of the operating system (disk full, no permission), 130 after Ctrl-C,
        143 after SIGTERM.
        Anything else is a defect of ours and keeps its traceback.
    """
    if sys.stdout:
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        status = main()
        print(end="", flush=True)  # a broken pipe or a full disk shows now, not after us
        sys.exit(status)
    except UserError as error:
        message, status = error, 2
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Failure, OSError) as error:
        message, status = error, 1
    except Interrupted as error:
        sys.exit(complain(name, error, 128 + error.number, kind=""))
    except KeyboardInterrupt:
        message, status = "interrupted", 130
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "numpy", "matplotlib", "PIL"):
            raise
        message, status = (f"{error.name} is not installed for {sys.executable}; make train "
                           "installs it in .venv, whose .venv/bin/python is to be used"), 1
    sys.exit(complain(name, message, status))


def plain(text):
    """`text` as a picture can show it: what its font does not have becomes a question mark."""
    return "".join(c if c.isprintable() and ord(c) < 0x530 else "?" for c in text)


def complain(name, message, status, kind="error: "):
    """Print `name: error: message` as one line on standard error and return `status`."""
    # A message may quote a file or a server: no control character of theirs gets through.
    printable = "".join(c if c.isprintable() else " " for c in str(message))
    print(f"{name}: {kind}{' '.join(printable.split())}", file=sys.stderr)
    return status


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser whose complaints are a `UserError`, so one line."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else list(args)
        for before, argument in zip(["", *args], args):
            if re.fullmatch(r"(--[\w-]+=)?", argument):
                # It would count as not given, or as the folder we are in.
                self.error(f"{argument.rstrip('=') or before or 'an argument'}: expected a value, "
                           "found nothing ('')")
        return super().parse_known_args(args, namespace)

    def error(self, message):
        raise UserError(f"{message}; see --help")


class progress:
    """A progress bar on standard error; silent when that is not a terminal.

    It shows itself only after `delay` seconds, so quick work stays quiet. A `total` of 0
    means that nobody knows how much there is to do.

        with progress(total, "download", unit="B") as bar:
            bar.update(done, "any short text")
    """

    def __init__(self, total, title, unit="", delay=0.5):
        self.total, self.title, self.unit = total, title, unit
        self.start = time.monotonic()
        self.next_draw = self.start + delay
        self.shown = sys.stderr.isatty()
        self.drawn = False

    def update(self, done, note=""):
        """Show that `done` of `total` is done; draws at most ten times a second."""
        now = time.monotonic()
        if not self.shown or now < self.next_draw:
            return
        self.next_draw, self.drawn = now + 0.1, True
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        if self.total:
            share = min(done / self.total, 1.0)
            left = (now - self.start) * (1 - share) / share if share else 0.0
            tail = f" {_short(done)}/{_short(self.total)}{self.unit}  {note}  {left:.0f} s left"
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


def _short(number):
    """1234 as '1234', 170498071 as '170.5M'."""
    return f"{number / 1e6:.1f}M" if number >= 1e6 else f"{number}"


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what is written to file descriptor 2, Python's and C++'s alike.

    TensorFlow greets with warnings about missing GPUs before any of its log settings is
    read. What was held back is shown after all if the block raises, and nothing is held
    back when the user has set TF_CPP_MIN_LOG_LEVEL, which is how one asks for the noise.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            sys.stderr.flush()
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def quiet_tensorflow():
    """Import TensorFlow and start it, without the noise; gives `tensorflow.compat.v1`.

        with console.quiet_tensorflow() as tf:
            import cnn_graph
    """
    with quiet_stderr():
        import tensorflow.compat.v1 as tf
        tf.config.list_physical_devices()
        # The first session has something to say too; this one leaves the GPUs alone.
        with tf.Graph().as_default(), tf.Session(
                config=tf.ConfigProto(device_count={"GPU": 0})) as session:
            session.run(tf.constant(0))
        if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
            tf.logging.set_verbosity(tf.logging.ERROR)
        yield tf
