"""The rivals of benchmarks/throughput.py: several implementations of the same training.

    NETWORKS      every network as a list of layers, for the rivals and for counting
    setting       the recipe of a comparison, and the shapes of its images
    task          the `Task` of a recipe: its settings and its data
    open_trainer  a `loop.Trainer`, ready to train
    count         the numbers of a network's parameters and floating-point operations
    RIVALS        the functions that train
    product       the matrix product that measures the speed of the machine

A rival is a function of a `Task` that returns (steps, parameters): `steps(n)` trains n steps, and
`parameters` is the number of trained parameters. Each rival runs in its own process and may change
global state there. All rivals have the same data, batch size, optimizer, loss, L2 regularization,
dropout, moving averages and augmentation. The learning rate is constant, except in this project's
loop. The initial weights are the defaults of each library, because the time of a step does not
depend on them.
"""

import atexit
import contextlib
import dataclasses
import functools
import itertools
import math
import tempfile
import time
from typing import NamedTuple

import numpy as np

from tf1cifar import console, recipes
from tf1cifar.data import augmentations, base, cifar10, preparation

# A layer is its kind and its numbers:
#   "conv", number of filters, height and width of a filter; the stride is 1
#   "pool", height and width of a window, stride
#   "dense", number of units, whether L2 regularization includes the weights
#   "dropout", share of the numbers that is dropped
# Convolutions and poolings have the padding "SAME".
NETWORKS = {
    "linear": [("dense", 10, False)],
    "two_layer_fc": [("dense", 120, True), ("relu",), ("dense", 10, True)],
    "lrn_cnn": [
        ("conv", 64, 5), ("relu",), ("pool", 2, 2), ("lrn",),
        ("conv", 64, 5), ("relu",), ("lrn",), ("pool", 2, 2),
        ("dense", 1024, False), ("relu",), ("dense", 10, False)],
    "dropout_cnn": [
        ("conv", 32, 3), ("relu",), ("conv", 64, 3), ("relu",), ("pool", 2, 2), ("dropout", 0.25),
        ("conv", 128, 3), ("relu",), ("pool", 2, 2),
        ("conv", 128, 2), ("relu",), ("pool", 2, 2), ("dropout", 0.25),
        ("dense", 1500, False), ("relu",), ("dropout", 0.5), ("dense", 10, False)],
    "batchnorm_cnn": [
        ("conv", 64, 5), ("leaky_relu",), ("pool", 2, 2),
        ("conv", 128, 5), ("leaky_relu",), ("pool", 2, 2),
        ("dense", 1024, False), ("batch_norm",), ("leaky_relu",), ("dropout", 0.1),
        ("dense", 10, False), ("batch_norm",), ("leaky_relu",)],
    "tutorial_cnn": [
        ("conv", 64, 5), ("relu",), ("pool", 3, 2), ("lrn",),
        ("conv", 64, 5), ("relu",), ("lrn",), ("pool", 3, 2),
        ("dense", 384, True), ("relu",), ("dense", 192, True), ("relu",), ("dense", 10, False)],
}
RADIUS, BIAS, ALPHA, BETA = 4, 1.0, 0.001 / 9, 0.75  # settings of every LRN
LEAK = 0.2  # slope of the leaky ReLU for negative numbers

# Settings of the comparison that differ from the recipe's. The sources train `lrn_cnn` in batches
# of 250 without augmentation, and `hinge` with the one-against-all loss. Without augmentation a
# session.run can have several steps; 25 steps take a second or two.
AS_PUBLISHED = {
    "lrn_cnn": {"augment": (), "batch_size": 250, "learning_rate": 0.001, "steps_per_run": 25},
    "hinge": {"loss": "hinge"},
}


class Task(NamedTuple):
    """The training task of all rivals.

    Attributes:
      name: name of the recipe.
      recipe: the `recipes.Recipe` with the changes of AS_PUBLISHED.
      dataset: a `base.Dataset`, whose number of training images is a multiple of the batch size.
      mean: float32 [height, width, channels], the mean training image.
    """
    name: str
    recipe: recipes.Recipe
    dataset: base.Dataset
    mean: np.ndarray

    def prepare(self, images):
        """Prepare uint8 images as float32 input of the network."""
        return preparation.prepare(images, self.recipe.preparation, self.mean)


