"""console.py: errors, arguments, signals and the progress bar, some in a process of their own."""

import fcntl
import io
import os
import pathlib
import pty
import signal
import struct
import subprocess
import sys
import termios
import textwrap

import pytest

from tf1cifar import console, errors, machine, standard_error

ROOT = pathlib.Path(__file__).resolve().parent.parent


def script(code, **options):
    """Run `code` in a Python process that can import this project."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("TF_CPP_MIN_LOG_LEVEL", "PYTHONUNBUFFERED")}
    environment.update(PYTHONPATH=str(ROOT), **options.pop("env", {}))
    code = "import os, sys\nfrom tf1cifar import console\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code], env=environment, timeout=30,
                          **{"capture_output": True, "text": True, **options})


# ---------------------------------------------------------------------------------------
# run


@pytest.mark.parametrize("result, status", [(None, 0), (0, 0), (3, 3)])
def test_run_exits_with_what_main_returns(capsys, result, status):
    with pytest.raises(SystemExit) as caught:
        console.run(lambda: result, "cnn_train")
    assert (caught.value.code or 0) == status
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error, status, line", [
    (errors.UserError("no such recipe: 'x'"), 2, "no such recipe: 'x'"),
    (errors.Failure("cannot download"), 1, "cannot download"),
    (OSError(28, "No space left on device", "/out"), 1,
     "[Errno 28] No space left on device: '/out'"),
    (PermissionError(13, "Permission denied"), 1, "[Errno 13] Permission denied"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (errors.Failure("first\n  second\r\n\tthird\n"), 1, "first second third"),
    (errors.UserError("a\x1b[2Jb\x07\x9b\x00c \N{SNOWMAN}"), 2, "a [2Jb c \N{SNOWMAN}"),
])
def test_run_prints_an_error_in_one_line(capsys, error, status, line):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        console.run(main, "cnn_train")
    assert caught.value.code == status
    assert capsys.readouterr() == ("", f"cnn_train: error: {line}\n")


def test_run_leaves_other_exceptions_and_exits_alone(capsys):
    with pytest.raises(ZeroDivisionError):
        console.run(lambda: 1 / 0, "cnn_train")
    with pytest.raises(SystemExit) as caught:
        console.run(lambda: sys.exit(7), "cnn_train")
    assert caught.value.code == 7
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_run_is_quiet_when_the_reader_goes_away(lines):
    """Short output stays in Python's buffer and fails only at the flush, which must be in time."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as output:
        done = script(f"console.run(lambda: print('line\\n' * {lines}), 'cnn_train')",
                      capture_output=False, stdout=output, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "")


def test_run_without_a_standard_output():
    done = script("sys.stdout = None; console.run(lambda: print('x'), 'cnn_train')")
    assert (done.returncode, done.stderr) == (0, "")


def test_run_in_a_notebook(monkeypatch):
    """A notebook's standard output cannot be reconfigured."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(SystemExit) as caught:
        console.run(lambda: print("x"), "cnn_train")
    assert not caught.value.code and sys.stdout.getvalue() == "x\n"


def test_run_opens_no_file_in_the_place_of_a_closed_stream(tmp_path):
    """TensorFlow's messages, which go to descriptor 2, must not end up in a file of the run."""
    code = ("import os, sys\nfrom tf1cifar import console\n"
            "def main():\n    with open('file', 'w') as out: print(out.fileno(), file=out)\n"
            "console.run(main, 'cnn_train')")
    command = f'"{sys.executable}" -c "$0" <&- >&- 2>&-'
    status = subprocess.run(["sh", "-c", command, code], cwd=tmp_path, check=False,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode
    assert status == 0 and int((tmp_path / "file").read_text()) > 2


@pytest.mark.parametrize("name", ["tensorflow", "numpy", "matplotlib", "PIL"])
def test_run_names_the_command_for_a_missing_package(name, capsys):
    def main():
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    with pytest.raises(SystemExit) as caught:
        console.run(main, "cnn_train")
    line = capsys.readouterr().err
    assert caught.value.code == 1 and line.count("\n") == 1
    assert f"{name} is not installed for {sys.executable}" in line
    assert "-m pip install -r requirements.txt'" in line and "make train" in line


@pytest.mark.parametrize("version, here", [((3, 14), True), ((3, 9), True), ((3, 12), False)])
def test_run_names_the_pythons_that_tensorflow_has_packages_for(version, here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (*version, 1))

    def main():
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    with pytest.raises(SystemExit):
        console.run(main, "cnn_train")
    line = capsys.readouterr().err
    assert ("TensorFlow has packages for Python 3.10 to 3.13 only" in line) == here
    assert ("which is Python {}.{};".format(*version) in line) == here


def test_run_names_the_cause_when_tensorflow_does_not_start(capsys):
    def main():
        raise ImportError(
            "Traceback (most recent call last):\n  File ...\nImportError: DLL load failed while "
            "importing _pywrap\n\n\nFailed to load the native TensorFlow runtime.\nSee ...")

    with pytest.raises(SystemExit) as caught:
        console.run(main, "cnn_train")
    line = capsys.readouterr().err
    assert caught.value.code == 1 and line.count("\n") == 1
    assert "(DLL load failed while importing _pywrap)" in line and "Visual C++" in line


@pytest.mark.parametrize("error, words", [
    (MemoryError(), "not enough memory; end"),
    (MemoryError("Unable to allocate 3 GiB"), "not enough memory (Unable to allocate 3 GiB)"),
    (OSError(12, "Cannot allocate memory"), "not enough memory ([Errno 12] Cannot allocate"),
    (RuntimeError("can't start new thread"), "starts no more threads"),
    (ImportError("libtensorflow_cc.so.2: failed to map segment from shared object"),
     "not enough memory (libtensorflow_cc.so.2: failed to map"),
    (ImportError("Traceback\n  File ...\nImportError: x.so: failed to map segment\n\n\nFailed to "
                 "load the native TensorFlow runtime.\n"),
     "not enough memory (x.so: failed to map segment)")])
def test_run_names_the_limit_when_the_machine_gives_no_more(error, words, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        console.run(main, "cnn_train")
    line = capsys.readouterr().err
    assert caught.value.code == 1 and line.count("\n") == 1
    assert words in line and "'ulimit -" in line


def test_run_knows_openblas_from_ctrl_c(capsys, monkeypatch):
    """OpenBLAS raises SIGINT when it gets no thread."""
    def start(thread):
        raise RuntimeError("can't start new thread")

    def main():
        raise KeyboardInterrupt

    monkeypatch.setattr(machine.threading.Thread, "start", start)
    with pytest.raises(SystemExit) as caught:
        console.run(main, "cnn_train")
    assert caught.value.code == 1
    assert "starts no more threads" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("x"), NotImplementedError("x")])
