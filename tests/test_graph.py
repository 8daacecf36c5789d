"""The mathematics of the graph against NumPy that shares no code with it."""

import dataclasses
import inspect

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import cnn_graph
import networks
import recipes
from networks import layers

RECIPE = recipes.RECIPES["lrn_cnn"]


def run(tensors, feed=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensors, feed)


def numpy_lrn(x, radius, bias, alpha, beta):
    """Local response normalization by its definition, channel by channel, in float64."""
    y = np.empty_like(x)
    for channel in range(x.shape[-1]):
        near = x[..., max(0, channel - radius):channel + radius + 1]
        y[..., channel] = x[..., channel] / (bias + alpha * (near ** 2).sum(-1)) ** beta
    return y


@pytest.mark.parametrize("bias, alpha, beta, channels",
                         [(1.0, 0.001 / 9, 0.75, 64), (2.0, 0.3, 0.75, 5), (1.0, 0.5, 0.5, 12)])
@pytest.mark.parametrize("way", ["product", "native"])
def test_lrn_and_its_gradient(bias, alpha, beta, channels, way):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 4, 2, channels)) * 4
    toward = rng.normal(size=values.shape)
    with tf.Graph().as_default():
        x = tf.constant(values, tf.float32)
        y = layers.lrn(x, way, 4, bias, alpha, beta)
        native = tf.nn.lrn(x, 4, bias, alpha, beta)
        dy = tf.constant(toward, tf.float32)
        got, gradient, native_gradient = run(
            [y, tf.gradients(y, x, dy)[0], tf.gradients(native, x, dy)[0]])
    np.testing.assert_allclose(got, numpy_lrn(values, 4, bias, alpha, beta), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, native_gradient, rtol=1e-5, atol=1e-5)
    # and the gradient against differences of the definition, in float64
    for index in [(0, 0, 0, 0), (1, 2, 1, channels // 2), (2, 3, 1, channels - 1)]:
        up, down = values.copy(), values.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        slope = ((numpy_lrn(up, 4, bias, alpha, beta) - numpy_lrn(down, 4, bias, alpha, beta))
                 * toward).sum() / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("way", ["product", "native"])
def test_lrn_in_bfloat16(way):
    """Its sums are bfloat16's, what it divides by is not: a small alpha must not be lost."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default():
        x = tf.cast(tf.constant(rng.normal(size=(2, 3, 3, 64)) * 9, tf.float32), tf.bfloat16)
        dy = tf.cast(tf.constant(rng.normal(size=(2, 3, 3, 64)), tf.float32), tf.bfloat16)
        y = layers.lrn(x, way)
        dx = tf.gradients(y, x, dy)[0]
        assert (y.dtype, dx.dtype) == (tf.bfloat16, tf.bfloat16)
        wide = tf.cast(x, tf.float32)
        exact = tf.gradients(tf.nn.lrn(wide, 4, 1.0, 0.001 / 9, 0.75), wide,
                             tf.cast(dy, tf.float32))[0]
        wide, y, dx, exact = run([wide, *(tf.cast(t, tf.float32) for t in (y, dx)), exact])
    expected = numpy_lrn(wide.astype(np.float64), 4, 1.0, 0.001 / 9, 0.75)
    np.testing.assert_allclose(y, expected, rtol=2 ** -7)  # the factor and y are rounded
    np.testing.assert_allclose(dx, exact, rtol=0.02, atol=0.02)
    # without the sums there would be no normalization at all: the mean shrinks as it should
    assert abs(y).sum() / abs(wide).sum() == pytest.approx(
        abs(expected).sum() / abs(wide).sum(), abs=5e-4)
    assert abs(expected).sum() < 0.95 * abs(wide).sum()


def test_lrn_refuses_a_base_that_could_be_zero():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="bias 0"):
        layers.lrn(tf.zeros([1, 2, 2, 3]), bias=0.0)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="way 'natvie', expected 'auto"):
        layers.lrn(tf.zeros([1, 2, 2, 3]), "natvie")


@pytest.mark.parametrize("size", [5, 3, 2])
def test_conv2d_and_its_gradients_against_numpy(size):
    rng = np.random.default_rng(1)
    images, dy_fed = rng.normal(size=(2, 7, 6, 3)), rng.normal(size=(2, 7, 6, 4))
    dy = dy_fed.copy()
    weights, biases = rng.normal(size=(size, size, 3, 4)), rng.normal(size=4)
    before = (size - 1) // 2
    around = ((0, 0), *((before, size - 1 - before),) * 2, (0, 0))
    padded = np.pad(images, around)
    expected, of_weights, of_padded = np.zeros((2, 7, 6, 4)), 0 * weights, 0 * padded
    for row in range(7):
        for column in range(6):
            place = np.s_[:, row:row + size, column:column + size]
            y = np.einsum("bhwc,hwcf->bf", padded[place], weights) + biases
            expected[:, row, column] = np.maximum(y, 0)
            dy[:, row, column] *= y > 0
            of_weights += np.einsum("bhwc,bf->hwcf", padded[place], dy[:, row, column])
            of_padded[place] += np.einsum("bf,hwcf->bhwc", dy[:, row, column], weights)
    with tf.Graph().as_default():
        x = tf.constant(images, tf.float32)
        y = layers.conv2d(x, 4, size, tf.constant_initializer(weights),
                          tf.constant_initializer(biases), layers.relu)
        got = run([y, *tf.gradients(y, [x, *tf.trainable_variables()],
                                    tf.constant(dy_fed, tf.float32))])
    of_images = of_padded[:, before:before + 7, before:before + 6]
    for value, right in zip(got, (expected, of_images, of_weights, dy.sum((0, 1, 2)))):
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-4)


def test_the_gradients_of_a_convolution_are_computed_in_turn():
    with tf.Graph().as_default() as graph:
        build()
        kinds = ("Conv2DBackpropFilter", "Conv2DBackpropInput")
        of_weights, of_images = ([op for op in graph.get_operations() if op.type == kind]
                                 for kind in kinds)
        (turn,) = [op for op in of_images if "conv2/" in op.name]
        assert [op.name for op in turn.control_inputs] == [
            op.name for op in of_weights if "conv2/" in op.name]


@pytest.mark.parametrize("pool, shape", [(None, [1, 4, 6, 2]), ((2, 2), [1, 2, 3, 2])])
def test_conv2d_with_another_activation(pool, shape):
    with tf.Graph().as_default():
        x = tf.constant(np.random.default_rng(5).normal(size=(1, 4, 6, 3)), tf.float32)
        y = layers.conv2d(x, 2, 3, tf.initializers.he_normal(seed=1), tf.ones_initializer(),
                          tf.tanh, pool)
        assert y.shape == shape
        plain = tf.nn.conv2d(x, tf.trainable_variables()[0], 1, "SAME") + 1
        if pool:
            plain = tf.nn.max_pool2d(plain, 2, 2, "SAME")
        values = [*tf.gradients(y, tf.trainable_variables()), y]
        right = [*tf.gradients(tf.tanh(plain), tf.trainable_variables()[0]),
                 tf.reduce_sum(1 - tf.tanh(plain) ** 2, [0, 1, 2]), tf.tanh(plain)]
        for value, expected in zip(*run([values, right])):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", [None, (2, 2)])
def test_the_gradient_of_biases_in_bfloat16_is_a_sum_of_many_numbers(pool):
    """TensorFlow's own adds them up in bfloat16, and is wrong by a tenth."""
    rng = np.random.default_rng(4)
    with tf.Graph().as_default():
        x = tf.constant(rng.normal(size=(64, 24, 24, 3)), tf.bfloat16)
        y = layers.conv2d(x, 8, 3, tf.initializers.he_normal(seed=1), tf.zeros_initializer(),
                          layers.relu, pool)
        dy = tf.constant(rng.normal(size=y.shape), tf.bfloat16)
        (biases,) = tf.trainable_variables("biases")
        y, dy, gradient = run([tf.cast(value, tf.float32)
                               for value in (y, dy, tf.gradients(y, biases, dy)[0])])
    expected = (dy.astype(np.float64) * (y > 0)).sum((0, 1, 2))
    np.testing.assert_allclose(gradient, expected, rtol=2 ** -8)  # eight bits of it


def test_conv2d_refuses_what_is_no_image_batch():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="conv2d takes"):
        layers.conv2d(tf.zeros([1, 2]), 4, 5, None, None, layers.relu)


def test_dense_and_max_pool_against_numpy():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 4, 4, 2)).astype(np.float32)
    weights, biases = rng.normal(size=(32, 5)), rng.normal(size=5)
    with tf.Graph().as_default():
        y = layers.dense(tf.constant(x), 5, tf.constant_initializer(weights),
                         tf.constant_initializer(biases))
        dense, pooled = run([y, layers.max_pool(tf.constant(x), 2, 2)])
    np.testing.assert_allclose(dense, x.reshape(3, 32) @ weights + biases, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(pooled, x.reshape(3, 2, 2, 2, 2, 2).max(axis=(2, 4)))


@pytest.mark.parametrize("activation", [layers.relu, layers.leaky_relu])
@pytest.mark.parametrize("size", [2, 3])
def test_the_gradients_taken_after_pooling_are_those_before_it(activation, size):
    rng = np.random.default_rng(3)
    with tf.Graph().as_default():
        x = tf.constant(rng.normal(size=(4, 7, 8, 3)), tf.float32)

        def layer(pool=None):
            return layers.conv2d(x, 5, 3, tf.initializers.he_normal(seed=1),
                                 tf.random_normal_initializer(seed=1), activation, pool)

        with tf.variable_scope("layer", reuse=tf.AUTO_REUSE):
            ours, plain = layer(pool=(size, 2)), layers.max_pool(layer(), size, 2)
        dy = tf.constant(rng.normal(size=ours.shape), tf.float32)
        inputs = [x, *tf.trainable_variables()]
        ours, plain = run([[y, *tf.gradients(y, inputs, dy)] for y in (ours, plain)])
    np.testing.assert_array_equal(ours[0], plain[0])
    assert (ours[0] <= 0).any(), "there is a slope to miss"
    for value, right in zip(ours[1:], plain[1:]):
        np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-5)


