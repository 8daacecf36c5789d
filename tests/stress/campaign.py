"""Stop training runs in many ways, and check that the next start resumes them.

    python tests/stress/campaign.py --kills 200     kill runs at random moments
    python tests/stress/campaign.py --faults kill   kill a run at its n-th file operation
    python tests/stress/campaign.py --faults fail   fail the n-th file operation of a run
    python tests/stress/campaign.py --faults full   fail the n-th file operation and all later ones
    python tests/stress/campaign.py --short         kills, a full disk, a read-only folder, signals

With --faults, n takes every value. A kill is SIGKILL, and a failing operation reports a full disk.

Every stopped run is started again until it is finished. The finished run must then equal an
undisturbed run bit for bit: all variables of the latest checkpoints and of the SavedModel, all
events, metrics.csv, recipe.json, result.json, the learning curve, and the list of files; of
times.csv, which has the seconds of the run, the number of images. A start
that fails must print one line on standard error, exit with status 1, and leave good checkpoints
only.

The run folder has a name that TensorFlow reads as a pattern. Before a stopped run is started again,
a person's files are put into it, and links under the names of scratch files. They must survive.

TensorFlow takes seconds to import. One process imports it, and every start of cnn_train.py is a
fork of that process before TensorFlow has any threads. The kernel reports the file operations and
makes them fail (seccomp's user notifications, on Linux on x86-64), so the operations of
TensorFlow's C++ code are included.
"""

import argparse
import collections
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import itertools
import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when it is imported
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # for the scripts and tests/support

import numpy as np  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402
from support import py2_pickle  # noqa: E402

import cnn_train  # noqa: E402
from tf1cifar import console, locks, signals  # noqa: E402
from tf1cifar.data import cifar10  # noqa: E402
from tf1cifar.plain_paths import plain  # noqa: E402
from tf1cifar.training import checkpoints, loop, precision  # noqa: E402, F401 - once for all forks
from tf1cifar.training.run_folder import RunFolder  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)

COMMON = ("--device cpu --epochs 2 --batch-size 20 --held-out 0.1 "
          "--augment crop flip noise --checkpoint-every 2 --summary-every 2 --max-to-keep 3 ")
RUNS = {
    "batchnorm_cnn": "--dataset cifar10 --preparation gray24 --dropout 0.3 --optimizer momentum "
                     "--checkpoint-every 3 --summary-every 5 --moving-average 0.9",
    "fast": "--augment shift alternating_flip",
    "lrn_cnn": "--dropout 0.3 --summary-every 5",
    "tutorial_cnn": "--optimizer momentum --dropout 0.2 --order with_replacement "
                    "--moving-average 0.9",
    "two_layer_fc": "--optimizer adam --schedule exponential --dropout 0.2 --augment none "
                    "--steps-per-run 3",
}
# A short run for --faults, which starts one run for each file operation.
SMALL = (f"--recipe softmax --optimizer adam --learning-rate 0.00003 {COMMON} --checkpoint-every 4 "
         "--max-to-keep 2").split()
KINDS = ("model.ckpt", "best")
RUN = "r?n [0.1]*\\"  # the name of the run folder
OWN_FILES = ("checkpoints/model.ckpt-4.notes.txt", "checkpoints/model.ckpt-4.index.bak",
             "checkpoints/best-4.onnx", "checkpoints/my-checkpoint.tmp-notes", ".mine.part")
LINKS = (".metrics.csv.part", ".recipe.json.part", ".tf1cifar-00000000",
         "checkpoints/.checkpoint.part", "checkpoints/.tf1cifar-00000000")


