"""The results of the layers, compared with independent NumPy code."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar.networks import layers


def run(tensors):
    """The values of tensors in the default graph, with initialized variables."""
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensors)


# ---------------------------------------------------------------------------------------
# conv2d, dense, max_pool and the activations


@pytest.mark.parametrize("size", [5, 3, 2])
def test_conv2d_and_its_gradients_equal_numpy(size):
    rng = np.random.default_rng(1)
    images, dy_fed = rng.normal(size=(2, 7, 6, 3)), rng.normal(size=(2, 7, 6, 4))
    dy = dy_fed.copy()
    weights, biases = rng.normal(size=(size, size, 3, 4)), rng.normal(size=4)
    before = (size - 1) // 2
    around = ((0, 0), *((before, size - 1 - before),) * 2, (0, 0))
    padded = np.pad(images, around)
    expected, weights_gradient, padded_gradient = (
        np.zeros((2, 7, 6, 4)), 0 * weights, 0 * padded)
    for row in range(7):
        for column in range(6):
            place = np.s_[:, row:row + size, column:column + size]
            y = np.einsum("bhwc,hwcf->bf", padded[place], weights) + biases
            expected[:, row, column] = np.maximum(y, 0)
            dy[:, row, column] *= y > 0
            weights_gradient += np.einsum("bhwc,bf->hwcf", padded[place], dy[:, row, column])
            padded_gradient[place] += np.einsum("bf,hwcf->bhwc", dy[:, row, column], weights)
    with tf.Graph().as_default():
        x = tf.constant(images, tf.float32)
        y = layers.conv2d(x, 4, size, tf.constant_initializer(weights),
                          tf.constant_initializer(biases), layers.relu)
        values = run([y, *tf.gradients(y, [x, *tf.trainable_variables()],
                                       tf.constant(dy_fed, tf.float32))])
    images_gradient = padded_gradient[:, before:before + 7, before:before + 6]
    for value, right in zip(values, (expected, images_gradient, weights_gradient,
                                     dy.sum((0, 1, 2)))):
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pool, shape", [(None, [1, 4, 6, 2]), ((2, 2), [1, 2, 3, 2])])
def test_conv2d_accepts_another_activation(pool, shape):
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


@pytest.mark.parametrize("activation", [layers.relu, layers.leaky_relu])
@pytest.mark.parametrize("size", [2, 3])
def test_conv2d_with_pooling_has_the_gradients_of_separate_layers(activation, size):
    rng = np.random.default_rng(3)
    with tf.Graph().as_default():
        x = tf.constant(rng.normal(size=(4, 7, 8, 3)), tf.float32)

        def layer(pool=None):
            return layers.conv2d(x, 5, 3, tf.initializers.he_normal(seed=1),
                                 tf.random_normal_initializer(seed=1), activation, pool)

        with tf.variable_scope("layer", reuse=tf.AUTO_REUSE):
            pooled, separate = layer(pool=(size, 2)), layers.max_pool(layer(), size, 2)
        dy = tf.constant(rng.normal(size=pooled.shape), tf.float32)
        inputs = [x, *tf.trainable_variables()]
        pooled, separate = run([[y, *tf.gradients(y, inputs, dy)] for y in (pooled, separate)])
    np.testing.assert_array_equal(pooled[0], separate[0])
    assert (pooled[0] <= 0).any(), "no value has the activation's other slope"
    for value, right in zip(pooled[1:], separate[1:]):
        np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-5)


def test_conv2d_refuses_an_input_without_four_dimensions():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="convolution takes"):
        layers.conv2d(tf.zeros([1, 2]), 4, 5, None, None, layers.relu)


def test_conv2d_and_dense_put_weights_into_the_collection_that_l2_regularizes():
    with tf.Graph().as_default():
        zeros = tf.zeros_initializer()
        for scope, l2 in (("a", True), ("b", False)):
            with tf.variable_scope(scope):
                x = layers.conv2d(tf.zeros([1, 4, 4, 2]), 3, 3, zeros, zeros, layers.relu, l2=l2)
                with tf.variable_scope("dense"):
                    layers.dense(x, 2, zeros, zeros, l2=l2)
        names = [weights.op.name for weights in tf.get_collection(tf.GraphKeys.WEIGHTS)]
        assert names == ["a/weights", "a/dense/weights"]


def test_dense_equals_numpy():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 4, 4, 2)).astype(np.float32)
    weights, biases = rng.normal(size=(32, 5)), rng.normal(size=5)
    with tf.Graph().as_default():
        y = run(layers.dense(tf.constant(x), 5, tf.constant_initializer(weights),
                             tf.constant_initializer(biases)))
    np.testing.assert_allclose(y, x.reshape(3, 32) @ weights + biases, rtol=1e-4, atol=1e-5)


def test_max_pool_equals_numpy():
    x = np.random.default_rng(2).normal(size=(3, 4, 4, 2)).astype(np.float32)
    with tf.Graph().as_default():
        pooled = run(layers.max_pool(tf.constant(x), 2, 2))
    np.testing.assert_array_equal(pooled, x.reshape(3, 2, 2, 2, 2, 2).max(axis=(2, 4)))


def test_relu_and_leaky_relu_equal_their_definitions():
    with tf.Graph().as_default():
        x = tf.constant([-2.0, 0.0, 3.0])
        relu, leaky_relu = run([layers.relu(x), layers.leaky_relu(x)])
    np.testing.assert_array_equal(relu, [0, 0, 3])
    np.testing.assert_allclose(leaky_relu, [-0.4, 0, 3])


# ---------------------------------------------------------------------------------------
# dropout and batch_norm


def test_dropout_depends_on_seed_scope_and_step():
    def dropped(seed=1, scope="a", step=0, training=True):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(seed)
            counter = tf.get_variable("global_step", [], tf.int64, use_resource=False,
                                      initializer=tf.constant_initializer(step), trainable=False,
                                      collections=["variables", tf.GraphKeys.GLOBAL_STEP])
            with tf.variable_scope(scope):
                y = layers.dropout(tf.ones([200, 100]), 0.3, tf.constant(training))
            session.run(counter.initializer)
            return session.run(y)

    first = dropped()
    np.testing.assert_array_equal(first, dropped())
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-5)
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.01)
    for other in (dropped(seed=2), dropped(scope="b"), dropped(step=1)):
        # Independent masks agree in a share of 0.3^2 + 0.7^2 of the numbers.
        assert (first == other).mean() == pytest.approx(0.58, abs=0.02)
    np.testing.assert_array_equal(dropped(training=False), np.ones((200, 100)))


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_refuses_a_rate_out_of_range(rate):
    with tf.Graph().as_default(), pytest.raises(ValueError, match="dropout: rate"):
        layers.dropout(tf.ones([1]), rate, tf.constant(True))


def test_dropout_refuses_a_graph_without_global_step():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="global step first"):
        layers.dropout(tf.ones([1]), 0.5, tf.constant(True))


def test_batch_norm_equals_numpy():
    rng = np.random.default_rng(0)
    batches = [rng.normal(3, 2, (50, 4)) for _ in range(3)]
    with tf.Graph().as_default(), tf.Session() as session:
        x, is_training = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.bool, [])
        y = layers.batch_norm(x, is_training, decay=0.9)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        session.run(tf.global_variables_initializer())
        mean, variance = np.zeros(4), np.ones(4)
        for batch in batches:
            value, *_ = session.run([y, *updates], {x: batch, is_training: True})
            expected = (batch - batch.mean(0)) / np.sqrt(batch.var(0) + 0.001)
            np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)
            mean = 0.9 * mean + 0.1 * batch.mean(0)
            variance = 0.9 * variance + 0.1 * batch.var(0)
        one = rng.normal(size=(1, 4))
        value = session.run(y, {x: one, is_training: False})
        np.testing.assert_allclose(value, (one - mean) / np.sqrt(variance + 0.001), rtol=1e-3,
                                   atol=1e-4)


@pytest.mark.parametrize("scale", [True, False])
def test_batch_norm_of_images_equals_numpy(scale):
    rng = np.random.default_rng(0)
    batches = [rng.normal(3, 2, (6, 5, 4, 7)) for _ in range(3)]
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 5, 4, 7])
        is_training = tf.placeholder_with_default(False, [])
        y = layers.batch_norm(x, is_training, 0.9, epsilon=0.01, scale=scale)
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        names = {v.op.name: v for v in tf.trainable_variables()}
        assert set(names) == ({"beta", "gamma"} if scale else {"beta"})
        session.run(tf.global_variables_initializer())
        beta, gamma = rng.normal(size=7), rng.normal(size=7) if scale else np.ones(7)
        names["beta"].load(beta, session)
        if scale:
            names["gamma"].load(gamma, session)
        mean, variance, axes = np.zeros(7), np.ones(7), (0, 1, 2)
        for batch in batches:
            value, *_ = session.run([y, *updates], {x: batch, is_training: True})
            expected = (batch - batch.mean(axes)) / np.sqrt(batch.var(axes) + 0.01)
            np.testing.assert_allclose(value, gamma * expected + beta, rtol=1e-3, atol=1e-4)
            mean = 0.9 * mean + 0.1 * batch.mean(axes)
            variance = 0.9 * variance + 0.1 * batch.var(axes, ddof=1)
        one = rng.normal(size=(1, 5, 4, 7))
        np.testing.assert_allclose(
            session.run(y, {x: one}), gamma * (one - mean) / np.sqrt(variance + 0.01) + beta,
            rtol=1e-3, atol=1e-4)


def test_max_pool_stays_within_the_image_if_its_padding_is_valid():
    x = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
    with tf.Graph().as_default():
        pooled, whole = run([layers.max_pool(tf.constant(x), 2, 2, "VALID"),
                             layers.global_max(tf.constant(x))])
    np.testing.assert_array_equal(pooled, x[:, :6, :4].reshape(2, 3, 2, 2, 2, 3).max((2, 4)))
    np.testing.assert_array_equal(whole, x.max((1, 2)))


@pytest.mark.parametrize("channels, outputs", [(3, 32), (1, 18)])
def test_whitening_is_a_convolution_with_filters_that_are_not_trained(channels, outputs):
    size = 4 if channels == 3 else 3
    x = np.random.default_rng(0).normal(size=(2, 9, 9, channels)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        y = layers.whitening(tf.constant(x), size, 2, 16)
        (filters,) = tf.get_collection(layers.WHITENING)
        assert not tf.trainable_variables() and filters in tf.global_variables()
        session.run(tf.global_variables_initializer())
        y, filters = session.run([y, filters])
    assert filters.shape == (size, size, channels, outputs)
    patch = x[:, 2:2 + size, 4:4 + size]
    np.testing.assert_allclose(y[:, 1, 2], np.tensordot(patch, filters, 3), atol=1e-4)


# ---------------------------------------------------------------------------------------
# lrn


def numpy_lrn(x, radius, bias, alpha, beta):
    """Local response normalization by its definition, channel by channel, in float64."""
    y = np.empty_like(x)
    for channel in range(x.shape[-1]):
        near = x[..., max(0, channel - radius):channel + radius + 1]
        y[..., channel] = x[..., channel] / (bias + alpha * (near ** 2).sum(-1)) ** beta
    return y


@pytest.mark.parametrize("bias, alpha, beta, channels",
                         [(1.0, 0.001 / 9, 0.75, 64), (2.0, 0.3, 0.75, 5), (1.0, 0.5, 0.5, 12)])
@pytest.mark.parametrize("method", ["auto", "product", "native"])
def test_lrn_and_its_gradient_equal_numpy(bias, alpha, beta, channels, method):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 4, 2, channels)) * 4
    direction = rng.normal(size=values.shape)
    with tf.Graph().as_default():
        x = tf.constant(values, tf.float32)
        y = layers.lrn(x, method, 4, bias, alpha, beta)
        value, gradient = run([y, tf.gradients(y, x, tf.constant(direction, tf.float32))[0]])
    np.testing.assert_allclose(value, numpy_lrn(values, 4, bias, alpha, beta), rtol=1e-5,
                               atol=1e-6)
    # Compare the gradient with finite differences of the definition, in float64.
    for index in [(0, 0, 0, 0), (1, 2, 1, channels // 2), (2, 3, 1, channels - 1)]:
        up, down = values.copy(), values.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        slope = ((numpy_lrn(up, 4, bias, alpha, beta) - numpy_lrn(down, 4, bias, alpha, beta))
                 * direction).sum() / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("method", ["product", "native"])
def test_lrn_in_bfloat16_has_an_accurate_scale(method):
    """The sums are rounded to bfloat16, but not the divisor, so a small alpha has its effect."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default():
        x = tf.cast(tf.constant(rng.normal(size=(2, 3, 3, 64)) * 9, tf.float32), tf.bfloat16)
        dy = tf.cast(tf.constant(rng.normal(size=(2, 3, 3, 64)), tf.float32), tf.bfloat16)
        y = layers.lrn(x, method)
        dx = tf.gradients(y, x, dy)[0]
        assert (y.dtype, dx.dtype) == (tf.bfloat16, tf.bfloat16)
        wide = tf.cast(x, tf.float32)
        exact = tf.gradients(tf.nn.lrn(wide, 4, 1.0, 0.001 / 9, 0.75), wide,
                             tf.cast(dy, tf.float32))[0]
        wide, y, dx, exact = run([wide, *(tf.cast(t, tf.float32) for t in (y, dx)), exact])
    expected = numpy_lrn(wide.astype(np.float64), 4, 1.0, 0.001 / 9, 0.75)
    np.testing.assert_allclose(y, expected, rtol=2 ** -7)  # the scale and y are rounded
    np.testing.assert_allclose(dx, exact, rtol=0.02, atol=0.02)
    # The normalization reduces the mean by the expected share.
    assert abs(y).sum() / abs(wide).sum() == pytest.approx(
        abs(expected).sum() / abs(wide).sum(), abs=5e-4)
    assert abs(expected).sum() < 0.95 * abs(wide).sum()


def test_lrn_refuses_a_bias_of_zero():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="bias 0"):
        layers.lrn(tf.zeros([1, 2, 2, 3]), bias=0.0)


def test_lrn_refuses_an_unknown_method():
    with (tf.Graph().as_default(),
          pytest.raises(ValueError, match="method 'natvie', expected 'auto")):
        layers.lrn(tf.zeros([1, 2, 2, 3]), "natvie")


def test_every_layer_adds_its_result_to_the_activations():
    with tf.Graph().as_default():
        tf.train.create_global_step()
        zeros = tf.zeros_initializer()
        x = layers.conv2d(tf.zeros([1, 8, 8, 2]), 3, 3, zeros, zeros, layers.relu, (2, 2))
        x = layers.leaky_relu(layers.lrn(x))
        with tf.variable_scope("dense"):
            x = layers.dense(x, 4, zeros, zeros)
            x = layers.dropout(layers.batch_norm(x, tf.constant(True), 0.9), 0.5, tf.constant(True))
        names = [x.op.name for x in tf.get_collection(layers.ACTIVATIONS)]
    assert names == ["convolution", "relu", "max_pool", "lrn/lrn", "leaky_relu", "dense/dense",
                     "dense/batch_norm", "dense/dropout"]