def batch(count=8, seed=3):
    rng = np.random.default_rng(seed)
    return {"images:0": rng.normal(size=(count, 24, 24, 1)).astype(np.float32),
            "labels:0": rng.integers(0, 10, count)}


def build(**changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    return cnn_graph.build(recipe, (24, 24, 1), 10, training_images=10 * recipe.batch_size)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_what_bfloat16_is_used_for(name):
    """Products and convolutions, their gradients too; nothing that lasts."""
    recipe = dataclasses.replace(recipes.RECIPES[name], precision="bfloat16", steps_per_run=1)
    with tf.Graph().as_default() as graph:
        model = cnn_graph.build(recipe, (24, 24, 1), 10, 100)
        assert {model.images.dtype, model.loss.dtype, model.logits.dtype} == {tf.float32}
        assert not [variable for variable in tf.global_variables()
                    if variable.dtype.base_dtype == tf.bfloat16]
        products = [op for op in graph.get_operations()
                    if op.type in ("MatMul", "Conv2D", "Conv2DBackpropFilter",
                                   "Conv2DBackpropInput")]
        assert len(products) > 1
        assert {op.outputs[0].dtype for op in products} == {tf.bfloat16}


@pytest.mark.parametrize("name", ["lrn_cnn", "tutorial_cnn"])
def test_both_ways_of_lrn_train(name):
    feed = batch()
    feed["images:0"] = np.repeat(feed["images:0"], 3, axis=3)
    losses = {}
    for way in ("auto", "product", "native"):
        recipe = dataclasses.replace(recipes.RECIPES[name], lrn=way, optimizer="gradient_descent",
                                     learning_rate=0.01, batch_size=8)
        with tf.Graph().as_default() as graph, tf.Session() as session:
            model = cnn_graph.build(recipe, (24, 24, 3), 10, training_images=80)
            session.run(tf.global_variables_initializer())
            losses[way] = [session.run([model.loss, model.train_op], feed)[0] for _ in range(4)]
            kinds = {op.type for op in graph.get_operations()}
        assert kinds >= {"LRN", "LRNGrad"} if way == "native" else not kinds & {"LRN", "LRNGrad"}
    assert losses["auto"] == losses["product"] != [losses["product"][0]] * 4
    np.testing.assert_allclose(losses["native"], losses["product"], rtol=1e-4)


def test_lrn_cnn_has_the_books_shapes_and_parameters():
    with tf.Graph().as_default():
        model = build()
        shapes = {variable.op.name: variable.shape.as_list()
                  for variable in tf.trainable_variables()}
        # 1,600+64, 102,400+64, 2,359,296+1,024, 10,240+10
        assert cnn_graph.parameters() == 2_474_698
        assert model.logits.shape.as_list() == [None, 10]
    assert shapes == {
        "conv1/weights": [5, 5, 1, 64], "conv1/biases": [64],
        "conv2/weights": [5, 5, 64, 64], "conv2/biases": [64],
        "dense/weights": [2304, 1024], "dense/biases": [1024],
        "output/weights": [1024, 10], "output/biases": [10]}


def test_initializations():
    for name, conv2, dense, output in (("he", (2 / 1600) ** 0.5, (2 / 2304) ** 0.5, 0.004),
                                       ("normal", 1.0, 1.0, 1.0)):
        with tf.Graph().as_default():
            build(initialization=name)
            got = run({v.op.name: v for v in tf.trainable_variables()})
        assert got["conv2/weights"].std() == pytest.approx(conv2, rel=0.03)
        assert got["dense/weights"].std() == pytest.approx(dense, rel=0.03)
        assert got["output/weights"].std() == pytest.approx(output, rel=0.05)
        assert got["dense/biases"].std() == pytest.approx(float(name == "normal"), abs=0.1)


def test_names_the_tutorials_fetch_by():
    with tf.Graph().as_default():
        build()
        names = [f"{name}:0" for name in ("logits", "probabilities", "loss", "accuracy",
                                          "learning_rate", "global_step")]
        got = dict(zip(names, run(names, batch())))
    assert got["logits:0"].shape == (8, 10)
    assert got["global_step:0"] == 0
    np.testing.assert_allclose(got["probabilities:0"].sum(1), 1, rtol=1e-5)


def test_loss_and_accuracy_against_numpy():
    with tf.Graph().as_default():
        build(initialization="normal")
        feed = batch()
        logits, loss, accuracy, probabilities = run(
            ["logits:0", "loss:0", "accuracy:0", "probabilities:0"], feed)
    logits, labels = logits.astype(np.float64), feed["labels:0"]
    shifted = logits - logits.max(1, keepdims=True)
    expected = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    cross_entropy = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(8), labels]
    assert loss == pytest.approx(cross_entropy.mean(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).mean())