def write_data(folder, images=20):
    """Write CIFAR-10's seven files to `folder`, with `images` random images in each batch."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        labels = rng.permutation(np.arange(images) % 10)
        data = rng.integers(0, 60, (images, 3072)) + 20 * labels[:, None]
        (folder / name).write_bytes(py2_pickle.dumps({
            "batch_label": name, "labels": labels.tolist(), "data": data.astype(np.uint8),
            "filenames": [f"{number}.png" for number in range(images)]}))
    (folder / cifar10.META_FILE).write_bytes(py2_pickle.dumps({
        "num_cases_per_batch": images, "label_names": list(cifar10.CLASS_NAMES),
        "num_vis": 3072}))
    return folder


class Start:
    """A process of cnn_train.py, which starts when this object is created.

    Args:
      arguments: list of command-line arguments.
      outputs: `pathlib.Path` of the folder for the files stdout and stderr.
      before: function that the new process calls before the script.
    """

    def __init__(self, arguments, outputs, before=lambda: None):
        self.out, self.err = outputs / "stdout", outputs / "stderr"
        for path in (self.out, self.err):
            path.write_text("")
        self.began = time.monotonic()
        self.status = None
        self.pid = os.fork()
        if self.pid:
            return
        try:
            for number, path in ((1, self.out), (2, self.err)):
                os.dup2(os.open(path, os.O_WRONLY), number)
            sys.stdout.reconfigure(line_buffering=True)
            sys.argv = ["cnn_train.py", *map(str, arguments)]
            # TensorFlow is imported and quiet already, so its first session is not needed.
            console.quiet_tensorflow = lambda: contextlib.nullcontext(tf)
            tempfile.tempdir = str(outputs)
            give_timing(pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1]), outputs)
            before()
            console.run(cnn_train.main, "cnn_train.py")
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = 99
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)

    def ended(self):
        """Whether the process has ended; `status` is then its exit status."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self, seconds=120.0, until=lambda: False):
        """Wait until the process ends, `until()` is true, or the time is over.

        Args:
          seconds: longest time to wait.
          until: function that returns whether to stop waiting.

        Returns:
          Whether the process has ended.
        """
        end = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < end and not until():
            time.sleep(0.002)
        return self.ended()

    def send(self, number):
        if not self.ended():
            os.kill(self.pid, number)

    def trains(self):
        """Whether the training steps have begun. Before them a signal finds nothing to save."""
        return " parameters, on " in self.printed()

    def printed(self):
        return self.out.read_text()

    def complaint(self):
        return self.err.read_text()


def give_timing(run, outputs):
    """Let the timing by which --precision auto decides favour another precision in every start.

    A run must keep the choice of its first start, with which it began, whenever it is killed.
    """
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=outputs)  # nothing is remembered
    faster = "float32" if (run / "recipe.json").exists() else "bfloat16"
    precision.layer_seconds = lambda *_: {
        name: 1.0 if name == faster else 2.0 for name in precision.DTYPES}


def give_up_rights():
    """Drop the superuser's capabilities, so that file permissions apply to this process."""
    if os.geteuid() == 0:
        nothing = struct.pack("6I", *6 * [0])
        if ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), nothing):
            raise OSError("capset")


# ---------------------------------------------------------------------------------------
# File operations

OPEN, OPENAT = 2, 257
SYSTEM_CALLS = {  # number -> name, index of a file descriptor or None, index of a path or None
    1: ("write", 0, None), 18: ("pwrite", 0, None), 20: ("writev", 0, None),
    40: ("write", 0, None), 326: ("write", 2, None),  # for copies by shutil
    74: ("fsync", 0, None), 77: ("ftruncate", 0, None),
    OPEN: ("create", None, 0), OPENAT: ("create", 0, 1),
    82: ("rename", None, 0), 264: ("rename", 0, 1), 316: ("rename", 0, 1),
    86: ("link", None, 1), 265: ("link", 2, 3),
    83: ("mkdir", None, 0), 258: ("mkdir", 0, 1),
    84: ("remove", None, 0), 87: ("remove", None, 0), 263: ("remove", 0, 1),
}
RECEIVE, SEND = 0xC0502100, 0xC0182101  # ioctl's numbers of SECCOMP_IOCTL_NOTIF_*
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE


def report_file_operations(channel):
    """Ask the process at the other end of `channel` before every file operation of this process.

    A seccomp filter suspends each system call in SYSTEM_CALLS until that process has answered.
    """
    load, jump_if_equal, jump_if_set, give = 0x20, 0x15, 0x45, 0x06
    allow, notify = 0x7FFF0000, 0x7FC00000
    numbers = [number for number in SYSTEM_CALLS if number not in (OPEN, OPENAT)]
    program = [(load, 0, 0, 0)]
    program += [(jump_if_equal, len(numbers) - i + 7, 0, number)
                for i, number in enumerate(numbers)]
    program += [(jump_if_equal, 2, 0, OPENAT),
                (jump_if_equal, 3, 0, OPEN),
                (give, 0, 0, allow),
                (load, 0, 0, 16 + 8 * 2),  # openat's flags
                (jump_if_set, 3, 2, os.O_CREAT),
                (load, 0, 0, 16 + 8 * 1),  # open's flags
                (jump_if_set, 1, 0, os.O_CREAT),
                (give, 0, 0, allow),
                (give, 0, 0, notify)]
    code = ctypes.create_string_buffer(b"".join(
        struct.pack("HBBI", *instruction) for instruction in program))
    described = ctypes.create_string_buffer(
        struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    listener = libc.syscall(317, 1, 8, described)  # installs the filter
    if listener < 0:
        raise OSError(ctypes.get_errno(), "this kernel has no seccomp notifications")
    socket.send_fds(channel, [b"x"], [listener])
    os.close(listener)


def watch(arguments, outputs, folder, decide):
    """Start cnn_train.py, and call `decide` before every file operation in `folder`.

    Args:
      arguments: list of command-line arguments.
      outputs: `pathlib.Path` of the folder for the files stdout and stderr.
      folder: `pathlib.Path` of the folder whose file operations count.
      decide: function of (number, operation), such as (7, 'write metrics.csv'). It returns None
        to allow the operation, an error number to make the operation fail, or 'kill' to kill the
        process.

    Returns:
      The `Start`, which has ended.
    """
    ours, theirs = socket.socketpair()
    start = Start(arguments, outputs, lambda: report_file_operations(theirs))
    theirs.close()
    _, (listener,), *_ = socket.recv_fds(ours, 1, 1)
    ours.close()
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    number = 0
    while not start.ended():
        if not any(event & select.POLLIN for _, event in poll.poll(50)):
            continue
        request = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, request)
        except OSError:  # the process has just ended
            continue
        identity, pid, _, call, _, _, *values = struct.unpack("QIIiIQ6Q", request)
        name, path = _operation(pid, call, values)
        answer = None
        if path.is_relative_to(folder):
            number += 1
            answer = decide(number, f"{name} {path.relative_to(folder)}")
        if answer == "kill":
            start.send(signal.SIGKILL)
            continue
        response = struct.pack("QqiI", identity, 0, -(answer or 0), 0 if answer else CONTINUE)
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(listener, SEND, response)
    os.close(listener)
    return start


def _operation(pid, call, values):
    """(name of a system call, path of the file that it works on)."""
    name, descriptor, text = SYSTEM_CALLS[call]
    path = ""
    if text is not None:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(values[text])
            path = os.fsdecode(memory.read(4096).split(b"\0")[0])
    if descriptor is not None and not path.startswith("/"):
        number = ctypes.c_int(values[descriptor]).value
        link = f"/proc/{pid}/cwd" if number == -100 else f"/proc/{pid}/fd/{number}"
        path = os.path.join(os.readlink(link), path)
    folder, file = os.path.split(path)  # TensorFlow knows the folder under a second name
    return name, pathlib.Path(os.path.realpath(folder), file)


# ---------------------------------------------------------------------------------------
# The files of a run


def variables(path):
    """A dictionary from the name of each variable in a checkpoint to a digest of its bits."""
    reader = tf.train.load_checkpoint(plain(path))
    return {name: hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest()
            for name in reader.get_variable_to_shape_map()}


def events(folder):
    """(step, tag, digest) of every summary value and graph in the event files, sorted."""
    found = []
    for path in folder.event_files():
        for event in tf.train.summary_iterator(plain(path)):
            if event.graph_def:
                found.append((0, "graph", graph_digest(tf.GraphDef.FromString(event.graph_def))))
            found += [(event.step, value.tag, digest(value)) for value in event.summary.value]
    return sorted(found)


def graph_digest(definition):
    """A digest of a GraphDef that does not depend on the names of its functions and gradients.

    TensorFlow numbers them through all graphs of a process, those of a timing included.
    """
    functions = {item.signature.name: item for item in definition.library.function}
    pattern = re.compile("|".join(map(re.escape, sorted(functions, key=len, reverse=True))) or "$^")
    order = []  # names as they first appear

    def rename(match):
        if match[0] not in order:
            order.append(match[0])
        return f"function-{order.index(match[0])}"

    def renamed(message):
        return pattern.sub(rename, str(message))

    text = "".join(map(renamed, definition.node))
    done = 0
    while done < len(order):
        text += renamed(functions[order[done]])
        done += 1
    gradients = list(dict.fromkeys(re.findall(r"CustomGradient-\d+", text)))
    text = re.sub(r"CustomGradient-\d+",
                  lambda found: f"gradient-{gradients.index(found[0])}", text)
    return hashlib.sha256(text.encode()).hexdigest()