def setting(name):
    """The recipe of a comparison, and the shapes of its images.

    Args:
      name: name of the recipe.

    Returns:
      (recipe, image shape, input shape): the recipe with the changes of AS_PUBLISHED, and the
      shapes (height, width, channels) of an image and of the network's input.
    """
    recipe = dataclasses.replace(recipes.RECIPES[name], held_out=0.0, **AS_PUBLISHED.get(name, {}))
    shape = (28, 28, 1) if recipe.dataset == "mnist" else (32, 32, 3)
    return recipe, shape, preparation.prepared_shape(shape, recipe.preparation)


def task(name, data_dir=None):
    """The `Task` of the recipe `name`, on CIFAR-10 in `data_dir` or on random pixels."""
    recipe, shape, _ = setting(name)
    if data_dir and recipe.dataset == "cifar10":
        dataset = cifar10.load(cifar10.find(data_dir))
    else:
        rng = np.random.default_rng(0)
        train = base.Split(rng.integers(0, 256, (50_000, *shape), np.uint8),
                                  rng.integers(0, 10, 50_000))
        dataset = base.Dataset(recipe.dataset, "random pixels", tuple("0123456789"),
                                      train, train)
    size = len(dataset.train.labels) // recipe.batch_size * recipe.batch_size
    train = base.Split(*(part[:size] for part in dataset.train))
    return Task(name, recipe, dataset._replace(train=train), preparation.mean_image(train.images))