def test_adam_steps_against_numpy():
    """Two steps of Adam (Kingma and Ba, 2015, algorithm 1) on the output layer's biases."""
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(schedule="constant", learning_rate=0.01)
        variable = next(v for v in tf.trainable_variables() if v.op.name == "output/biases")
        gradient = tf.gradients(model.loss, variable)[0]
        session.run(tf.global_variables_initializer())
        expected, m, v = session.run(variable).astype(np.float64), 0.0, 0.0
        for step in (1, 2):
            feed = batch(seed=step)
            g = session.run(gradient, feed).astype(np.float64)
            session.run(model.train_op, feed)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            # TensorFlow adds epsilon to the square root before the correction of bias
            rate = 0.01 * np.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
            expected -= rate * m / (np.sqrt(v) + 1e-8)
        got, steps = session.run([variable, model.global_step])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert steps == 2


def test_cosine_schedule():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(learning_rate=0.5)
        session.run(tf.global_variables_initializer())
        for step in (0, 25, 50, 100):
            session.run(model.global_step.assign(step))
            expected = 0.25 * (1 + np.cos(np.pi * step / 100))
            assert session.run(model.learning_rate) == pytest.approx(expected, abs=1e-7)


def test_epoch_sums_weigh_every_image_the_same():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(learning_rate=1e-9)  # the weights stay what they are
        session.run(tf.global_variables_initializer())
        whole = batch(12)
        session.run(model.start_epoch)
        for part in (slice(0, 8), slice(8, 12)):
            session.run(model.train_op, {name: value[part] for name, value in whole.items()})
        loss, accuracy = session.run([model.loss, model.accuracy], whole)
        assert session.run(model.epoch_loss) == pytest.approx(loss, rel=1e-5)
        assert session.run(model.epoch_accuracy) == pytest.approx(accuracy)


