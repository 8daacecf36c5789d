"""The mapping of a network's weights to the variables of a checkpoint."""

import pytest

from tf1cifar import errors
from tf1cifar.training import weight_map

LRN_CNN = {"conv1/weights": (5, 5, 1, 64), "conv1/biases": (64,),
           "conv2/weights": (5, 5, 64, 64), "conv2/biases": (64,),
           "dense/weights": (2304, 1024), "dense/biases": (1024,),
           "output/weights": (1024, 10), "output/biases": (10,)}
THREE = {f"conv{number}/{role}": shape for number in (1, 2, 3)
         for role, shape in (("weights", (3, 3, 8, 8)), ("biases", (8,)))}
BATCH_NORM = {"dense/weights": (9, 7), "dense/biases": (7,), "dense/beta": (7,),
              "dense/gamma": (7,), "dense/moving_mean": (7,), "dense/moving_variance": (7,)}
OUTPUT = ("output/weights", "output/biases")


def renamed(names, ours=LRN_CNN):
    """(theirs, mapping): a checkpoint with other names for the weights, and the right answer."""
    mapping = dict(zip(ours, names, strict=True))
    return {mapping[name]: shape for name, shape in ours.items()}, mapping


UNNAMED = ["Variable", *(f"Variable_{number}" for number in range(1, 8))]


@pytest.mark.parametrize("names", [
    list(LRN_CNN), UNNAMED, "W1 b1 W2 b2 W3 b3 W_out b_out".split(),
    "wc1 bc1 wc2 bc2 wd1 bd1 out_w out_b".split(),
    "W_conv1 b_conv1 W_conv2 b_conv2 W_fc1 b_fc1 W_fc2 b_fc2".split(),
    "conv2d/kernel conv2d/bias conv2d_1/kernel conv2d_1/bias dense/kernel dense/bias "
    "dense_1/kernel dense_1/bias".split(),
    "model/a/kernel model/a/bias model/z/kernel model/z/bias model/fc/kernel model/fc/bias "
    "model/logits/kernel model/logits/bias".split(),
    "conv1/weights conv1/biases conv2/weights conv2/biases local3/weights local3/biases "
    "softmax_linear/weights softmax_linear/biases".split(),
    # The first layer has the number 0, so their conv1 is our conv2.
    "conv0/w conv0/b conv1/w conv1/b fc2/w fc2/b fc3/w fc3/b".split()],
    ids=lambda names: names[2])
def test_match_finds_the_names_of_the_tutorials(names):
    theirs, mapping = renamed(names)
    for order in (theirs, dict(reversed(theirs.items())), dict(sorted(theirs.items()))):
        assert weight_map.match(LRN_CNN, order, OUTPUT) == mapping


def test_match_counts_numbers_as_numbers():
    ours = {f"conv{number}/biases": (8,) for number in range(1, 13)}
    names = [f"Variable_{number}" for number in range(12)]
    assert weight_map.match(ours, {name: (8,) for name in sorted(names)}) == dict(zip(ours, names))


def test_match_follows_numbers_where_equal_layers_are_shifted():
    """Their conv1 and conv2 have the shapes of ours, but are our conv2 and conv3."""
    ours = {**THREE, "conv1/weights": (3, 3, 3, 8)}
    theirs, mapping = renamed(
        [f"conv{number}/{role}" for number in (0, 1, 2) for role in ("kernel", "bias")], ours)
    assert weight_map.match(ours, theirs) == mapping


def test_match_takes_moving_averages_and_no_slots_of_optimizers():
    theirs = {**LRN_CNN, "beta1_power": (), "training/beta2_power": ()}
    for name, shape in LRN_CNN.items():
        for slot in ("Adam", "Adam_1", weight_map.AVERAGE):
            theirs[f"{name}/{slot}"] = shape
        theirs[f"training/{name}/Momentum"] = shape
    assert weight_map.match(LRN_CNN, theirs, OUTPUT) == {
        name: f"{name}/{weight_map.AVERAGE}" for name in LRN_CNN}
    former = {f"training/{name}/{weight_map.AVERAGE}": shape for name, shape in LRN_CNN.items()}
    assert weight_map.match(LRN_CNN, {**LRN_CNN, **former}, OUTPUT) == {
        name: f"training/{name}/{weight_map.AVERAGE}" for name in LRN_CNN}


def test_match_brings_the_roles_of_batch_norm_together():
    names = ["fc/kernel", "fc/bias", *(f"batch_normalization/{role}" for role in (
        "beta", "gamma", "moving_mean", "moving_variance"))]
    theirs, mapping = renamed(names, BATCH_NORM)
    assert weight_map.match(BATCH_NORM, theirs) == mapping


@pytest.mark.parametrize("changes, new", [
    ({"output/weights": (1024, 100), "output/biases": (100,)}, True), ({}, False),
    ({"output/weights": (1024, 100)}, True)])