def count(network, shape):
    """Count the parameters and the floating-point operations of a network.

    Only the operations of convolutions and dense layers count. The outputs take a multiplication
    and an addition for each use of a weight. The gradient of the weights takes as many operations,
    and so does the gradient of the inputs, which the first layer does not need.

    Args:
      network: name of the network, a key of NETWORKS.
      shape: (height, width, channels) of the network's input.

    Returns:
      (parameters, operations): the number of trained parameters, and the number of operations of
      a training step for one image.
    """
    numbers, products = 0, []
    for kind, *settings in NETWORKS[network]:
        if kind == "conv":
            filters, size = settings
            weights = size * size * shape[2] * filters
            products.append(shape[0] * shape[1] * weights)
            numbers, shape = numbers + weights + filters, (*shape[:2], filters)
        elif kind == "pool":
            stride = settings[1]
            shape = (-(-shape[0] // stride), -(-shape[1] // stride), shape[2])
        elif kind == "dense":
            units = settings[0]
            products.append(math.prod(shape) * units)
            numbers, shape = numbers + products[-1] + units, (units,)
        elif kind == "batch_norm":
            numbers += 2 * shape[0]
    return numbers, 2 * (3 * sum(products) - products[0])


# ---------------------------------------------------------------------------------------
# This project


def ours(task, precision):
    """This project: the training steps of `cnn_train.py`, with summaries and progress bar.

    A thread prepares the batches from uint8 images during the steps. If the recipe trains several
    steps in one session.run, all images are prepared once, before the first step.
    """
    recipe = dataclasses.replace(task.recipe, precision=precision)
    trainer = open_trainer(task.name, recipe, task.dataset, task.dataset.train)
    from tf1cifar import graph

    def steps(number):
        end = trainer.step + number
        while trainer.step < end:
            epoch_steps = trainer.feed.steps_per_epoch
            trainer.train_until(min(end, (trainer.step // epoch_steps + 1) * epoch_steps))

    return steps, graph.parameters()


def open_trainer(name, recipe, dataset, training, kind=None):
    """A `loop.Trainer` like that of `loop.train`, with a temporary run folder.

    The folder is deleted at the end of this process. The graph of the trainer stays the default
    graph.

    Args:
      name: name of the recipe.
      recipe: the `recipes.Recipe` to train.
      dataset: a `base.Dataset`.
      training: the `base.Split` of the training images.
      kind: a subclass of `loop.Trainer`; by default `loop.Trainer` itself.
    """
    with console.quiet_tensorflow() as tf:
        from tf1cifar import data, graph
        from tf1cifar.data.feed import Feed
        from tf1cifar.training import loop, session
        from tf1cifar.training.run_folder import RunFolder
    until_the_end = contextlib.ExitStack()
    atexit.register(until_the_end.close)
    folder = RunFolder(until_the_end.enter_context(tempfile.TemporaryDirectory()))
    folder.write_description(name, recipe, data.describe(dataset, recipe), {})
    feed = Feed(recipe, training)
    until_the_end.enter_context(tf.Graph().as_default())
    model = graph.build(recipe, feed.image_shape, len(dataset.class_names), len(training.labels))
    running = tf.Session(config=session.session_config("cpu"))
    return (kind or loop.Trainer)(recipe, folder, model, running, feed)


# ---------------------------------------------------------------------------------------
# The tutorials: float32 arrays prepared once, TensorFlow's own layers, one step per session.run


def _in_order(images, labels, size):
    while True:
        for start in range(0, len(labels), size):
            yield images[start:start + size], labels[start:start + size]


def _drawn(images, labels, size):
    while True:
        chosen = np.random.choice(len(labels), size)
        yield images[chosen], labels[chosen]


def _permuted(images, labels, size):
    while True:
        order = np.random.permutation(len(labels))
        for start in range(0, len(labels), size):
            chosen = order[start:start + size]
            yield images[chosen], labels[chosen]


def _zipped(images, labels, size):
    examples = list(zip(images, labels))
    while True:
        np.random.shuffle(order := np.arange(len(examples)))
        for start in range(0, len(examples), size):
            batch = [examples[number] for number in order[start:start + size]]
            yield tuple(np.array(part) for part in zip(*batch))


TUTORIAL_BATCHES = {"hinge": _in_order, "softmax": _drawn, "two_layer_fc": _zipped,
                    "lrn_cnn": _in_order, "dropout_cnn": _in_order, "batchnorm_cnn": _permuted}
ONE_HOT = ("hinge", "lrn_cnn", "dropout_cnn")


def tutorial(task):
    """The loop of the source's listing, with one step per session.run."""
    with console.quiet_tensorflow() as tf:
        tf.disable_v2_behavior()
    recipe, (images, labels) = task.recipe, task.dataset.train
    if task.name in ONE_HOT:
        labels = np.eye(10, dtype=np.float32)[labels]
    if recipe.augment:
        x, y = _queue(tf, task)
        feeds = itertools.repeat(None)
    else:
        x = tf.placeholder(tf.float32, [None, *setting(task.name)[2]])
        y = tf.placeholder(labels.dtype, [None, *labels.shape[1:]])
        batches = TUTORIAL_BATCHES[task.name](task.prepare(images), labels, recipe.batch_size)
        feeds = ({x: batch, y: batch_labels} for batch, batch_labels in batches)
    logits, decayed = _native(tf, x, NETWORKS[recipe.network])
    if recipe.loss == "hinge":
        loss = tf.losses.hinge_loss(y, logits)
    elif task.name in ONE_HOT:
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2(labels=y, logits=logits))
    else:
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    if recipe.l2:
        loss += recipe.l2 * tf.add_n([tf.nn.l2_loss(weights) for weights in decayed])
    right = tf.argmax(y, 1) if task.name in ONE_HOT else y
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), right), tf.float32))
    optimizer = (tf.train.AdamOptimizer(recipe.learning_rate, recipe.beta1)
                 if recipe.optimizer == "adam"
                 else tf.train.GradientDescentOptimizer(recipe.learning_rate))
    train_op = optimizer.minimize(loss)
    if recipe.moving_average:
        averages = tf.train.ExponentialMovingAverage(recipe.moving_average)
        with tf.control_dependencies([train_op]):
            train_op = averages.apply(tf.trainable_variables())
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    tf.train.start_queue_runners(session)

    def steps(number):
        for feed in itertools.islice(feeds, number):
            session.run([train_op, loss, accuracy], feed_dict=feed)

    return steps, sum(v.shape.num_elements() for v in tf.trainable_variables())