def test_run_leaves_defects_alone(error):
    def main():
        raise error

    with pytest.raises(RuntimeError):
        console.run(main, "cnn_train")


@pytest.mark.parametrize("full", [True, False])
def test_say_lets_the_work_go_on(full):
    """A full disk or a reader that went away, and then a second line."""
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full" if full else writer, "wb", closefd=full) as output:
        done = script("""
            def main():
                console.say("one")
                console.say("two")
                print("the end", file=sys.stderr)
            console.run(main, "x")
        """, capture_output=False, stdout=output, stderr=subprocess.PIPE)
    os.close(writer)
    reason = "No space left on device" if full else "Broken pipe"
    assert done.returncode == 0 and done.stderr.splitlines() == [
        f"standard output takes nothing any more ({reason}); the work goes on", "the end"]


def test_excepthook_ends_in_one_line_at_a_ctrl_c_before_run():
    done = script("""
        import tf1cifar
        sys.argv = ["/a/cnn_train.py"]
        sys.excepthook = tf1cifar.excepthook
        raise KeyboardInterrupt
    """)
    assert (done.returncode, done.stderr) == (130, "cnn_train.py: error: interrupted\n")
    done = script("import tf1cifar; sys.excepthook = tf1cifar.excepthook; 1 / 0")
    assert done.returncode == 1 and done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("content, variables", [
    (b"text.usetex: True\nfont.size: 3\n", {}), (b"\xff\xfe\x00 :", {}),
    (b"font.size: 3\n", {"MATPLOTLIBRC": "/dev/full", "MPLBACKEND": "garbage",
                         "MPLCONFIGDIR": "/proc/x"})])
