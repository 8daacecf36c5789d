"""Graphs of others: pure computation is accepted, any other graph is refused before it runs."""

import dataclasses
import os
import pathlib
import shutil

import pytest
import tensorflow.compat.v1 as tf
from support.runs import train
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry

from tf1cifar import errors, graph, recipes
from tf1cifar.data import preparation
from tf1cifar.training import graph_check, restore

RECIPE = dataclasses.replace(recipes.RECIPES["hinge"], epochs=1, moving_average=0.9,
                             summary_every=0)

# Changes of the recipes, so that every loss, optimizer, schedule and precision is in some graph.
GRAPHS = {
    "hinge": {"moving_average": 0.9},
    "softmax": {"loss": "hinge", "optimizer": "momentum", "schedule": "steps"},
    "two_layer_fc": {"schedule": "exponential", "precision": "float32"},
    "lrn_cnn": {"precision": "bfloat16", "moving_average": 0.9, "l2": 0.01},
    "dropout_cnn": {"optimizer": "momentum", "precision": "bfloat16"},
    "batchnorm_cnn": {"precision": "bfloat16"},
    "tutorial_cnn": {"optimizer": "adam", "precision": "bfloat16", "lrn": "native"},
}


# ---------------------------------------------------------------------------------------
# Graphs of this project


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_read_meta_graph_accepts_every_recipe(name, tmp_path):
    """If a network has a new operation, add it to `graph_check.ALLOWED` if it only computes."""
    recipe = dataclasses.replace(recipes.RECIPES[name], **GRAPHS.get(name, {}))
    image = (28, 28, 1) if recipe.dataset == "mnist" else (32, 32, 3)
    with tf.Graph().as_default():
        graph.build(recipe, preparation.prepared_shape(image, recipe.preparation), 10, 900)
        savers = [tf.train.Saver(), tf.train.Saver(), tf.train.Saver(sharded=True)]
        for number, saver in enumerate(savers):
            path = tmp_path / f"{number}.meta"
            saver.export_meta_graph(str(path))
            assert len(graph_check.read_meta_graph(path).graph_def.node) > 100


@pytest.fixture(params=["TensorFlow 1's", "functions"])
def control_flow(request):
    """Enable one kind of loops and branches; the names of its operations."""
    before, functions = tf.control_flow_v2_enabled(), request.param == "functions"
    (tf.enable_control_flow_v2 if functions else tf.disable_control_flow_v2)()
    yield {"While", "If"} if functions else {"Enter", "Exit", "Switch", "NextIteration"}
    (tf.enable_control_flow_v2 if before else tf.disable_control_flow_v2)()


def test_read_meta_graph_accepts_loops_and_branches(control_flow, tmp_path):
    with tf.Graph().as_default():
        x = tf.get_variable("x", [3, 2])
        _, rows = tf.while_loop(lambda i, _: i < 3,
                                lambda i, rows: (i + 1, rows.write(i, tf.gather(x, i))),
                                [0, tf.TensorArray(tf.float32, 3)])
        loss = tf.reduce_sum(tf.cond(x[0, 0] > 0, rows.stack, lambda: tf.tanh(x)))
        tf.train.AdamOptimizer().minimize(loss)
        tf.train.Saver().export_meta_graph(str(tmp_path / "x.meta"))
    graph = graph_check.read_meta_graph(tmp_path / "x.meta")
    assert control_flow <= {node.op for node in graph.graph_def.node}


