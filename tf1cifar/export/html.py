"""One page with the network inside, which classifies photos in a browser without a server."""

import base64
import html
import json
import pathlib
import re

import numpy as np
import tensorflow.compat.v1 as tf

from tf1cifar import console, errors, files
from tf1cifar.export import inference

TEMPLATE = pathlib.Path(__file__).with_name("page.html")
PASSING = ("Identity", "IdentityN", "StopGradient", "PreventGradient")
ATTRIBUTES = ("alpha", "epsilon", "ksize", "padding", "strides")  # that the interpreter reads


def page(run, path):
    """Write a page that classifies dropped photos with the network of an `inference.Run`.

    The page has a small interpreter of TensorFlow's graphs. The weights of products and
    convolutions are float16 numbers, which halves the page.

    Raises:
      errors.Failure: the graph has an operation that the interpreter does not know.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    known = set(re.findall(r"^  ([A-Z]\w*)[(:]", template, re.MULTILINE))
    with inference.session(run, lambda: inference.placeholder_to_answers(run, 1)) as session:
        nodes, content = _nodes(inference.frozen(session), known, path.name)
    model = {"nodes": nodes, "classes": run.class_names, "shape": run.image_shape}
    title = f"{run.name} trained on {run.description['name']}"
    note = (f"Global step {run.step}. A photo's central part is resized to "
            f"{run.image_shape[1]}x{run.image_shape[0]} pixels.")
    parts = {"TITLE": html.escape(title), "NOTE": html.escape(note),
             # In a script element only "</" and "<!--" would be read as HTML.
             "MODEL": json.dumps(model).replace("<", "\\u003c"),
             "WEIGHTS": base64.b64encode(content).decode()}
    text = re.sub("__([A-Z]+)__", lambda match: parts[match[1]], template)
    with files.open_new(path) as out:
        out.write(text.encode())


def _nodes(graph_def, known, file):
    """The graph as the page's interpreter takes it.

    For one picture every shape is known, so shapes and all that follows from constants alone are
    computed here.

    Returns:
      (nodes, content): a list of dictionaries for JSON, the last one the logits; and the bytes of
      the constants.
    """
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.import_graph_def(graph_def, name="")
        operations = graph.get_operations()
        fixed = {tensor for operation in operations if operation.type != "Placeholder"
                 for tensor in operation.outputs if tensor.dtype == tf.int32}
        for operation in operations:  # in an order in which inputs come first
            if operation.type != "Placeholder" and fixed.issuperset(operation.inputs):
                fixed.update(operation.outputs)
        nodes, numbers, content = [], {}, bytearray()
        (images,) = [operation.outputs[0] for operation in operations
                     if operation.type == "Placeholder"]
        anything = {images: np.zeros(images.shape, np.uint8)}

        def value_of(tensor):
            return session.run(tensor, anything)

        def add(tensor):
            """The number of a tensor's node."""
            while tensor.op.type in PASSING and tensor not in fixed:
                tensor = tensor.op.inputs[tensor.value_index]
            if tensor not in numbers:
                node = {"op": "Const", **_constant(value_of(tensor), tensor, content)} \
                    if tensor in fixed else _operation(tensor, known, file, value_of, add)
                numbers[tensor] = len(nodes)
                nodes.append(node)
            return numbers[tensor]

        add(graph.get_tensor_by_name(f"{inference.OUTPUTS[0]}:0"))
    return nodes, bytes(content)


def _constant(value, tensor, content):
    """Append an array to `content`; its place and shape."""
    half = any(user.type in ("MatMul", "Conv2D") for user in tensor.consumers())
    content.extend(bytes(-len(content) % 4))
    offset = len(content)
    content.extend(np.asarray(value, "<f2" if half else "<f4").tobytes())
    return {"shape": list(value.shape), "offset": offset, "half": half}


def _operation(tensor, known, file, value_of, add):
    """The node of an operation's first output."""
    operation = tensor.op
    plain_slice = operation.type != "StridedSlice" or (
        len(tensor.shape) == len(operation.inputs[0].shape)
        and (value_of(operation.inputs[3]) == 1).all())
    if (operation.type not in {*known, "Placeholder"} or tensor.value_index or not plain_slice):
        raise errors.Failure(f"{file} cannot hold this network: its interpreter does not know the "
                             f"operation {operation.type} ({console.cut(operation.name)})")
    node = {"op": operation.type, "shape": tensor.shape.as_list()}
    for name in ATTRIBUTES:
        if name in operation.node_def.attr:
            value = operation.get_attr(name)
            node[name] = value.decode() if isinstance(value, bytes) else value
    inputs = list(operation.inputs)
    if operation.type in ("Sum", "Max"):
        rank = len(inputs[0].shape)
        node["axes"] = (np.ravel(value_of(inputs[1])) % rank).tolist()
        inputs = inputs[:1]
    elif operation.type == "StridedSlice":
        node["begin"] = [0 if operation.get_attr("begin_mask") >> axis & 1 else int(place)
                         for axis, place in enumerate(value_of(inputs[1]))]
        inputs = inputs[:1]
    elif operation.type == "Reshape":
        inputs = inputs[:1]
    return {**node, "inputs": [add(source) for source in inputs]}