def saved(folder, kind="model.ckpt"):
    """[(step, path)] of a run's complete checkpoints of a kind in KINDS."""
    return checkpoints.Checkpoints(folder.checkpoints).saved(kind)


def digest(message):
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()


def traces(path):
    """A dictionary of all contents of the finished run at `path` that must not depend on stops."""
    folder = RunFolder(path)
    latest = [saved(folder, kind)[-1][1] for kind in KINDS]
    files = {str(item.relative_to(path)) for item in path.rglob("*")
             if item.is_file() and item not in folder.event_files()} - {*OWN_FILES, *LINKS}
    return {
        "files": files,
        "variables": [(pathlib.Path(checkpoint).name, variables(checkpoint))
                      for checkpoint in latest],
        "SavedModel": variables(str(folder.saved_model / "variables/variables")),
        "events": events(folder),
        "images in times.csv": sum(row["images"] for row in folder.read_times()),
        **{item.name: item.read_bytes() for item in (
            folder.metrics_file, folder.result_file, folder.learning_curve)},
        **{"recipe.json": folder.recipe_file.read_bytes()}}


class Wrong(Exception):
    """A check of a campaign has failed."""


def check_same(path, expected):
    found = traces(path)
    for what, content in expected.items():
        if found[what] != content:
            raise Wrong(f"{path}: not the {what} of the undisturbed run" + (
                f": {sorted(set(found[what]) ^ set(content))}"
                if isinstance(content, (set, list)) else ""))


def check_checkpoints(path, good):
    """Raise `Wrong` unless every complete checkpoint has the variables in `good`."""
    folder = RunFolder(path)
    for kind in KINDS:
        for _, checkpoint in saved(folder, kind):
            if variables(checkpoint) != good[pathlib.Path(checkpoint).name]:
                raise Wrong(f"{checkpoint}: complete, but not that of the undisturbed run")


# ---------------------------------------------------------------------------------------
# The campaigns


