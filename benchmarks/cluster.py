"""Measure what it costs to train with several tasks: the steps of a recipe, and a sum alone.

    python benchmarks/cluster.py --json benchmarks/figures/cluster.json
    python benchmarks/cluster.py --recipes lrn_cnn --images 32 128 --tasks 1 2

Every task is a process with one thread on one core of this machine. With more tasks than cores they
take turns, so compare core-seconds, the processor time of all tasks together, and not the time that
passes. Bytes are those that the loopback interface counts, headers and acknowledgements included.
The images are random numbers.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from tf1cifar import graph, machine, parts, recipes
from tf1cifar.data.base import Split
from tf1cifar.data.feed import Feed
from tf1cifar.training import alone, cluster, hosts, resume
from tf1cifar.training.session import session_config

CHANNELS = {"mnist": (28, 28, 1)}  # shapes of images; all others are those of CIFAR-10
WARM_UP = 3  # steps before the measurement


def parse_arguments(arguments=None):
    """The namespace of a command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["lrn_cnn"], choices=recipes.RECIPES,
                        metavar="NAME", help="recipes to train (default: lrn_cnn)")
    parser.add_argument("--images", nargs="+", type=int, default=[32, 64, 128, 256], metavar="N",
                        help="numbers of images of a task in a step (default: 32 64 128 256)")
    parser.add_argument("--tasks", nargs="+", type=int, default=[1, 2, 3, 4], metavar="N",
                        help="numbers of tasks (default: 1 2 3 4)")
    parser.add_argument("--precisions", nargs="+", default=["float32"], metavar="P",
                        choices=("float32", "bfloat16"), help="precisions (default: float32)")
    parser.add_argument("--as-task", action="store_true", help="configure the session of one "
                        "process as those of several tasks are")
    parser.add_argument("--steps", type=int, default=20, help="steps a round (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--json", metavar="FILE", help="file for the figures")
    return parser.parse_args(arguments)


def in_tasks(count, work, as_task=False):
    """The value of work(tasks) in the first of `count` processes on one core each.

    Args:
      as_task: whether one process is configured as one of several tasks.
    """
    addresses = tuple(f"127.0.0.1:{port}" for port in hosts.free_ports(count))
    cores = sorted(os.sched_getaffinity(0))
    read, write = os.pipe()
    children = []
    for index in range(count):
        child = os.fork()
        if not child:
            try:
                os.sched_setaffinity(0, {cores[index % len(cores)]})
                tasks = AsTask() if as_task else alone.Alone()
                if count > 1:
                    tasks = cluster.Cluster(hosts.Hosts(addresses, index, 120, 120), "cpu")
                    tasks.peers.meet(print)
                value = work(tasks)
                if index == 0:
                    os.write(write, json.dumps(value).encode())
                if count > 1:
                    tasks.leave()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(write)
    with os.fdopen(read) as source:
        value = source.read()
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("cluster.py: a task failed")
    return json.loads(value)


class AsTask(alone.Alone):
    """One process whose session leaves out the fusions that those of several tasks leave out."""

    def session(self, device):
        config = session_config(device)
        config.graph_options.rewrite_options.remapping = RewriterConfig.OFF
        return tf.Session(config=config)


def measured(tasks, step, steps):
    """Run `step` many times in all tasks: core_seconds, seconds and bytes of one step."""
    for _ in range(WARM_UP):
        step()
    tasks.of_chief(None)
    sent, spent, start = loopback_bytes(), time.process_time(), time.monotonic()
    for _ in range(steps):
        step()
    spent, passed = time.process_time() - spent, time.monotonic() - start
    sent = loopback_bytes() - sent
    spent = tasks.exchange(spent) if tasks.count > 1 else [spent]
    return {"core_seconds": sum(spent) / steps, "seconds": passed / steps, "bytes": sent / steps}


