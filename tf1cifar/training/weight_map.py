"""The mapping of a network's weights to the variables of a checkpoint, by names and shapes alone.

    match       the mapping
    candidates  the variables of a checkpoint that may be weights
    NEW         stands in a mapping for a weight that keeps its initial value

The checkpoint may come from any program: `conv1/weights`, `conv2d_1/kernel`, `W1`, `b_out` and the
unnamed `Variable_3` are all in use. A wrong guess between variables of one shape would go
unnoticed. So `match` compares the roles (weights, biases, ...), follows a shape only where one
variable is left or the names differ in a number alone, and refuses everything else.

This module imports neither TensorFlow nor NumPy.
"""

import re

from tf1cifar import console, errors

NEW = "new"
AVERAGE = "ExponentialMovingAverage"  # the last part of the name of a variable's moving average

ROLES = {"weights": "weights?|kernels?|filters?|w", "biases": "bias(?:es)?|b", "beta": "beta",
         "gamma": "gamma", "moving_mean": "moving_mean",
         "moving_variance": "moving_var(?:iance)?"}
# The word stands before or after the layer's own name: W1, b_out, wc1, conv1_weights.
WORD = re.compile("(?:^|(?<=[_.-]))(?:" + "|".join(
    f"(?P<{role}>{words})" for role, words in ROLES.items())
    + r")(?=$|[_.\d-]|[cd]\d|conv|fc|dense|out)", re.IGNORECASE)
NUMBER = re.compile(r"_?(\d+)(?=$|[_.-])")


def match(ours, theirs, last=(), asked=(), where="the checkpoint"):
    """Find the variable of a checkpoint for every weight of a network.

    Args:
      ours: dictionary, name -> shape of every weight, in the order of the layers. A shape is a
        tuple of int.
      theirs: dictionary, name -> shape of every floating-point variable of the checkpoint.
      last: names in `ours` of the last layer, which stays new if it does not fit.
      asked: list of 'OURS=THEIRS', which come before all guesses. OURS is a weight or the scope of
        some, THEIRS a variable, a scope, or NEW.
      where: name of the checkpoint, for messages.

    Returns:
      A dictionary, name in `ours` -> name in `theirs` or NEW, in the order of `ours`.

    Raises:
      errors.UserError: a weight has no variable, or may have one of several; or `asked` names
        something that is not there.
    """
    found = {}
    for text in asked:
        found.update(_asked(text, ours, theirs, where))
    named = set(found)
    free = candidates(theirs)

    def rest():
        used = set(found.values())
        return ({name: shape for name, shape in ours.items() if name not in found},
                {name: shape for name, shape in free.items() if name not in used})

    found.update(_by_name(*rest(), set(last)))
    while pairs := _by_layer(found, *rest()) or _by_shape(*rest()):
        found.update(pairs)
    left, free = rest()
    for name, shape in left.items():
        fitting = [other for other in free if _may_be(name, shape, other, free[other])]
        if fitting:
            raise errors.UserError(
                f"{where}: {name} {shape_text(shape)} may be any of "
                f"{console.cut(', '.join(fitting))}; say which with --map {name}=THEIRS")
        if name not in last:
            raise errors.UserError(
                f"{where}: no variable there fits {name} {shape_text(shape)}{_shown(free)}; name "
                f"it with --map {name}=THEIRS, or let it start anew with --map {name}={NEW}")
    if any(name in left for name in last):  # half of a layer is of no use
        found.update((name, NEW) for name in last if name not in named)
    return {name: found[name] for name in ours}


def candidates(theirs):
    """The variables that may be weights: `theirs` without the slots of optimizers.

    The moving average of a variable takes the variable's place, since programs that have one
    evaluate with it.
    """
    kept = dict(theirs)
    for name, shape in theirs.items():
        owner, _, kind = name.rpartition("/")
        while owner and theirs.get(owner) != shape:
            owner = owner.partition("/")[2]  # slots may be in a scope of their own
        if owner:
            kept.pop(owner if kind == AVERAGE else name, None)
    return kept