def test_quiet_tensorflow_imports_matplotlib_with_its_own_settings(content, variables, tmp_path):
    """The current folder's matplotlibrc would be the first that counts."""
    (tmp_path / "matplotlibrc").write_bytes(content)
    done = script("""
        with standard_error.quiet_stderr():
            console.import_matplotlib()
        import matplotlib
        print(matplotlib.rcParams["text.usetex"], matplotlib.rcParams["font.size"], os.getcwd())
    """.replace("with", "from tf1cifar import standard_error\n        with", 1),
                  cwd=tmp_path, env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"False 10.0 {tmp_path}\n"


@pytest.mark.parametrize("error", [ImportError("x"), ModuleNotFoundError("x", name="other")])
def test_run_leaves_the_import_errors_of_others_alone(error):
    def main():
        raise error

    with pytest.raises(ImportError):
        console.run(main, "cnn_train")


def test_run_exits_with_the_number_of_a_signal(capsys):
    def main():
        raise errors.Interrupted("stopped", signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        console.run(main, "cnn_train")
    assert caught.value.code == 143
    assert capsys.readouterr().err == "cnn_train: stopped\n"


# ---------------------------------------------------------------------------------------
# progress


def test_progress_is_silent_where_no_terminal_is(capsys):
    with console.progress(10, "epoch 1", delay=0) as bar:
        bar.update(5, "note")
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch):
    """Function (columns) that makes standard error a terminal; it returns a function to read it."""
    opened = []

    def make(columns):
        controller, device = pty.openpty()
        fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        stderr = open(device, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", stderr)
        opened.extend([stderr, open(controller, "rb", buffering=0)])

        def read():
            stderr.write("\0")  # marks the end of the drawn text
            stderr.flush()
            drawn = b""
            while not drawn.endswith(b"\0"):
                drawn += opened[-1].read(10_000)
            return drawn[:-1].decode()
        return read

    yield make
    for file in opened:
        file.close()


def test_progress_and_say_are_silent_where_another_process_speaks(terminal, monkeypatch, capsys):
    monkeypatch.setattr(console.progress, "silent", True)
    with console.progress(10, "epoch 1", delay=0) as bar:
        bar.update(5)
        console.say("a line")
    assert not bar.drawn and capsys.readouterr().out == ""


def test_progress_draws_on_a_terminal_and_wipes_itself_away(terminal, monkeypatch):
    read, seconds = terminal(100), 50.0
    monkeypatch.setattr(console.time, "monotonic", lambda: seconds)
    with console.progress(10_000_000, "download", "B", delay=2) as bar:
        seconds += 1.9
        bar.update(2_000_000)
        assert read() == "", "quick work stays quiet"
        seconds += 0.2
        bar.update(2_500_000, "soon")
        assert read() == ("\r\x1b[Kdownload [======                  ] "
                          "2.5M/10.0MB  soon  6 s left")
        seconds += 0.0625
        bar.update(5_000_000)
        assert read() == "", "ten drawings a second are enough"
        seconds += 0.0625
        bar.update(5_000_000)
        assert read().startswith("\r\x1b[Kdownload [============            ] 5.0M/10.0MB")
    assert read() == "\r\x1b[K"


def test_progress_of_quick_work_is_silent(terminal):
    read = terminal(100)
    with console.progress(10, "quick", delay=600) as bar:
        bar.update(5)
    assert read() == ""


class EditorStream(io.StringIO):
    """A terminal of an editor, which has no descriptor."""

    def isatty(self):
        return True


def test_progress_draws_where_the_terminal_does_not_tell_its_width(monkeypatch):
    monkeypatch.setattr(sys, "stderr", EditorStream())
    with console.progress(10, "t" * 200, delay=0) as bar:
        bar.update(5)
    assert sys.stderr.getvalue() == f"\r\x1b[K{'t' * 79}\r\x1b[K"


def test_progress_is_silent_on_a_stream_that_only_writes(monkeypatch):
    class Writer:
        def write(self, text):
            raise AssertionError(text)

    monkeypatch.setattr(sys, "stderr", Writer())
    with console.progress(10, "epoch 1", delay=0) as bar:
        bar.update(5)


@pytest.mark.parametrize("total, done, shown", [
    (0, 5, "odd 5 "), (10, 0, "[                        ] 0/10"),
    (10, 25, "[========================] 25/10")])
def test_progress_of_odd_amounts(terminal, total, done, shown):
    read = terminal(100)
    with console.progress(total, "odd", delay=0) as bar:
        bar.update(done)
    assert shown in read()


def test_progress_shows_the_time_left_of_all_the_work(terminal, monkeypatch):
    """The bar shows the progress of an epoch, and the time left is that of the whole run."""
    read, seconds = terminal(100), 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: seconds)
    with console.progress(10, "epoch 1", delay=0) as bar:
        seconds = 4.0
        bar.update(2, "x", remaining=90)
    assert "2/10  x  3:16 min left" in read()


@pytest.mark.parametrize("seconds, text", [
    (0.4, "0 s"), (99.4, "99 s"), (99.6, "1:40 min"), (5999, "99:59 min"), (6000, "1:40 h")])
def test_clock(seconds, text):
    assert console._clock(seconds) == text  # noqa: SLF001 - a table is the clearest test


def test_progress_without_a_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with console.progress(10, "epoch 1", delay=0) as bar, standard_error.quiet_stderr():
        bar.update(5)


@pytest.mark.parametrize("columns, longest", [(0, 79), (1, 0), (20, 19)])
def test_progress_never_wraps(terminal, columns, longest):
    """A terminal may report a width of 0 columns, for example in a container."""
    read = terminal(columns)
    with console.progress(10, "t" * 200, delay=0) as bar:
        bar.update(5)
    assert read() == f"\r\x1b[K{'t' * longest}\r\x1b[K"


def test_import_loads_neither_numpy_nor_tensorflow():
    done = script("print({'numpy', 'tensorflow'} & set(sys.modules))")
    assert done.stdout == "set()\n"
