"""The graph: its tensors, training steps, schedules and averages, against NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1cifar import errors, graph, recipes
from tf1cifar.networks import layers

FIRST_STDDEV = 0.001  # of `he_small_first`
RECIPE = dataclasses.replace(recipes.RECIPES["lrn_cnn"], initialization="he")


def run(tensors, feed=None):
    """The values of tensors in the default graph, with initialized variables."""
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(tensors, feed)


def batch(count=8, seed=3):
    """The `feed_dict` of random images with random labels."""
    rng = np.random.default_rng(seed)
    return {"images:0": rng.normal(size=(count, 24, 24, 1)).astype(np.float32),
            "labels:0": rng.integers(0, 10, count)}


def build(**changes):
    """The model of the recipe lrn_cnn with some changes, for ten steps in an epoch."""
    recipe = dataclasses.replace(RECIPE, **changes)
    return graph.build(recipe, (24, 24, 1), 10, training_images=10 * recipe.batch_size)


# ---------------------------------------------------------------------------------------
# Tensors and variables


def test_build_gives_tensors_the_names_that_the_tutorials_fetch():
    with tf.Graph().as_default():
        build()
        names = [f"{name}:0" for name in ("logits", "probabilities", "loss", "accuracy",
                                          "learning_rate", "global_step")]
        values = dict(zip(names, run(names, {**batch(), "is_training:0": True})))
    assert values["logits:0"].shape == (8, 10)
    assert values["global_step:0"] == 0
    np.testing.assert_allclose(values["probabilities:0"].sum(1), 1, rtol=1e-5)


def test_build_gives_lrn_cnn_the_shapes_and_parameters_of_the_book():
    with tf.Graph().as_default():
        model = build()
        shapes = {variable.op.name: variable.shape.as_list()
                  for variable in tf.trainable_variables()}
        # 1,600+64, 102,400+64, 2,359,296+1,024, 10,240+10
        assert graph.parameters() == 2_474_698
        assert model.logits.shape.as_list() == [None, 10]
    assert shapes == {
        "conv1/weights": [5, 5, 1, 64], "conv1/biases": [64],
        "conv2/weights": [5, 5, 64, 64], "conv2/biases": [64],
        "dense/weights": [2304, 1024], "dense/biases": [1024],
        "output/weights": [1024, 10], "output/biases": [10]}


@pytest.mark.parametrize("name, conv1, conv2, dense, output", [
    ("he", (2 / 25) ** 0.5, (2 / 1600) ** 0.5, (2 / 2304) ** 0.5, 0.004),
    ("he_small_first", FIRST_STDDEV, (2 / 1600) ** 0.5, (2 / 2304) ** 0.5, 0.004),
    ("normal", 1.0, 1.0, 1.0, 1.0)], ids=["he", "he_small_first", "normal"])
def test_build_draws_the_initial_weights(name, conv1, conv2, dense, output):
    with tf.Graph().as_default():
        build(initialization=name)
        values = run({v.op.name: v for v in tf.trainable_variables()})
    assert values["conv1/weights"].std() == pytest.approx(conv1, rel=0.05)
    assert values["conv2/weights"].std() == pytest.approx(conv2, rel=0.03)
    assert values["dense/weights"].std() == pytest.approx(dense, rel=0.03)
    assert values["output/weights"].std() == pytest.approx(output, rel=0.05)
    assert values["dense/biases"].std() == pytest.approx(float(name == "normal"), abs=0.1)


def test_build_draws_the_initial_weights_from_the_seed():
    def weights(seed):
        with tf.Graph().as_default():
            build(seed=seed)
            return run([v for v in tf.trainable_variables() if "weights" in v.name])

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))


@pytest.mark.parametrize("name", ["lrn_cnn", "two_layer_fc", "batchnorm_cnn", "tutorial_cnn"])
def test_build_draws_weights_by_seed_and_name_alone(name):
    """Operations that are created before, as by a later version, change no weights."""
    def weights(operations_before):
        recipe = dataclasses.replace(recipes.RECIPES[name], steps_per_run=1)
        with tf.Graph().as_default():
            for _ in range(operations_before):
                tf.constant(1.0)
            graph.build(recipe, (24, 24, 1), 10, 100)
            return run({v.op.name: v for v in tf.trainable_variables() if "weights" in v.name})

    first, later = weights(0), weights(7)
    assert len(first) > 1
    for key, values in first.items():
        np.testing.assert_array_equal(values, later[key])
    # Variables of one shape and distribution differ, since their names do.
    assert len({values.ravel()[:9].tobytes() for values in first.values()}) == len(first)


def test_build_changes_no_global_setting():
    before = tf.executing_eagerly(), tf.resource_variables_enabled()
    with tf.Graph().as_default():
        build()
    assert (tf.executing_eagerly(), tf.resource_variables_enabled()) == before == (True, True)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_build_uses_bfloat16_for_products_and_convolutions_only(name):
    recipe = dataclasses.replace(recipes.RECIPES[name], precision="bfloat16", steps_per_run=1)
    with tf.Graph().as_default() as default:
        model = graph.build(recipe, (24, 24, 1), 10, 100)
        assert {model.images.dtype, model.loss.dtype, model.logits.dtype} == {tf.float32}
        assert not [variable for variable in tf.global_variables()
                    if variable.dtype.base_dtype == tf.bfloat16]
        products = [op for op in default.get_operations()
                    if op.type in ("MatMul", "Conv2D", "Conv2DBackpropFilter",
                                   "Conv2DBackpropInput") and "/Muon/" not in op.name]
        assert len(products) > 1
        assert {op.outputs[0].dtype for op in products} == {tf.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lrn_cnn", "tutorial_cnn"])
def test_build_accepts_every_method_of_lrn(name):
    feed = batch()
    feed["images:0"] = np.repeat(feed["images:0"], 3, axis=3)
    losses = {}
    for method in ("auto", "product", "native"):
        recipe = dataclasses.replace(recipes.RECIPES[name], lrn=method, batch_size=8,
                                     optimizer="gradient_descent", learning_rate=0.01)
        with tf.Graph().as_default() as default, tf.Session() as session:
            model = graph.build(recipe, (24, 24, 3), 10, training_images=80)
            session.run(tf.global_variables_initializer())
            losses[method] = [session.run([model.loss, model.train_op], feed)[0]
                              for _ in range(4)]
            kinds = {op.type for op in default.get_operations()}
        assert (kinds >= {"LRN", "LRNGrad"} if method == "native"
                else not kinds & {"LRN", "LRNGrad"})
    assert losses["auto"] == losses["product"] != [losses["product"][0]] * 4
    np.testing.assert_allclose(losses["native"], losses["product"], rtol=1e-4)


def test_build_computes_the_gradients_of_convolutions_one_after_the_other():
    with tf.Graph().as_default() as default:
        build()
        kinds = ("Conv2DBackpropFilter", "Conv2DBackpropInput")
        filter_gradients, input_gradients = (
            [op for op in default.get_operations() if op.type == kind] for kind in kinds)
        (second,) = [op for op in input_gradients if "conv2/" in op.name]
        assert [op.name for op in second.control_inputs] == [
            op.name for op in filter_gradients if "conv2/" in op.name]


# ---------------------------------------------------------------------------------------
# Loss and accuracy


def test_loss_and_accuracy_equal_numpy():
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


@pytest.mark.parametrize("name", ["hinge", "multiclass_hinge"])
def test_loss_is_the_one_that_the_recipe_names(name):
    feed = batch()
    with tf.Graph().as_default():
        build(loss=name, initialization="normal")
        scores, loss = run(["logits:0", "loss:0"], feed)
    scores, labels = scores.astype(np.float64), feed["labels:0"]
    right = np.arange(10) == labels[:, None]
    if name == "hinge":
        expected = np.maximum(0, 1 - np.where(right, 1.0, -1.0) * scores).mean()
    else:
        margins = np.maximum(0, scores - scores[right][:, None] + 1)
        expected = margins[~right].sum() / 8
    assert loss == pytest.approx(expected, rel=1e-5)


def test_loss_smooths_the_labels():
    feed = batch()
    with tf.Graph().as_default():
        build(label_smoothing=0.3, initialization="normal")
        logits, loss = run(["logits:0", "loss:0"], feed)
    logits = logits.astype(np.float64)
    targets = 0.7 * np.eye(10)[feed["labels:0"]] + 0.3 / 10
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert loss == pytest.approx(-(targets * log_probabilities).sum(1).mean(), rel=1e-5)


def test_loss_contains_l2_of_the_weights():
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


def test_epoch_loss_and_accuracy_are_means_over_images():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(learning_rate=1e-9)  # a step hardly changes the weights
        session.run(tf.global_variables_initializer())
        whole = batch(12)
        session.run(model.start_epoch)
        for part in (slice(0, 8), slice(8, 12)):
            session.run(model.train_op, {name: value[part] for name, value in whole.items()})
        loss, accuracy = session.run([model.loss, model.accuracy], whole)
        assert session.run(model.epoch_loss) == pytest.approx(loss, rel=1e-5)
        assert session.run(model.epoch_accuracy) == pytest.approx(accuracy)


# ---------------------------------------------------------------------------------------
# Training steps


def output_biases():
    """The variable of the default graph that the tests of optimizers compare."""
    return next(v for v in tf.trainable_variables() if v.op.name == "output/biases")


def test_train_op_makes_steps_of_adam():
    """Two steps of Adam (Kingma and Ba, 2015, algorithm 1) on the output layer's biases."""
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(network="linear", schedule="constant", learning_rate=0.01)
        variable = output_biases()
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
        value, steps = session.run([variable, model.global_step])
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert steps == 2


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum", "nesterov"])
def test_train_op_makes_steps_of_gradient_descent(optimizer):
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(network="linear", optimizer=optimizer, momentum=0.8, schedule="constant",
                      learning_rate=0.1)
        variable = output_biases()
        gradient = tf.gradients(model.loss, variable)[0]
        session.run(tf.global_variables_initializer())
        expected, velocity = session.run(variable).astype(np.float64), 0.0
        for step in (1, 2, 3):
            feed = batch(seed=step)
            g = session.run(gradient, feed)
            velocity = (0 if optimizer == "gradient_descent" else 0.8 * velocity) + g
            session.run(model.train_op, feed)
            expected = expected - 0.1 * (g + 0.8 * velocity if optimizer == "nesterov"
                                         else velocity)
        np.testing.assert_allclose(session.run(variable), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decay, moves", [(0.9, True), (1.0, False)])
def test_train_op_updates_batch_norm_unless_its_decay_is_one(decay, moves):
    recipe = dataclasses.replace(recipes.RECIPES["batchnorm_cnn"], batch_norm_decay=decay)
    with tf.Graph().as_default(), tf.Session() as session:
        model = graph.build(recipe, (28, 28, 1), 10, 1000)
        moving = [v for v in tf.global_variables() if "/moving_" in v.op.name]
        session.run(tf.global_variables_initializer())
        before = session.run(moving)
        images = np.random.default_rng(0).random((4, 28, 28, 1))
        session.run(model.train_op, {model.images: images, model.labels: [1, 2, 3, 4],
                                     model.is_training: True})
        assert len(moving) == 4
        for old, new in zip(before, session.run(moving)):
            assert (old != new).any() == moves


def test_use_averages_copies_the_moving_averages_to_the_weights():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(network="linear", moving_average=0.5, schedule="constant",
                      learning_rate=0.01)
        variable = output_biases()
        session.run(tf.global_variables_initializer())
        average = session.run(variable)
        for step in range(1, 5):
            session.run(model.train_op, batch(seed=step))
            # the decay that TensorFlow documents for a number of updates, here the global step
            decay = min(0.5, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * session.run(variable)
        session.run(model.use_averages)
        np.testing.assert_allclose(session.run(variable), average, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("schedule, factor", [
    ("constant", lambda epochs: 1.0), ("linear", lambda epochs: 1 - epochs / 10),
    ("steps", lambda epochs: 0.5 ** (epochs // 3)),
    ("exponential", lambda epochs: 0.5 ** (epochs / 3)),
    ("cosine", lambda epochs: (1 + np.cos(np.pi * epochs / 10)) / 2)],
    ids=["constant", "linear", "steps", "exponential", "cosine"])
def test_learning_rate_follows_the_schedule(schedule, factor):
    with tf.Graph().as_default(), tf.Session() as session:
        model = build(network="linear", schedule=schedule, learning_rate=0.2, decay_rate=0.5,
                      decay_epochs=3, epochs=10)
        session.run(tf.global_variables_initializer())
        for step in (0, 5, 29, 30, 31, 95, 100):  # an epoch has ten steps
            session.run(model.global_step.assign(step))
            assert session.run(model.learning_rate) == pytest.approx(0.2 * factor(step / 10),
                                                                     abs=1e-7)


# ---------------------------------------------------------------------------------------
# Fed and resident training


def test_step_inputs_and_fetches_train_on_a_fed_batch():
    with tf.Graph().as_default(), tf.Session() as session:
        model = build()
        assert model.resident is None
        session.run(tf.global_variables_initializer())
        feed = batch()
        loss, accuracy = session.run([model.loss, model.accuracy], feed)
        arrays = feed["images:0"], feed["labels:0"], True
        values = session.run(model.step_fetches, dict(zip(model.step_inputs, arrays)))
        assert values[:2] == (pytest.approx(loss), pytest.approx(accuracy))
        assert session.run(model.global_step) == 1


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("name", ["softmax", "two_layer_fc"])
def test_step_inputs_and_fetches_train_on_resident_images(name, precision, tolerance):
    """Three steps in one session.run end with the weights of three single steps."""
    rng = np.random.default_rng(8)
    images = rng.normal(size=(20, 8, 8, 3)).astype(np.float32)
    labels, indices = rng.integers(0, 10, 20), rng.integers(0, 20, (3, 4))
    weights, losses, accuracies = {}, {}, {}
    for steps in (1, 3):
        recipe = dataclasses.replace(recipes.RECIPES[name], steps_per_run=steps, batch_size=4,
                                     precision=precision, steps=10)
        with tf.Graph().as_default(), tf.Session() as session:
            model = graph.build(recipe, (8, 8, 3), 10, 20)
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            if steps == 1:
                results = [session.run(model.step_fetches, dict(zip(
                    model.step_inputs, (images[chosen], labels[chosen], True))))[:2]
                    for chosen in indices]
                losses[steps] = [loss for loss, _ in results]
                accuracies[steps] = np.mean([accuracy for _, accuracy in results])
            else:
                for start in (0, 15):  # two parts of different size
                    part = slice(start, start + 15)
                    session.run(model.resident.load_images, {
                        model.resident.offset: start, model.images: images[part],
                        model.labels: labels[part]})
                losses[steps], accuracies[steps] = session.run(
                    model.step_fetches, dict(zip(model.step_inputs, (indices,))))
            assert session.run(model.global_step) == 3
            weights[steps] = session.run(tf.trainable_variables())
    assert list(losses[3]) == pytest.approx(losses[1], rel=tolerance)  # of each step
    assert accuracies[3] == pytest.approx(accuracies[1])
    for resident, fed in zip(weights[3], weights[1]):
        np.testing.assert_allclose(resident, fed, rtol=tolerance, atol=tolerance)


def test_resident_training_leaves_no_tensors_of_its_loop_in_collections():
    recipe = dataclasses.replace(recipes.RECIPES["two_layer_fc"], dropout=0.5)
    with tf.Graph().as_default() as default:
        graph.build(recipe, (8, 8, 3), 10, 1000)
        for key in default.get_all_collection_keys():
            assert all(item.graph is default for item in tf.get_collection(key)
                       if isinstance(item, (tf.Tensor, tf.Operation)))


# ---------------------------------------------------------------------------------------
# Frozen layers


def ancestors(operation):
    """The operations that run when `operation` is fetched."""
    found, open_ends = set(), [operation]
    while open_ends:
        last = open_ends.pop()
        if last not in found:
            found.add(last)
            open_ends += [tensor.op for tensor in last.inputs] + last.control_inputs
    return found


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_freeze_leaves_layers_alone(optimizer):
    recipe = dataclasses.replace(recipes.RECIPES["batchnorm_cnn"], freeze=("conv1", "dense"),
                                 optimizer=optimizer, moving_average=0.5, l2=0.1)
    rng = np.random.default_rng(1)
    images, labels = rng.random((6, 8, 8, 1), np.float32), np.arange(6) % 3
    with tf.Graph().as_default(), tf.Session() as session:
        model = graph.build(recipe, (8, 8, 1), 3, 6)
        variables = {v.op.name: v for v in tf.global_variables()}
        session.run(tf.global_variables_initializer())
        for name in ("dense/moving_mean", "dense/moving_variance"):
            variables[name].load(rng.random(1024, np.float32) + 0.5, session)
        before = session.run(variables)
        feed = {model.images: images, model.labels: labels, model.is_training: True}
        for _ in range(2):
            session.run(model.train_op, feed)
        after = session.run(variables)
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
    scopes = {name.partition("/")[0] for name in changed}
    assert scopes - {"training", "training_1", "epoch"} == {"conv2", "output"}
    assert {"conv2/weights", "output/moving_mean", "output/gamma"} <= changed
    beside = [name for name in variables if "conv1" in name or "dense" in name]
    assert sorted(beside) == [
        "conv1/biases", "conv1/weights", "dense/beta", "dense/biases", "dense/gamma",
        "dense/moving_mean", "dense/moving_variance", "dense/weights"]


def test_freeze_normalizes_by_the_frozen_statistics():
    """In training too: gamma (x - moving mean) / sqrt(moving variance + 0.001) + beta."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 5)).astype(np.float32)
    values = {"beta": rng.normal(size=5), "gamma": rng.normal(size=5),
              "moving_mean": rng.normal(size=5), "moving_variance": rng.random(5)}

    def frozen(getter, name, *arguments, **options):
        return getter(name, *arguments, **{**options, "trainable": False})

    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("dense", custom_getter=frozen):
            y = [layers.batch_norm(tf.constant(x), tf.constant(True), 0.9)]
        with tf.variable_scope("dense", custom_getter=frozen, reuse=True):
            y.append(layers.batch_norm(tf.constant(x), tf.constant(False), 0.9))
        assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        for variable in tf.global_variables():
            variable.load(values[variable.op.name.partition("/")[2]], session)
        computed = session.run(y)
    expected = (values["gamma"] * (x - values["moving_mean"])
                / np.sqrt(values["moving_variance"] + 0.001) + values["beta"])
    for result in computed:
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_freeze_computes_no_gradients_of_the_first_layers():
    def gradients(*freeze):
        with tf.Graph().as_default():
            model = build(freeze=freeze, lrn="native")
            return sorted(operation.type for operation in ancestors(model.train_op)
                          if operation.type in ("Conv2DBackpropFilter", "Conv2DBackpropInput",
                                                "LRNGrad", "MaxPoolGrad", "MatMul"))

    everything = gradients()
    assert everything.count("Conv2DBackpropFilter") == 2 and everything.count("LRNGrad") == 2
    # A product forwards, and two backwards: for the weights and for the input.
    assert gradients("conv1") == ["Conv2DBackpropFilter", "LRNGrad", *["MatMul"] * 6,
                                  "MaxPoolGrad"]
    assert gradients("conv1", "conv2") == ["MatMul"] * 5
    assert gradients("conv1", "conv2", "dense") == ["MatMul"] * 3


def test_freeze_leaves_weights_out_of_l2():
    with tf.Graph().as_default():
        build()
        feed = batch()
        plain, weights = run(["loss:0", next(v for v in tf.trainable_variables()
                                             if v.op.name == "output/weights")], feed)
    with tf.Graph().as_default():
        build(l2=0.25, freeze=("conv1", "conv2", "dense"))
        regularized = run("loss:0", feed)
    squares = (weights.astype(np.float64) ** 2).sum()
    assert regularized - plain == pytest.approx(0.25 * squares / 2, rel=1e-2)


@pytest.mark.parametrize("freeze, message", [
    (("conv",), "--freeze conv: lrn_cnn has no such layer; there are conv1, conv2, dense, output"),
    (("conv1", "conv2", "dense", "output"), "leaves nothing to train")])
def test_freeze_refuses_layers_that_are_not_there(freeze, message):
    with tf.Graph().as_default(), pytest.raises(errors.UserError, match=message):
        build(freeze=freeze)