def test_match_leaves_the_last_layer_new_if_it_does_not_fit(changes, new):
    mapping = weight_map.match(LRN_CNN, {**LRN_CNN, **changes}, OUTPUT)
    assert mapping == {name: weight_map.NEW if new and name in OUTPUT else name
                       for name in LRN_CNN}


def refused(ours, theirs, *asked, last=()):
    """The message with which a mapping is refused."""
    with pytest.raises(errors.UserError) as caught:
        weight_map.match(ours, theirs, last, asked, "X")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_match_refuses_what_is_ambiguous():
    theirs, _ = renamed([f"Variable_{number}" for number in range(6)], BATCH_NORM)
    assert "X: dense/biases 7 may be any of Variable_1, Variable_2" in refused(BATCH_NORM, theirs)
    names = ["first/kernel", "second/kernel", "third/kernel"]
    ours = {name: shape for name, shape in THREE.items() if name.endswith("weights")}
    message = refused(ours, {name: (3, 3, 8, 8) for name in names})
    assert "may be any of first/kernel, second/kernel, third/kernel" in message
    assert "--map conv1/weights=THEIRS" in message
    # One variable more than layers of its shape.
    theirs = {f"Variable_{number}": (3, 3, 8, 8) for number in range(4)}
    assert "may be any of" in refused(ours, theirs)
    # Two numbers differ, so the order is not known.
    theirs = {f"tower{a}/conv{b}/w": (3, 3, 8, 8) for a, b in ((0, 2), (1, 1), (2, 0))}
    assert "may be any of" in refused(ours, theirs)


def test_match_refuses_what_is_missing():
    theirs = {name: shape for name, shape in LRN_CNN.items() if not name.startswith("dense")}
    message = refused(LRN_CNN, {**theirs, "fc/weights": (9216, 1024)}, last=OUTPUT)
    assert "no variable there fits dense/weights 2304x1024; there are fc/weights 9216x1024" in (
        message)
    assert "--map dense/weights=new" in message
    assert "nothing is left there" in refused({"a/weights": (3,)}, {})


def test_match_cuts_names_of_strangers():
    theirs = {f"{'x' * 5000}{number}\n/{letter}": (3, 3, 8, 8)
              for number, letter in enumerate("pqrs")}
    ours = {name: shape for name, shape in THREE.items() if name.endswith("weights")}
    assert len(refused(ours, theirs)) < 500
    assert len(refused({"a/weights": (2,)}, theirs)) < 500
    assert len(refused(LRN_CNN, theirs, f"conv1={'y' * 5000}")) < 900


def test_match_does_as_asked():
    theirs, mapping = renamed([f"Variable_{number}" for number in range(6)], BATCH_NORM)
    asked = [f"{name}={other}" for name, other in mapping.items() if other != "Variable_0"]
    swapped = {**mapping, "dense/beta": "Variable_3", "dense/gamma": "Variable_2"}
    assert weight_map.match(BATCH_NORM, theirs, (), asked) == mapping
    assert weight_map.match(BATCH_NORM, theirs, (), [
        f"{name}={other}" for name, other in swapped.items()]) == swapped
    # A scope stands for all of its variables, by their roles.
    theirs, _ = renamed([f"{scope}/{role}" for scope in "zyx" for role in ("w", "b")], THREE)
    assert weight_map.match(THREE, theirs, (), ["conv1=y", "conv2=z", "conv3=x"]) == {
        f"conv{number}/{role}": f"{scope}/{role[0]}" for number, scope in ((1, "y"), (2, "z"),
                                                                       (3, "x"))
        for role in ("weights", "biases")}
    # The variable itself instead of its moving average; a later word counts.
    theirs = {**LRN_CNN, f"conv1/biases/{weight_map.AVERAGE}": (64,)}
    asked = ["conv1=new", "conv1/biases=conv1/biases", "output=new", "output=output"]
    assert weight_map.match(LRN_CNN, theirs, OUTPUT, asked) == {
        **{name: name for name in LRN_CNN}, "conv1/weights": "new"}


@pytest.mark.parametrize("asked, message", [
    ("conv9=a", "--map conv9=a: expected OURS=THEIRS, where OURS is one of conv1/weights"),
    ("conv1", "expected OURS=THEIRS"), ("conv1=", "expected OURS=THEIRS"), ("=new", "expected"),
    ("conv1=local1", "X has no one variable local1 for conv1/weights 5x5x1x64"),
    ("conv1/biases=dense/biases", "dense/biases has the shape 1024, conv1/biases has 64"),
    ("conv1=dense", "dense/weights has the shape 2304x1024, conv1/weights has 5x5x1x64"),
    ("conv1=conv1/weights", "conv1/weights has the shape 5x5x1x64, conv1/biases has 64")])
def test_match_refuses_requests_without_sense(asked, message):
    assert message in refused(LRN_CNN, LRN_CNN, asked)