def test_allowed_operations_exist_and_touch_nothing():
    for name in (*graph_check.ALLOWED, *graph_check.FILE_OPERATIONS):
        assert op_def_registry.get(name), name
    words = ("File", "Read", "Write", "Save", "Restore", "Py", "Socket", "Rpc", "Send", "Recv",
             "Print", "Record", "Iterator", "Dataset", "Xla", "Load", "Host", "Checkpoint",
             "Shard", "Summary", "Queue", "Table", "Call")
    suspicious = {name for name in graph_check.ALLOWED if any(word in name for word in words)}
    assert suspicious == {
        "ReadVariableOp", "TensorArrayReadV3", "TensorArrayWriteV3",
        # these serialize summaries and write no file
        "HistogramSummary", "ImageSummary", "MergeSummary", "ScalarSummary"}


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    return train(RECIPE, dataset, tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("via", ["saver", "meta_graph", "saved_model"])
def test_restored_accepts_our_own_run(run, via):
    with restore.restored(run, via=via, device="cpu") as (session, _):
        assert session.run("global_step:0") == 2


# ---------------------------------------------------------------------------------------
# Graphs of others


def write_file(marker):
    return tf.io.write_file(str(marker), "x")


def in_function(marker):
    """The operation is in a branch of a tf.cond, so it is in the graph's library of functions."""
    def bad():
        with tf.control_dependencies([write_file(marker)]):
            return tf.constant(1.0)
    return tf.cond(tf.placeholder_with_default(True, []), bad, lambda: tf.constant(2.0)).op


def py_func(marker):
    return tf.py_func(lambda: marker.touch() or 1.0, [], tf.float32).op


def save_by_itself(marker):
    return tf.raw_ops.SaveV2(prefix=str(marker), tensor_names=["x"], shape_and_slices=[""],
                             tensors=[tf.constant(1.0)])


def save_in_the_scope_of_savers(marker):
    with tf.name_scope("save_9/"):
        return save_by_itself(marker)


def print_to_a_file(marker):
    return tf.raw_ops.PrintV2(input="x", output_stream=f"file://{marker}")


def read_file(marker):
    return tf.io.read_file("/etc/hostname").op


def restore_another_file(marker):
    return tf.raw_ops.RestoreV2(prefix="/etc/x", tensor_names=["x"], shape_and_slices=[""],
                                dtypes=[tf.float32])[0].op


def list_files(marker):
    return tf.io.matching_files("/etc/*").op


def merge_checkpoints(marker):
    """The operation deletes the folders of the checkpoints that it merges."""
    return tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=["/tmp/x"],
                                         destination_prefix=str(marker))


def text_dataset(marker):
    data = tf.data.TextLineDataset("/etc/hostname")
    return tf.data.make_one_shot_iterator(data).get_next().op


HOSTILE = [
    (write_file, "WriteFile"), (in_function, "WriteFile"), (py_func, "PyFunc"),
    (save_by_itself, "SaveV2"), (save_in_the_scope_of_savers, "belongs to the saver"),
    (print_to_a_file, "PrintV2"), (read_file, "ReadFile"), (restore_another_file, "RestoreV2"),
    (list_files, "MatchingFiles"), (merge_checkpoints, "MergeV2Checkpoints"),
    (text_dataset, "Dataset"),
]


def refused(folder, via, marker, *words):
    with (pytest.raises(errors.UserError) as caught,
          restore.restored(folder, via=via, device="cpu")):
        pytest.fail("the graph was accepted")
    message = str(caught.value)
    assert "refused, nothing of it was run" in message and "\n" not in message
    file = ".meta" if via == "meta_graph" else "saved_model.pb"
    for word in (str(folder.path), file, "--via saver", *words):
        assert word in message
    assert not os.path.exists(marker) and not list(marker.parent.glob(f"{marker.name}*"))


def copied(run, path):
    shutil.copytree(run.path, path, dirs_exist_ok=True)
    return type(run)(path)


def rewritten(folder, via, change):
    """Apply the function `change` to the graph in the file that `via` reads."""
    if via == "meta_graph":
        file, content = folder.checkpoint_path() + ".meta", tf.MetaGraphDef()
    else:
        file, content = folder.saved_model / "saved_model.pb", SavedModel()
    with open(file, "rb") as source:
        content.ParseFromString(source.read())
    change(content if via == "meta_graph" else content.meta_graphs[0])
    with open(file, "wb") as out:
        out.write(content.SerializeToString())