def test_first_weights_come_from_the_seed():
    def weights(seed):
        with tf.Graph().as_default():
            build(seed=seed)
            return run([v for v in tf.trainable_variables() if "weights" in v.name])
    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))


def test_building_changes_no_global():
    before = tf.executing_eagerly(), tf.resource_variables_enabled()
    with tf.Graph().as_default():
        build()
    assert (tf.executing_eagerly(), tf.resource_variables_enabled()) == before == (True, True)


def test_network_options_are_recipe_fields():
    fields = {field.name for field in dataclasses.fields(recipes.Recipe)}
    for name in networks.NAMES:
        assert set(networks.options(name)) <= fields
        inference = networks.get(name)
        assert networks.options(name) == [
            parameter.name for parameter in inspect.signature(inference).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY]
    with pytest.raises(ValueError, match="nonsense"):
        networks.get("nonsense")


def test_hinge_losses_against_numpy():
    feed = batch()
    for loss in ("hinge", "multiclass_hinge"):
        with tf.Graph().as_default():
            build(loss=loss, initialization="normal", learning_rate=1e-9)
            scores, got = run(["logits:0", "loss:0"], feed)
        scores, labels = scores.astype(np.float64), feed["labels:0"]
        signs = np.where(np.arange(10) == labels[:, None], 1.0, -1.0)
        if loss == "hinge":
            expected = np.maximum(0, 1 - signs * scores).mean()
        else:
            right = scores[np.arange(8), labels]
            margins = np.maximum(0, scores - right[:, None] + 1)
            margins[np.arange(8), labels] = 0
            expected = margins.sum(1).mean()
        assert got == pytest.approx(expected, rel=1e-5)


