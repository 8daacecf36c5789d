"""Signals: Ctrl-C in a script, and the signals after which training saves.

    two_interrupts  one Ctrl-C ends a script in order, a second one at once
    interrupted     whether the first Ctrl-C was there
    caught          collect Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 instead of dying of them

A signal that was ignored when the process was started stays ignored, as nohup wants it.
"""

import contextlib
import signal

from tf1cifar import machine

# Ctrl-C, the end that a system asks for, a closed terminal, and Slurm's warning of the end.
# Windows lacks some of them.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
                 if hasattr(signal, name))

_interrupts = []  # the first Ctrl-C of a script


@contextlib.contextmanager
def two_interrupts():
    """Let the first Ctrl-C raise KeyboardInterrupt, and a second one end the process at once.

    Nothing changes where another handler than Python's own is set, in another thread than the main
    one, and in a notebook, whose process must live on.
    """
    def handle(number, frame):
        _interrupts.append(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    own = before == signal.default_int_handler and not machine.in_notebook()
    if own:
        try:
            signal.signal(signal.SIGINT, handle)
        except ValueError:  # not in the main thread
            own = False
    _interrupts.clear()
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGINT, before)


def interrupted():
    """Whether there was a Ctrl-C since `two_interrupts` began.

    A library that is being imported may turn the KeyboardInterrupt into another exception, or
    swallow it.
    """
    return bool(_interrupts)


@contextlib.contextmanager
def caught():
    """Collect the signals STOPPING in a list, so that training can stop after a step and save.

    A Ctrl-C after another of the signals ends the process at once, wherever it is. Python's own
    handler would wait for TensorFlow. Nothing that was saved can be lost, whenever the process
    ends. Only the main thread of a process can catch signals; in another one the list stays empty.

    Yields:
      The list of the signals' numbers.
    """
    numbers, before = [], {}

    def handle(number, frame):
        numbers.append(number)
        if signal.SIGINT in before:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    with contextlib.suppress(ValueError):  # not in the main thread
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
    try:
        yield numbers
    finally:
        for number, handler in before.items():
            # None is a handler that Python cannot put back, that of a program around it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