def node(graph, name):
    (found,) = [node for node in graph.graph_def.node if node.name == name]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("make, word", HOSTILE, ids=lambda item: getattr(item, "__name__", ""))
def test_check_refuses_a_hostile_graph(run, tmp_path, make, word):
    """The harmful operation runs before `use_averages`, which restoring runs."""
    marker = tmp_path / "marker"
    with tf.Graph().as_default() as foreign, tf.name_scope("added"):
        harm = make(marker)
        added = foreign.as_graph_def()
    folder = copied(run, tmp_path / "run")

    def poison(graph):
        graph.graph_def.node.extend(added.node)
        graph.graph_def.library.MergeFrom(added.library)
        node(graph, "use_averages").input.append("^" + harm.name)

    for via in ("meta_graph", "saved_model"):
        rewritten(folder, via, poison)
        refused(folder, via, marker, word)
    with restore.restored(folder, device="cpu") as (session, _):  # the weights are intact
        assert session.run("global_step:0") == 2


def test_check_prevents_real_harm(run, tmp_path, monkeypatch):
    """Without the check the file is written, so the test above tests the check."""
    marker = tmp_path / "marker"
    folder = copied(run, tmp_path / "run")
    with tf.Graph().as_default() as foreign:
        name = write_file(marker).name
        added = foreign.as_graph_def()

    def poison(graph):
        graph.graph_def.node.extend(added.node)
        node(graph, "use_averages").input.append("^" + name)

    rewritten(folder, "saved_model", poison)
    monkeypatch.setattr(graph_check, "check", lambda *_: None)
    with restore.restored(folder, via="saved_model", device="cpu"):
        assert marker.read_text() == "x"


@pytest.mark.slow
@pytest.mark.parametrize("change, word", [
    ("main op", "runs when it is loaded"), ("legacy init op", "runs when it is loaded"),
    ("init signature", "runs when it is loaded"), ("assets", "assets"),
    ("asset collection", "assets"), ("restore op", "SaveV2"), ("file name", "RestoreV2"),
    ("no file name", "takes no file name"), ("saver's file name", "RestoreV2"),
    ("weights", "belongs to the saver")])
def test_check_refuses_a_saver_or_loader_that_does_more(run, tmp_path, change, word):
    folder = copied(run, tmp_path / "run")

    def poison(graph):
        saver = graph.saver_def
        if change == "main op":
            graph.collection_def["saved_model_main_op"].node_list.value.append("use_averages")
        elif change == "legacy init op":
            graph.collection_def["legacy_init_op"].node_list.value.append("use_averages")
        elif change == "init signature":
            graph.signature_def["__saved_model_init_op"].outputs["x"].name = "use_averages"
        elif change == "assets":
            graph.asset_file_def.add(filename="../../etc/passwd").tensor_info.name = "logits:0"
        elif change == "asset collection":
            graph.collection_def["saved_model_assets"].any_list.value.add()
        elif change == "restore op":  # the restore operation also saves
            (save,) = [item.name for item in graph.graph_def.node if item.op == "SaveV2"
                       and item.name.startswith(saver.restore_op_name.split("/")[0] + "/")]
            node(graph, saver.restore_op_name).input.append("^" + save)
        elif change == "file name":
            (reading,) = [item for item in graph.graph_def.node if item.op == "RestoreV2"
                          and item.name.startswith(saver.restore_op_name.split("/")[0] + "/")]
            reading.input[0] = saver.restore_op_name.split("/")[0] + "/other"
            other = graph.graph_def.node.add(op="Const", name=reading.input[0])
            other.attr["dtype"].type = tf.string.as_datatype_enum
            other.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/hostname"))
        elif change == "no file name":
            saver.filename_tensor_name = "logits:0"
        elif change == "saver's file name":
            saver.filename_tensor_name = "images:0"
        else:
            scope = saver.restore_op_name.split("/")[0]
            node(graph, "logits").input[0] = f"{scope}/RestoreV2:0"

    for via in ("meta_graph", "saved_model"):
        rewritten(folder, via, poison)
        refused(folder, via, tmp_path / "marker", word)