def loopback_bytes():
    """Bytes that the loopback interface has carried."""
    with open("/proc/net/dev") as source:
        (line,) = [line for line in source if line.strip().startswith("lo:")]
    return int(line.split(":")[1].split()[0])


def training(recipe, images, steps):
    """Function of tasks: the cost of training steps with `images` images a task."""
    def work(tasks):
        whole = dataclasses.replace(resume.resolve_lrn(recipe), steps_per_run=1, steps=10 ** 6,
                                    batch_size=images * tasks.count)
        rng, shape = np.random.default_rng(0), CHANNELS.get(recipe.dataset, (32, 32, 3))
        size = whole.batch_size * 4
        feed = Feed(whole, Split(rng.integers(0, 256, (size, *shape), np.uint8),
                                 rng.integers(0, 10, size)), part=tasks.part)
        with tf.Graph().as_default():
            model = graph.build(whole, feed.image_shape, 10, size)
            with tasks.session("cpu") as session:
                session.run(tf.global_variables_initializer())
                model = tasks.start(session, model)
                runs = feed.runs(0, 10 ** 6)

                def step():
                    _, arrays = next(runs)
                    session.run(model.step_fetches, dict(zip(model.step_inputs, arrays)))

                return {**measured(tasks, step, steps), "parameters": graph.parameters()}
    return work


def summing(numbers, dtype, steps):
    """Function of tasks: the cost of one sum of `numbers` numbers, which are float32 before it."""
    def work(tasks):
        with tf.Graph().as_default():
            values = tf.get_variable("values", [numbers], initializer=tf.zeros_initializer())
            total = tf.raw_ops.CollectiveReduceV2(
                input=tf.cast(values, dtype), group_size=tasks.count, group_key=parts.GROUP,
                instance_key=parts.FIRST_KEY, ordering_token=[], merge_op="Add", final_op="Id",
                timeout_seconds=60.0)
            result = values.assign(tf.cast(total, tf.float32)).op
            with tasks.session("cpu") as session:
                session.run(tf.global_variables_initializer())
                return measured(tasks, session.make_callable(result), steps)
    return work


def median(results):
    """The median of each figure."""
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def main():
    """Measure in turns, and print a line for every case."""
    options = parse_arguments()
    cases, figures = [], {"machine": machine.describe(), "tensorflow": tf.__version__,
                          "training": [], "sums": []}
    for name in options.recipes:
        for precision in options.precisions:
            recipe = dataclasses.replace(recipes.RECIPES[name], precision=precision)
            for images in options.images:
                for tasks in options.tasks:
                    cases.append(("training", dict(recipe=name, precision=precision, images=images,
                                                   tasks=tasks),
                                  tasks, training(recipe, images, options.steps)))
    for dtype in ("float32", "bfloat16"):
        for tasks in options.tasks:
            if tasks > 1:
                cases.append(("sums", dict(dtype=dtype, numbers=10 ** 6, tasks=tasks), tasks,
                              summing(10 ** 6, tf.as_dtype(dtype), options.steps)))
    results = [[] for _ in cases]
    for _ in range(options.rounds):
        for result, (_, _, tasks, work) in zip(results, cases):
            result.append(in_tasks(tasks, work, options.as_task))
    one = {}
    for result, (kind, case, tasks, _) in zip(results, cases):
        row = {**case, **median(result)}
        figures[kind].append(row)
        line = ", ".join(f"{name} {value}" for name, value in case.items())
        line += (f": {1000 * row['core_seconds'] / tasks:.1f} core-ms a task, "
                 f"{row['bytes'] / 1e6 / tasks:.2f} MB a task")
        if kind == "training":
            key = (case["recipe"], case["precision"], case["images"])
            if tasks == 1:
                one[key] = row["core_seconds"]
            elif key in one:
                line += f", efficiency {one[key] * tasks / row['core_seconds']:.2f}"
        print(line)
    if options.json:
        with open(options.json, "w") as out:
            json.dump(figures, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
