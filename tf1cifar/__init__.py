"""TensorFlow 1's way of working on today's TensorFlow, for CIFAR-10 and one's own pictures.

The scripts beside this package are its faces. From the ground up it holds data and recipes,
networks and the graph, and the session that trains. A module imports modules of its own floor and
of the floors below.

Every script imports this file first, which older Pythons can read too, so that they get a line
instead of a traceback.
"""

import os
import sys

OLDEST, NEWEST = (3, 10), (3, 13)  # the Pythons that TensorFlow has packages for
PYTHONS = "Python %d.%d to %d.%d" % (OLDEST + NEWEST)

if sys.version_info < OLDEST:
    sys.exit("error: %s is Python %d.%d, and TensorFlow needs %s; run this with one of those, "
             "for example python%d.%d" % ((sys.executable,) + tuple(sys.version_info[:2])
                                          + (PYTHONS,) + NEWEST))


def excepthook(kind, error, trace):
    """The `sys.excepthook` of the scripts: one line for a Ctrl-C before `console.run` begins."""
    if not issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, error, trace)
    if sys.stderr:
        sys.stderr.write("%s: error: interrupted\n" % os.path.basename(sys.argv[0]))
        sys.stderr.flush()
    os._exit(130)