def _queue(tf, task):
    """A batch of images and labels. Sixteen threads of the graph read and distort each image."""
    image, label = tf.train.slice_input_producer([tf.constant(x) for x in task.dataset.train])
    x = tf.random_crop(tf.cast(image, tf.float32), [24, 24, 3])
    x = tf.image.random_flip_left_right(x)
    x = tf.image.random_brightness(x, augmentations.BRIGHTNESS)
    x = tf.image.per_image_standardization(tf.image.random_contrast(x, *augmentations.CONTRAST))
    size = task.recipe.batch_size
    return tf.train.shuffle_batch([x, label], size, 3 * size, size, num_threads=16)


def _native(tf, x, layers):
    """(logits, list of the weights that L2 regularization includes)."""
    decayed = []
    for number, (kind, *settings) in enumerate(layers):
        if kind == "conv":
            filters, size = settings
            weights = tf.get_variable(f"w{number}", [size, size, int(x.shape[3]), filters])
            biases = tf.get_variable(f"b{number}", [filters], initializer=tf.zeros_initializer())
            x = tf.nn.bias_add(tf.nn.conv2d(x, weights, [1, 1, 1, 1], "SAME"), biases)
        elif kind == "dense":
            units, counted = settings
            x = tf.reshape(x, [-1, math.prod(x.shape.as_list()[1:])])
            weights = tf.get_variable(f"w{number}", [int(x.shape[1]), units])
            biases = tf.get_variable(f"b{number}", [units], initializer=tf.zeros_initializer())
            x = tf.matmul(x, weights) + biases
            decayed += [weights] * counted
        elif kind == "pool":
            size, stride = settings
            x = tf.nn.max_pool(x, [1, size, size, 1], [1, stride, stride, 1], "SAME")
        elif kind == "batch_norm":
            units = int(x.shape[1])
            beta = tf.get_variable(f"beta{number}", [units], initializer=tf.zeros_initializer())
            gamma = tf.get_variable(f"gamma{number}", [units], initializer=tf.ones_initializer())
            x = tf.nn.batch_normalization(x, *tf.nn.moments(x, [0]), beta, gamma, 0.001)
        else:
            x = {"relu": tf.nn.relu,
                 "leaky_relu": functools.partial(tf.nn.leaky_relu, alpha=LEAK),
                 "dropout": lambda x, share=0: tf.nn.dropout(x, rate=share),
                 "lrn": lambda x: tf.nn.lrn(x, RADIUS, BIAS, ALPHA, BETA)}[kind](x, *settings)
    return x, decayed


# ---------------------------------------------------------------------------------------
# Keras and PyTorch


def _distorted(task):
    """Yield augmented and prepared batches, made by this project's NumPy code."""
    rng = np.random.default_rng(0)
    _, shape, prepared = setting(task.name)
    margin = (shape[0] - prepared[0]) // 2
    for images, labels in _permuted(*task.dataset.train, task.recipe.batch_size):
        yield task.prepare(augmentations.augment(images, task.recipe.augment, rng, margin)), labels