class Campaign:
    """The campaigns, with small data and a run in the folder `work`."""

    def __init__(self, work):
        work.mkdir()
        self.work = work
        self.data = write_data(work / cifar10.FOLDER)
        self.path = work / RUN
        self.precious = work / "precious"
        self.counts = collections.Counter()

    def start(self, arguments, **options):
        return Start(self.line(arguments), self.work, **options)

    def line(self, arguments):
        return [*arguments, "--data-dir", self.data, "--run-dir", self.path]

    def fresh(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def finish(self, arguments):
        """Run cnn_train.py to its end, which must be without errors; the seconds that it took."""
        planted = self.plant()
        start = self.start(arguments)
        start.wait()
        if start.status != 0 or start.complaint():
            raise Wrong(f"exit status {start.status}: {start.complaint()}")
        for path in planted:
            if path.read_text() != "precious":
                raise Wrong(f"{path}: removed or written")
        return time.monotonic() - start.began

    def plant(self):
        """Put a person's files and links under scratch names into a run; the paths to survive."""
        if not (self.path / "recipe.json").exists() or not (self.path / "checkpoints").exists():
            return []
        self.precious.write_text("precious")
        for name in LINKS:
            with contextlib.suppress(FileExistsError):
                (self.path / name).symlink_to(self.precious)
        own = [self.path / name for name in OWN_FILES]
        for path in own:
            path.write_text("precious")
        return [*own, self.precious]

    def undisturbed(self, arguments):
        """(result of `traces`, seconds) of a run without a stop."""
        self.fresh()
        seconds = self.finish(arguments)
        return traces(self.path), seconds

    def kills(self, number, rng, names=tuple(RUNS)):
        """Kill `number` starts of runs at random moments, and finish and check every run.

        Args:
          number: number of kills.
          rng: a `random.Random`.
          names: keys of RUNS, which take turns.
        """
        references, count = {}, self.counts
        while count["kills"] < number:
            name = names[count["runs"] % len(names)]
            arguments = ["--recipe", name, *(COMMON + RUNS[name]).split()]
            if name not in references:
                references[name] = self.undisturbed(arguments)
            expected, seconds = references[name]
            self.fresh()
            count["runs"] += 1
            finished = False
            again = True
            while again and count["kills"] < number and not finished:
                again = rng.random() < 0.7
                start = self.start(arguments)
                count["starts"] += 1
                finished = start.wait(rng.uniform(0, seconds))
                if not finished:
                    start.send(signal.SIGKILL)
                    start.wait()
                    count["kills"] += 1
                    count[self.moment(start)] += 1
                elif start.status != 0 or start.complaint():
                    raise Wrong(f"exit status {start.status}: {start.complaint()}")
            if not finished:
                count["starts"] += 1
                self.finish(arguments)
            check_same(self.path, expected)
            self.progress()

    def moment(self, start):
        """A phrase for the moment of a kill."""
        if any(item.name.startswith(locks.SCRATCH) for item in self.path.rglob("*")):
            return "with a file half-written"
        if not start.trains():
            return "before the session"
        epochs = start.printed().count("\nepoch ")
        return "in an epoch" if epochs < 2 else "after the last epoch"

    def faults(self, how, only=lambda number, last: True):
        """Disturb a run at its n-th file operation, for every n.

        Args:
          how: 'kill' kills the process at operation n; 'fail' makes operation n fail; 'full'
            makes operation n and all later ones fail.
          only: function of n and the number of operations that returns whether to test this n.
        """
        expected, _ = self.undisturbed(SMALL)
        good = self.checkpoints()
        self.fresh()
        operations = []
        seen = watch(self.line(SMALL), self.work, self.path,
                     lambda number, operation: operations.append(operation))
        if seen.status != 0:
            raise Wrong(seen.complaint())
        for n, operation in enumerate(operations, 1):
            removes = operation.split()[0] == "remove"  # possible on a full disk
            if not only(n, len(operations)) or how != "kill" and removes:
                continue
            self.fresh()
            self.counts["operations"] += 1

            def decide(number, operation, n=n):
                if how == "kill":
                    return "kill" if number == n else None
                hit = number == n if how == "fail" else number >= n
                return errno.ENOSPC if hit and not operation.startswith("remove") else None

            start = watch(self.line(SMALL), self.work, self.path, decide)
            where = f"{how} at operation {n} of {len(operations)}, {operation}"
            try:
                if how == "fail" and start.status == 0:
                    self.counts["harmless"] += 1  # such as mkdir of a folder that exists
                elif how != "kill":
                    self.check_printed(start, "No space left on device")
                elif start.status != -signal.SIGKILL:
                    raise Wrong(f"exit status {start.status}")
                check_checkpoints(self.path, good)
                self.finish(SMALL)
                check_same(self.path, expected)
            except Wrong as wrong:
                self.counts["wrong"] += 1
                print(f"{where}: {wrong}", flush=True)
            self.progress()

    def checkpoints(self, arguments=tuple(SMALL)):
        """A dictionary from the name of each checkpoint of an undisturbed run to its variables.

        No checkpoint is deleted.
        """
        def keep_all():
            setattr(checkpoints.Checkpoints, "_remove", lambda *_: None)  # noqa: B010

        self.fresh()
        self.start(arguments, before=keep_all).wait()
        return {pathlib.Path(checkpoint).name: variables(checkpoint)
                for kind in KINDS for _, checkpoint in saved(RunFolder(self.path), kind)}

    def full_disk(self, expected, good):
        """Limit the size of files by RLIMIT_FSIZE, so that a large file of the run fails."""
        sizes = [file.stat().st_size for name in ("mean_image.npy", "checkpoints/best-*.data*")
                 for file in self.path.glob(name)]
        for size in sizes:
            self.fresh()
            start = self.start(SMALL, before=lambda size=size: resource.setrlimit(
                resource.RLIMIT_FSIZE, (size - 1, resource.RLIM_INFINITY)))
            start.wait()
            self.check_printed(start, "File too large")
            check_checkpoints(self.path, good)
        self.finish(SMALL)
        check_same(self.path, expected)

    def read_only(self):
        """Start a run in a folder without write permission."""
        self.fresh()
        self.path.mkdir(mode=0o555)
        start = self.start(SMALL, before=give_up_rights)
        start.wait()
        self.check_printed(start, "Permission denied")
        if list(self.path.iterdir()):
            raise Wrong(f"{self.path}: the read-only folder is not empty")

    def signals(self, expected):
        """Send each of signals.STOPPING, and Ctrl-C twice, the second while Python is in C code."""
        def slowly():
            run_steps = loop.Trainer.run_steps
            loop.Trainer.run_steps = lambda trainer, arrays: (
                time.sleep(0.1), run_steps(trainer, arrays))[1]

        self.fresh()
        for number in signals.STOPPING:
            start = self.start(SMALL, before=slowly)
            start.wait(until=start.trains)
            start.send(number)
            if not start.wait(60):
                raise Wrong(f"still running 60 s after signal {number}")
            step = saved(RunFolder(self.path))[-1][0]
            words = (f"cnn_train.py: stopped and saved at step {step}; "
                     "the same command goes on from there\n")
            if start.status != 128 + number or start.complaint() != words:
                raise Wrong(f"signal {number}: exit status {start.status}, standard error "
                            f"{start.complaint()!r}, standard output {start.printed()!r}")

        def never_return():
            (self.work / "saving").touch()
            sum(itertools.repeat(0))  # a loop in C, like an operation of TensorFlow

        def hang_when_asked_to_stop():
            slowly()
            save = loop.Trainer.save
            loop.Trainer.save = lambda trainer: (
                never_return() if trainer.should_stop() else save(trainer))

        start = self.start(SMALL, before=hang_when_asked_to_stop)
        start.wait(until=start.trains)
        start.send(signal.SIGINT)
        start.wait(until=(self.work / "saving").exists)
        start.send(signal.SIGINT)
        if not start.wait(1) or start.status != -signal.SIGINT:  # a shell reports 130
            raise Wrong(f"exit status {start.status} after a second Ctrl-C")
        self.finish(SMALL)
        check_same(self.path, expected)

    def check_printed(self, start, words):
        lines = start.complaint().splitlines()
        if start.status != 1 or len(lines) != 1 or words not in lines[0]:
            raise Wrong(f"exit status {start.status}, printed: {start.complaint()!r}")

    def progress(self):
        print(f"\r\x1b[K{self.summary()}", end="", file=sys.stderr, flush=True)

    def summary(self):
        return ", ".join(f"{number} {what}" for what, number in self.counts.items())


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true",
                        help="run the campaigns of `make test`: a few kills, a full disk, a "
                        "read-only folder, signals")
    parser.add_argument("--kills", type=int, default=0, metavar="N",
                        help="number of starts to kill at random moments (default: 0)")
    parser.add_argument("--faults", choices=("kill", "fail", "full"), nargs="+", default=(),
                        help="disturbances of the n-th file operation, for every n: kill the "
                        "process, fail the operation, or let the disk be full from then on")
    parser.add_argument("--seed", type=int, default=0,
                        help="seed of the random moments (default: 0)")
    return parser.parse_args(arguments)


def main():
    """Run the campaigns that the command line names."""
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as work:
        if options.short:
            campaign = Campaign(pathlib.Path(work) / "short")
            campaign.kills(2, random.Random(options.seed), ["two_layer_fc"])
            print("kills: the bits of an undisturbed run", flush=True)
            good = campaign.checkpoints()
            expected, _ = campaign.undisturbed(SMALL)
            campaign.full_disk(expected, good)
            print("full disk: reported, nothing lost", flush=True)
            campaign.read_only()
            print("read-only folder: reported, nothing written", flush=True)
            campaign.signals(expected)
            print("signals: saved, the bits of an undisturbed run", flush=True)
        if options.kills:
            campaign = Campaign(pathlib.Path(work) / "kills")
            campaign.kills(options.kills, random.Random(options.seed))
            print(f"{campaign.summary()}: every run ended in the bits of an undisturbed one")
        for how in options.faults:
            campaign = Campaign(pathlib.Path(work) / how)
            campaign.faults(how)
            print(f"{how}: {campaign.summary()}", flush=True)
            if campaign.counts["wrong"]:
                sys.exit(1)


if __name__ == "__main__":
    main()