def test_read_saved_model_checks_every_graph(run, tmp_path):
    folder = copied(run, tmp_path / "run")
    file, content = folder.saved_model / "saved_model.pb", SavedModel()
    content.ParseFromString(file.read_bytes())
    content.meta_graphs.add().graph_def.node.add(name="x", op="ReadFile")
    file.write_bytes(content.SerializeToString())
    refused(folder, "saved_model", tmp_path / "marker", "x is the operation ReadFile")


@pytest.mark.parametrize("via", ["meta_graph", "saved_model"])
def test_what_is_checked_is_what_is_used(run, tmp_path, monkeypatch, via):
    """A file that is exchanged after it was checked is not read again."""
    folder = copied(run, tmp_path / "run")
    check = graph_check.check

    def exchanged(graph, path, build=None):
        check(graph, path, build)
        pathlib.Path(path).write_bytes(b"another graph")

    monkeypatch.setattr(graph_check, "check", exchanged)
    with restore.restored(folder, via=via, device="cpu") as (session, _):
        assert session.run("global_step:0") > 0


@pytest.mark.parametrize("via", ["meta_graph", "saved_model"])
def test_check_tensors_refuses_a_shape_that_cannot_be(run, tmp_path, via):
    def vast(graph):
        for name, value in (("big/dims", [2 ** 18, 2 ** 18]), ("big/value", 1.0)):
            constant = graph.graph_def.node.add(op="Const", name=name)
            proto = tf.make_tensor_proto(value)
            constant.attr["dtype"].type = proto.dtype
            constant.attr["value"].tensor.CopyFrom(proto)
        fill = graph.graph_def.node.add(op="Fill", name="big/fill",
                                        input=["big/dims", "big/value"])
        fill.attr["T"].type = tf.float32.as_datatype_enum
        fill.attr["index_type"].type = tf.int32.as_datatype_enum

    folder = copied(run, tmp_path / "run")
    rewritten(folder, via, vast)
    with (pytest.raises(errors.Failure, match=r"big/fill:0 has the shape \(262144, 262144\)"),
          restore.restored(folder, via=via, device="cpu")):
        pytest.fail("the graph was accepted")


@pytest.mark.parametrize("via", ["meta_graph", "saved_model"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "other type",
                                    "other images", "no answer"])
def test_check_tensors_refuses_damaged_graphs_and_those_of_other_runs(run, tmp_path, via, damage):
    folder = copied(run, tmp_path / "run")
    file = (folder.saved_model / "saved_model.pb" if via == "saved_model"
            else pathlib.Path(folder.checkpoint_path() + ".meta"))
    if damage in ("empty", "cut", "text"):
        content = file.read_bytes()
        file.write_bytes({"empty": b"", "cut": content[:-7], "text": b"graph_def {}"}[damage])
    elif damage == "missing":
        file.unlink()
    elif damage == "other images":
        rewritten(folder, via, lambda graph: node(graph, "images").attr["shape"].shape.dim[1]
                  .__setattr__("size", 99))
    elif damage == "no answer":
        rewritten(folder, via, lambda graph: node(graph, "probabilities")
                  .__setattr__("name", "opinions"))
    else:
        rewritten(folder, via, lambda graph: node(graph, "logits").attr["T"]
                  .__setattr__("type", tf.int32.as_datatype_enum))
    with (pytest.raises((errors.Failure, errors.UserError)) as caught,
          restore.restored(folder, via=via, device="cpu")):
        pytest.fail("the graph was accepted")
    assert str(folder.path) in str(caught.value)
