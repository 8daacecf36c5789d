"""Standard error: noise that is held back, last words that are not, streams that take nothing."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from tf1cifar import standard_error

ROOT = pathlib.Path(__file__).resolve().parent.parent
ABSL = ("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1795595183.590147   25529 port.cc:153] oneDNN custom operations are on.",
        "2026-11-25 08:26:30.190147: I tensorflow/core/util/port.cc:153] oneDNN",
        "2026-11-25 08:26:30.190147: E external/cuda_fft.cc:467] Unable to register cuFFT",
        "To enable the following instructions: AVX2", "")


def script(code, **options):
    """Run `code` in a Python process that can import this project."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("TF_CPP_MIN_LOG_LEVEL", "PYTHONUNBUFFERED")}
    environment.update(PYTHONPATH=str(ROOT), **options.pop("env", {}))
    code = "import os, sys\nfrom tf1cifar import console, standard_error\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code], env=environment, timeout=30,
                          **{"capture_output": True, "text": True, **options})


# ---------------------------------------------------------------------------------------
# never_failing


@pytest.mark.parametrize("stream", ["/dev/full", "pipe", "closed"])
def test_never_failing_lets_the_work_go_on(stream):
    """Whatever a script writes to a standard error that takes nothing, its result counts."""
    code = ("import sys\nfrom tf1cifar import console\n"
            "def main():\n    print('a' * 9999, file=sys.stderr, flush=True)\n    print('ran')\n"
            "console.run(main, 'x')")
    how = {"/dev/full": "2>/dev/full", "closed": "2>&-", "pipe": "2>&3"}[stream]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(["sh", "-c", f'"{sys.executable}" -c "$0" {how}', code],
                          preexec_fn=lambda: os.dup2(writer, 3), pass_fds=(3,),
                          stdout=subprocess.PIPE, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_never_failing_leaves_the_streams_of_others(capsys):
    before = sys.stderr
    standard_error.never_failing()
    assert sys.stderr is before


# ---------------------------------------------------------------------------------------
# quiet_stderr

NOISE = """
    with standard_error.quiet_stderr():
        os.write(2, b"from C++\\n")
        print("from Python", end="", file=sys.stderr)
        {last}
    os.write(2, b"after\\n")
"""


def test_quiet_stderr_holds_back_what_the_block_writes():
    done = script(NOISE.format(last="os.system('echo from a child >&2')"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "after\n")


def test_quiet_stderr_is_quiet_in_a_process_that_a_quiet_one_starts():
    """In a notebook, `!python cnn_train.py` inherits what `%run cnn_train.py` has set before."""
    done = script(NOISE.format(last="pass"), env={"TF_CPP_MIN_LOG_LEVEL": "3"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "after\n")


def test_quiet_stderr_shows_it_after_all_when_the_block_raises():
    done = script(NOISE.format(last="raise SystemError('broken')"))
    assert done.returncode == 1
    assert done.stderr.startswith("from C++\nfrom PythonTraceback")
    assert done.stderr.endswith("SystemError: broken\n")


def test_quiet_stderr_lets_the_noise_through_for_who_asks():
    done = script(NOISE.format(last="pass"), env={"TF_CPP_MIN_LOG_LEVEL": "0"})
    assert done.returncode == 0
    assert all(text in done.stderr for text in ("from C++\n", "from Python", "after\n"))


def test_quiet_stderr_keeps_what_was_written_before_and_quietens_tensorflow():
    done = script("""
        sys.stderr.write("before ")
        with standard_error.quiet_stderr():
            print(os.environ["TF_CPP_MIN_LOG_LEVEL"])
        print("after", file=sys.stderr)
    """)
    assert (done.stdout, done.stderr) == ("3\n", "before after\n")


def test_quiet_stderr_lets_the_block_run_where_descriptor_2_is_closed():
    done = script("""
        import io
        sys.stderr = io.StringIO()
        os.close(2)
        with standard_error.quiet_stderr():
            print("ran")
    """)
    assert (done.returncode, done.stdout) == (0, "ran\n")


def test_quiet_stderr_tells_the_last_words_of_a_process_that_dies():
    done = script("""
        sys.argv = ["/a/cnn_train.py"]
        with standard_error.quiet_stderr():
            os.write(2, sys.stdin.read().encode())
            os.abort()
    """, input="\n".join([*ABSL, "F0000 00:00:17 1 env.cc:84] pthread_create() failed.",
                          "*** Check failure stack trace: ***", "    @  0x7f1f tsl::A()", ""]))
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith("cnn_train.py: error: ") and done.stderr.count("\n") == 1
    assert "'ulimit -a'" in done.stderr
    assert done.stderr.endswith("Its last words: F0000 00:00:17 1 env.cc:84] pthread_create() "
                                "failed.\n")


def test_quiet_stderr_leaves_no_process_behind():
    done = script("""
        with standard_error.quiet_stderr():
            pass
        try:
            os.wait()
        except ChildProcessError:
            print("none")
    """)
    assert (done.stdout, done.stderr) == ("none\n", "")


def test_quiet_stderr_holds_nothing_back_where_no_process_can_watch():
    done = script("""
        def fork():
            raise BlockingIOError(11, "Resource temporarily unavailable")
        os.fork = fork
        with standard_error.quiet_stderr():
            os.write(2, b"words\\n")
            print("ran")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "words\n")


@pytest.mark.parametrize("last", ["raise ImportError('numpy failed to import')", "pass"])
def test_quiet_stderr_is_silent_at_ctrl_c(last):
    """A library that is being imported swallows the KeyboardInterrupt, or hides it."""
    done = script(f"""
        import signal
        def main():
            with standard_error.quiet_stderr():
                os.write(2, b"noise\\n")
                try:
                    signal.raise_signal(signal.SIGINT)
                except KeyboardInterrupt:
                    {last}
            print("not here")
        console.run(main, "x")
    """)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "x: error: interrupted\n"


def test_noise_is_what_tensorflow_writes_at_every_start():
    assert all(map(standard_error.NOISE.match, ABSL))
    for line in ("terminate called after throwing an instance of 'std::bad_alloc'",
                 "F0000 00:00:17 1 env.cc:84] Check failed", "E0000 00:00:17 1 x.cc:1] no memory",
                 "OpenBLAS blas_thread_init: pthread_create failed", "Illegal instruction"):
        assert not standard_error.NOISE.match(line), line
