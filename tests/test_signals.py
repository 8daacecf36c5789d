"""Signals: the first Ctrl-C and the second one, signals that are collected or stay ignored."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from tf1cifar import signals

ROOT = pathlib.Path(__file__).resolve().parent.parent


def script(code):
    """Run `code` in a Python process that can import this project."""
    code = "import signal\nfrom tf1cifar import console\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
                          timeout=30, capture_output=True, text=True, check=False)


def test_caught_collects_and_puts_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with signals.caught() as numbers:
        assert numbers == []
        signal.raise_signal(signal.SIGTERM)
        assert numbers == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL  # the next Ctrl-C ends the process
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_caught_catches_none_in_another_thread():
    """Notebook widgets and Spyder call in a thread, where Python refuses to set a handler."""
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with signals.caught() as numbers:
            seen.append((list(numbers), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [([], before)] and signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("number", signals.STOPPING)
def test_caught_collects_every_signal_that_stops(number):
    with signals.caught() as numbers:
        signal.raise_signal(number)
    assert numbers == [number]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_caught_leaves_an_ignored_signal_ignored(number):
    """As nohup starts a process."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with signals.caught() as numbers:
            signal.raise_signal(number)
            signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(number) == signal.SIG_IGN
        assert numbers == [signal.SIGTERM]
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_two_interrupts_end_a_script_that_does_not_end_at_the_first():
    done = script("""
        def main():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                print("first", flush=True)
                signal.raise_signal(signal.SIGINT)
                print("still here")
        console.run(main, "x")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "first\n", "")


def test_two_interrupts_tell_of_a_ctrl_c_that_a_library_turned_into_another_error():
    def main():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy failed to import") from None

    before = signal.getsignal(signal.SIGINT)
    assert before == signal.default_int_handler
    with pytest.raises(ImportError), signals.two_interrupts():
        assert not signals.interrupted()
        main()
    assert signals.interrupted() and signal.getsignal(signal.SIGINT) == before
    with signals.two_interrupts():
        assert not signals.interrupted()


def test_two_interrupts_leave_a_handler_of_others_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.two_interrupts():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