def keras_fit(task, precision):
    """Keras: `Model.fit` on shuffled tensors, without XLA, which makes `lrn_cnn` slower on a CPU.

    Augmented batches come from a generator, and Keras prefetches them.
    """
    with console.quiet_tensorflow():
        import keras
        import tensorflow as tf
    from keras import layers as kl
    if precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")

    class LRN(kl.Layer):
        def call(self, x):  # TensorFlow's CPU kernel does not support bfloat16
            y = tf.nn.lrn(tf.cast(x, tf.float32), RADIUS, BIAS, ALPHA, BETA)
            return tf.cast(y, x.dtype)

    recipe, (images, labels) = task.recipe, task.dataset.train
    l2 = keras.regularizers.L2(recipe.l2 / 2) if recipe.l2 else None
    make = {
        "conv": lambda filters, size: [kl.Conv2D(filters, size, padding="same")],
        "pool": lambda size, stride: [kl.MaxPooling2D(size, stride, "same")],
        "dense": lambda units, counted: [
            kl.Flatten(), kl.Dense(units, kernel_regularizer=l2 if counted else None)],
        "relu": lambda: [kl.ReLU()], "leaky_relu": lambda: [kl.LeakyReLU(LEAK)],
        "dropout": lambda share: [kl.Dropout(share)],
        "batch_norm": lambda: [kl.BatchNormalization()], "lrn": lambda: [LRN()]}
    model = keras.Sequential([keras.Input(setting(task.name)[2])] + [
        layer for kind, *settings in NETWORKS[recipe.network] for layer in make[kind](*settings)])
    model.add(kl.Activation("linear", dtype="float32"))

    def hinge(labels, logits):
        signs = 2 * tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), 10) - 1
        return tf.reduce_mean(tf.nn.relu(1 - signs * logits), 1)

    average = {"use_ema": True, "ema_momentum": recipe.moving_average}
    average = average if recipe.moving_average else {}
    model.compile(
        keras.optimizers.Adam(recipe.learning_rate, recipe.beta1, **average)
        if recipe.optimizer == "adam" else keras.optimizers.SGD(recipe.learning_rate, **average),
        hinge if recipe.loss == "hinge" else keras.losses.SparseCategoricalCrossentropy(True),
        metrics=["accuracy"], jit_compile=False)
    if recipe.augment:
        data = {"x": _distorted(task)}
    else:
        data = {"x": tf.constant(task.prepare(images)), "y": tf.constant(labels),
                "batch_size": recipe.batch_size}

    def steps(number):
        whole, rest = divmod(number, len(labels) // recipe.batch_size)
        if whole:
            model.fit(**data, epochs=whole, steps_per_epoch=len(labels) // recipe.batch_size,
                      verbose=0)
        if rest:
            model.fit(**data, steps_per_epoch=rest, verbose=0)

    return steps, sum(math.prod(v.shape) for v in model.trainable_variables)


def torch_loop(task, style):
    """PyTorch: a training loop on one thread or on all threads, whichever is faster.

    Args:
      task: a `Task`.
      style: 'plain' for float32 with `nn.LocalResponseNorm`; 'float32' for tensors in the
        channels-last format, an LRN by a matrix product like this project's, pooling before ReLU,
        and a fused optimizer; 'bfloat16' for the same with autocast.
    """
    import torch
    from torch import nn
    from torch.nn import functional
    tuned = style != "plain"
    recipe, (images, labels) = task.recipe, task.dataset.train
    order = torch.channels_last if tuned else torch.contiguous_format

    class Normalize(torch.autograd.Function):  # as in tf1cifar/networks/gradients.py
        @staticmethod
        def forward(context, x):
            x = x.permute(0, 2, 3, 1)
            offset = torch.arange(x.shape[3])
            band = ((offset[:, None] - offset).abs() <= RADIUS).to(x.dtype)
            base = BIAS + (x * x @ (ALPHA * band)).float()
            power = torch.rsqrt(base * torch.sqrt(base))
            scale, slope = power.to(x.dtype), (power / base).to(x.dtype)
            context.save_for_backward(x, scale, slope, 2 * ALPHA * BETA * band)
            return (x * scale).permute(0, 3, 1, 2)

        @staticmethod
        def backward(context, dy):
            x, scale, slope, band = context.saved_tensors
            dy = dy.permute(0, 2, 3, 1)
            return (dy * scale - x * ((dy * x * slope) @ band)).permute(0, 3, 1, 2)

    class LRN(nn.Module):
        def forward(self, x):
            return Normalize.apply(x)

    make = {
        "conv": lambda filters, size: [nn.LazyConv2d(filters, size, padding="same")],
        # ceil_mode keeps the incomplete windows at the edge, as TensorFlow's "SAME" does
        "pool": lambda size, stride: [nn.MaxPool2d(size, stride, ceil_mode=True)],
        "dense": lambda units, counted: [nn.Flatten(), nn.LazyLinear(units)],
        "relu": lambda: [nn.ReLU()], "leaky_relu": lambda: [nn.LeakyReLU(LEAK)],
        "dropout": lambda share: [nn.Dropout(share)],
        "batch_norm": lambda: [nn.LazyBatchNorm1d(eps=0.001)],
        "lrn": lambda: [LRN() if tuned else
                        nn.LocalResponseNorm(2 * RADIUS + 1, ALPHA * (2 * RADIUS + 1), BETA, BIAS)]}
    network = list(NETWORKS[recipe.network])
    for first, second in itertools.pairwise(range(len(network)) if tuned else ()):
        if network[first][0] in ("relu", "leaky_relu") and network[second][0] == "pool":
            # The result is the same, and the activation computes a quarter of the numbers.
            network[first], network[second] = network[second], network[first]
    layers = [(layer, kind == "dense" and settings[1]) for kind, *settings in network
              for layer in make[kind](*settings)]
    model = nn.Sequential(*(layer for layer, _ in layers))
    # A first call creates the weights of the lazy layers.
    model(torch.from_numpy(task.prepare(images[:2])).permute(0, 3, 1, 2))
    model.to(memory_format=order)
    decayed = [layer.weight for layer, counted in layers
               if counted and isinstance(layer, nn.Linear)]
    others = [p for p in model.parameters() if all(p is not weights for weights in decayed)]
    groups = [{"params": others}, {"params": decayed, "weight_decay": recipe.l2}]
    groups = [group for group in groups if group["params"]]
    optimizer = (torch.optim.Adam(groups, recipe.learning_rate, (recipe.beta1, 0.999), fused=tuned)
                 if recipe.optimizer == "adam"
                 else torch.optim.SGD(groups, recipe.learning_rate, fused=tuned))
    averages = recipe.moving_average and torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.moving_average))

    def loss_of(logits, labels):
        if recipe.loss == "hinge":
            return (1 - (2 * functional.one_hot(labels, 10) - 1) * logits).relu().mean()
        return functional.cross_entropy(logits, labels)

    def batches():
        if recipe.augment:
            for x, y in _distorted(task):
                x = torch.from_numpy(x).permute(0, 3, 1, 2)
                yield x.contiguous(memory_format=order), torch.from_numpy(y)
        x = torch.from_numpy(task.prepare(images)).permute(0, 3, 1, 2)
        x, y = x.contiguous(memory_format=order), torch.from_numpy(labels)
        while True:
            for chosen in torch.randperm(len(y)).split(recipe.batch_size):
                yield x[chosen].contiguous(memory_format=order), y[chosen]

    stream = batches()

    def steps(number):
        for _ in range(number):
            x, y = next(stream)
            with torch.autocast("cpu", torch.bfloat16, enabled=style == "bfloat16"):
                logits = model(x)
            loss = loss_of(logits.float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if averages:
                averages.update_parameters(model)
            loss.item()

    def speed(threads):
        torch.set_num_threads(threads)
        steps(2)
        start, done = time.perf_counter(), 0
        while time.perf_counter() < start + 3:
            steps(1)
            done += 1
        return done / (time.perf_counter() - start)

    torch.set_num_threads(max((1, torch.get_num_threads()), key=speed))
    return steps, sum(p.numel() for p in model.parameters())


# ---------------------------------------------------------------------------------------
# The machine

SIDE = 4096


def product(precision):
    """The product of two SIDE x SIDE matrices through TensorFlow, a measure of the machine's speed.

    Args:
      precision: 'float32' or 'bfloat16', the dtype of the matrices.

    Returns:
      A function; steps(n) computes the product n times.
    """
    with console.quiet_tensorflow() as tf:
        tf.disable_v2_behavior()
    left, right = (tf.Variable(tf.cast(tf.random_normal([SIDE, SIDE]), precision))
                   for _ in range(2))
    operation = tf.matmul(left, right).op
    session = tf.Session()
    session.run(tf.global_variables_initializer())

    def steps(number):
        for _ in range(number):
            session.run(operation)

    return steps


# Name of a rival -> (function of a `Task`, precision of the matrix product to compare it with).
# "ours" is this project, "tutorial" is the loop of the source's listing, "torch" is PyTorch.
RIVALS = {
    "ours float32": (functools.partial(ours, precision="float32"), "float32"),
    "ours bfloat16": (functools.partial(ours, precision="bfloat16"), "bfloat16"),
    "tutorial": (tutorial, "float32"),
    "keras float32": (functools.partial(keras_fit, precision="float32"), "float32"),
    "keras bfloat16": (functools.partial(keras_fit, precision="bfloat16"), "bfloat16"),
    "torch plain": (functools.partial(torch_loop, style="plain"), "float32"),
    "torch float32": (functools.partial(torch_loop, style="float32"), "float32"),
    "torch bfloat16": (functools.partial(torch_loop, style="bfloat16"), "bfloat16"),
}
