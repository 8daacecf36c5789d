"""The name of the machine that computes, for comparisons.

    describe  processor and cores
"""

import os
import pathlib
import platform
import re


def describe():
    """The processor and the number of cores that this process may use.

    Figures of machines with different descriptions are not comparable.

    Returns:
      A str, such as 'AMD EPYC (family 26, model 2), 2 cores'.
    """
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        text = ""

    def field(name):
        match = re.search(rf"^{name}\s*: (.+)$", text, re.MULTILINE)
        return match[1].strip() if match else ""

    name = field("model name") or platform.processor() or platform.machine()
    if field("cpu family"):
        name += f" (family {field('cpu family')}, model {field('model')})"
    return f"{name}, {cores()} core{'s' * (cores() > 1)}"


def cores():
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
