"""The machine that computes.

    describe          processor and cores, for comparisons
    cores             number of processor cores
    starts_threads    whether this process may start a thread
    record            what decides over the bits of a training, besides its packages
    in_notebook       whether IPython runs this process
    available_memory  memory that is free
    nvidia_gpu        the NVIDIA GPU in it, as its driver names it
    command           a command line of this Python, for a person to copy
"""

import builtins
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
import threading

# What the driver of NVIDIA's GPUs makes on Linux, inside containers without the GPUs too.
NVIDIA_FILES = ("/proc/driver/nvidia", "/dev/nvidia0")


def describe():
    """The processor and the number of cores that this process may use.

    Figures of machines with different descriptions are not comparable.

    Returns:
      A str, such as 'AMD EPYC (family 26, model 2), 2 cores'.
    """
    return f"{processor()}, {cores()} core{'s' * (cores() > 1)}"


def record():
    """What decides over the bits of a training on this machine: a dictionary of str."""
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "").lower()
    if onednn in ("", "1", "true"):  # on x86, TensorFlow uses it unless it is told not to
        onednn = "1" if onednn or platform.machine() in ("x86_64", "AMD64") else "unset"
    return {"processor": processor(), "cores": str(cores()),
            "TF_ENABLE_ONEDNN_OPTS": "0" if onednn == "false" else onednn}


def processor():
    """The processor, a str such as 'AMD EPYC (family 26, model 2)'."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # not Linux
        text = ""

    def field(name):
        match = re.search(rf"^{name}\s*: (.+)$", text, re.MULTILINE)
        return match[1].strip() if match else ""

    name = field("model name") or platform.processor() or platform.machine()
    if field("cpu family"):
        name += f" (family {field('cpu family')}, model {field('model')})"
    return name


def cores():
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def starts_threads():
    """Whether the system starts a thread for this process."""
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return False
    return True


def in_notebook():
    """Whether IPython runs this process, whose settings and life are the person's."""
    return hasattr(builtins, "get_ipython")


def available_memory():
    """Bytes of memory that this process may still take, None if the system does not say."""
    try:
        match = re.search(r"^MemAvailable:\s*(\d+) kB$", pathlib.Path("/proc/meminfo").read_text(),
                          re.MULTILINE)
    except OSError:  # not Linux
        return None
    return int(match[1]) * 1024 if match else None


def nvidia_gpu():
    """The NVIDIA GPU of this machine, as its driver and the driver's program nvidia-smi tell it.

    Returns:
      (name, fault): the GPU's name, '' if no program names one; and the fault that keeps every
      program from the GPU, '' if none is known. Both are '' where no driver is.
    """
    program = shutil.which("nvidia-smi")
    if program:
        try:
            answer = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30,
                                    errors="replace", check=False)
        except (OSError, subprocess.SubprocessError) as error:
            return "", f"nvidia-smi fails ({error})"
        line = ((answer.stdout + answer.stderr).strip().splitlines() or ["it prints nothing"])[0]
        if answer.returncode:
            return "", f"nvidia-smi fails ({line})"
        return re.sub(r"^GPU \d+: | *\(UUID.*", "", line), ""
    if any(map(os.path.exists, NVIDIA_FILES)):
        return "", ("an NVIDIA driver is there without its program nvidia-smi; a container must be "
                    "started with GPUs, such as docker run --gpus all")
    return "", ""


def command(*words):
    """The command line that starts this Python with arguments, quoted for the shell.

    Args:
      words: the arguments, str or path.

    Returns:
      A str. It begins with `python` or `python3` where that starts this very Python, with `py` on
      Windows, and with the path of this Python elsewhere.
    """
    return " ".join([_python(), *map(_quoted, words)])


def _quoted(word):
    if isinstance(word, os.PathLike) and str(word).startswith("-"):
        word = os.path.join(os.curdir, word)  # no option
    return subprocess.list2cmdline([str(word)]) if os.name == "nt" else shlex.quote(str(word))


def _python():
    folder = os.path.dirname(sys.executable or "")  # a program that embeds Python may have none
    for name in ("python", "python3"):
        found = shutil.which(name)
        if not folder or found and os.path.dirname(found) == folder and os.path.samefile(
                found, sys.executable):
            return name
    if os.name == "nt" and sys.prefix == sys.base_prefix:
        return "py"
    return _quoted(shown_path(sys.executable))


def shown_path(path):
    """`path` as a str, relative to the current folder if it is inside."""
    path, here = os.path.abspath(path), os.getcwd()
    return os.path.relpath(path, here) if path.startswith(here + os.sep) else path