def test_l2_against_numpy():
    with tf.Graph().as_default():
        build()
        feed = batch()
        plain, weights = run(["loss:0", {v.op.name: v for v in tf.trainable_variables()}], feed)
    with tf.Graph().as_default():
        build(l2=0.25)
        regularized = run("loss:0", feed)
    squares = sum((value.astype(np.float64) ** 2).sum()
                  for name, value in weights.items() if name.endswith("weights"))
    assert regularized - plain == pytest.approx(0.25 * squares / 2, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum"])
def test_optimizers_against_numpy(optimizer):
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(optimizer=optimizer, momentum=0.8, schedule="constant", learning_rate=0.1)
        variable = next(v for v in tf.trainable_variables() if v.op.name == "output/biases")
        gradient = tf.gradients(model.loss, variable)[0]
        session.run(tf.global_variables_initializer())
        expected, velocity = session.run(variable).astype(np.float64), 0.0
        for step in (1, 2, 3):
            feed = batch(seed=step)
            velocity = (0.8 * velocity if optimizer == "momentum" else 0) + session.run(
                gradient, feed)
            session.run(model.train_op, feed)
            expected = expected - 0.1 * velocity
        np.testing.assert_allclose(session.run(variable), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("schedule, factor", [
    ("constant", lambda epochs: 1.0), ("steps", lambda epochs: 0.5 ** (epochs // 3)),
    ("exponential", lambda epochs: 0.5 ** (epochs / 3))])
def test_schedules(schedule, factor):
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(schedule=schedule, learning_rate=0.2, decay_rate=0.5, decay_epochs=3)
        session.run(tf.global_variables_initializer())
        for step in (0, 5, 29, 30, 31, 95):  # ten steps are an epoch
            session.run(model.global_step.assign(step))
            assert session.run(model.learning_rate) == pytest.approx(0.2 * factor(step / 10))


def test_moving_averages_against_numpy():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(moving_average=0.5, schedule="constant", learning_rate=0.01)
        variable = next(v for v in tf.trainable_variables() if v.op.name == "output/biases")
        session.run(tf.global_variables_initializer())
        average = session.run(variable)
        for step in range(1, 5):
            session.run(model.train_op, batch(seed=step))
            # the decay that TensorFlow documents for a count of updates; the step is counted
            decay = min(0.5, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * session.run(variable)
        session.run(model.use_averages)
        np.testing.assert_allclose(session.run(variable), average, rtol=1e-4, atol=1e-7)


def test_summaries_tell_what_the_tutorials_show():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build()
        session.run(tf.global_variables_initializer())
        summary = tf.Summary.FromString(session.run(model.summaries, batch()))
        activation = session.run("conv1/relu:0", batch())
    told = {value.tag.removeprefix("summaries/"): value for value in summary.value}
    for tag in ("loss", "accuracy", "learning_rate", "images/image/0",
                "variables/conv1/weights", "gradients/output/biases",
                "activations/conv1/relu", "activations/conv2/lrn/lrn"):
        assert tag in told
    assert told["sparsity/conv1/relu"].simple_value == pytest.approx(
        (activation[:8] == 0).mean(), abs=1e-6)
    assert told["variables/conv1/weights"].histo.num == 1600


def test_a_histogram_counts_numbers_of_every_channel(monkeypatch):
    monkeypatch.setattr(cnn_graph, "HISTOGRAM", 3000)
    numbers = np.tile(np.arange(12), (1000, 1))  # every fourth of them is of three channels
    with tf.Graph().as_default(), tf.Session() as session:
        some = session.run(cnn_graph._some(tf.constant(numbers), numbers.size))
    counts = np.bincount(some, minlength=12)
    assert 2000 < len(some) <= 3000 and counts.max() - counts.min() <= 1