def _asked(text, ours, theirs, where):
    """The pairs of one 'OURS=THEIRS'."""
    target, _, source = text.partition("=")
    flag = f"--map {console.cut(text)}"
    weights = [name for name in ours if name == target or name.startswith(f"{target}/")]
    if not weights or not source:
        raise errors.UserError(f"{flag}: expected OURS=THEIRS, where OURS is one of "
                               f"{console.cut(', '.join(ours))}, or a scope such as "
                               f"{next(iter(ours)).partition('/')[0]}")
    if source == NEW:
        return dict.fromkeys(weights, NEW)
    pairs = {}
    inside = {name: shape for name, shape in candidates(theirs).items()
              if name.startswith(f"{source}/")}
    for name in weights:
        if source in theirs:
            fitting = [source]
        else:
            fitting = [other for other in inside if _role(other) == _role(name)]
        if len(fitting) != 1:
            raise errors.UserError(f"{flag}: {where} has no one variable {console.cut(source)} for "
                                   f"{name} {shape_text(ours[name])}{_shown(inside or theirs)}")
        if theirs[fitting[0]] != ours[name]:
            raise errors.UserError(
                f"{flag}: {console.cut(fitting[0])} has the shape {shape_text(theirs[fitting[0]])},"
                f" {name} has {shape_text(ours[name])}")
        pairs[name] = fitting[0]
    return pairs


# ---------------------------------------------------------------------------------------
# The guesses


def _parts(name):
    """(layer, role) of a variable; the role is '' if its name does not say it."""
    scope, _, word = name.removesuffix(f"/{AVERAGE}").rpartition("/")
    found = WORD.search(word)
    if not found:
        return f"{scope}/{word}", ""
    return f"{scope}/{word[:found.start()]}{word[found.end():]}", found.lastgroup


def _role(name):
    return _parts(name)[1]


def _may_be(name, shape, other, other_shape):
    return shape == other_shape and _role(other) in ("", _role(name))


def _by_name(left, free, last):
    """The pairs of layers that have the same name in both.

    One layer whose shapes differ shows that the names mean other layers there; then no name counts.
    The last layer may differ, since it may have other classes.
    """
    theirs = {_parts(name): name for name in free if _role(name)}
    pairs = {name: theirs[_parts(name)] for name in left if _parts(name) in theirs}
    wrong = {name for name, other in pairs.items() if left[name] != free[other]}
    if wrong - last:
        return {}
    return {name: other for name, other in pairs.items() if not (wrong and name in last)}


def _by_layer(found, left, free):
    """The pairs whose layers are paired already, such as biases beside weights."""
    layers = {_parts(name)[0]: _parts(other)[0] for name, other in found.items()
              if other != NEW and _role(other)}
    theirs = {_parts(name): name for name in free if _role(name)}
    pairs = {}
    for name, shape in left.items():
        layer, role = _parts(name)
        other = theirs.get((layers.get(layer), role))
        if other and free[other] == shape:
            pairs[name] = other
    return pairs


def _by_shape(left, free):
    """The pairs of the first group of one role and shape that leaves no choice."""
    for shape in dict.fromkeys(left.values()):
        same = [name for name in left if left[name] == shape]
        for role in dict.fromkeys(map(_role, same)):
            group = [name for name in same if _role(name) == role]
            others = [name for name in free if free[name] == shape and _role(name) == role]
            unnamed = [name for name in free if free[name] == shape and not _role(name)]
            if not others and group == same:  # of several roles, names without one say nothing
                others, unnamed = unnamed, []
            others = _in_order(others)
            if others and len(group) == len(others) and not unnamed:
                return dict(zip(group, others))
    return {}


def _in_order(names):
    """`names` in the order of the number in which alone they differ; [] if they differ otherwise.

    TensorFlow leaves out the number of the first one: Variable, Variable_1; conv2d, conv2d_1.
    """
    if len(names) == 1:
        return names
    keys = {}
    for name in names:
        parts = [(NUMBER.sub("", part), [int(number[:9]) for number in NUMBER.findall(part)] or [0])
                 for part in name.split("/")]
        words, numbers = zip(*parts)
        keys[name] = words, tuple(map(len, numbers)), sum(numbers, [])
    if len({key[:2] for key in keys.values()}) > 1:
        return []
    columns = zip(*(key[2] for key in keys.values()))
    differing = [column for column in columns if len(set(column)) > 1]
    if len(differing) != 1 or len(set(differing[0])) < len(names):
        return []
    return sorted(names, key=lambda name: keys[name][2])


# ---------------------------------------------------------------------------------------
# Words


def shape_text(shape):
    """(5, 5, 1, 64) as '5x5x1x64'."""
    return "x".join(map(str, shape)) or "(one number)"


def _shown(variables):
    """'; there are: ...' with names and shapes, cut."""
    listed = ", ".join(f"{name} {shape_text(shape)}" for name, shape in variables.items())
    return f"; there are {console.cut(listed)}" if listed else "; nothing is left there"
