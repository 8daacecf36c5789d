"""Check a saved graph before TensorFlow loads it: a graph is a program, and may do harm.

    read_meta_graph   read and check a .meta file
    read_saved_model  read and check a saved_model.pb
    check_tensors     check that an imported graph has the tensors that the scripts use

A graph can read and write files, open connections and call Python. The graphs of this project do
nothing of the kind. So only operations on the list ALLOWED (pure computation) are accepted, in the
graph and in its function library (bodies of loops and branches), and those that the run's own
network uses. FILE_OPERATIONS, the operations of a saver, touch files. They must stay in the saver's
scopes, on which nothing outside may depend, and restoring may only read the file that is fed.

A file is read once, so what was checked is what is used. A refused graph never reaches TensorFlow.
An accepted one can still compute for ever, ask for all memory, or make TensorFlow abort. The safe
way to restore a stranger's run is `--via saver`, which takes the weights alone.
"""

import math
import pathlib
import re

import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tf1cifar import errors

# Operations that compute with their inputs and with the graph's variables. A test holds the graphs
# of all recipes against this list. Loops are on it because any network may have one.
ALLOWED = frozenset("""
    Abs AccumulateNV2 Add AddN AddV2 All Any ArgMax ArgMin Assign AssignAdd AssignAddVariableOp
    AssignSub AssignSubVariableOp AssignVariableOp AvgPool AvgPoolGrad BatchMatMulV2 BiasAdd
    BiasAddGrad Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Cast Ceil CheckNumerics
    ClipByValue ConcatOffset ConcatV2 Const ControlTrigger Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput Cos Cumprod Cumsum DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter
    DepthwiseConv2dNativeBackpropInput DivNoNan DynamicPartition DynamicStitch Elu EluGrad
    EmptyTensorList Enter Equal Erf Exit Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod
    FusedBatchNormGradV3 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual
    HistogramSummary Identity IdentityN If ImageSummary InvertPermutation IsFinite IsInf IsNan
    L2Loss LRN LRNGrad LeakyRelu LeakyReluGrad Less LessEqual LinSpace Log Log1p LogSoftmax
    LogicalAnd LogicalNot LogicalOr LoopCond MatMul Max MaxPool MaxPoolGrad MaxPoolV2 Maximum Mean
    Merge MergeSummary Min Minimum MirrorPad Mul Neg NextIteration NoOp NotEqual OneHot OnesLike
    OptionalFromValue OptionalGetValue OptionalHasValue OptionalNone Pack Pad PadV2 Placeholder
    PlaceholderWithDefault Pow PreventGradient Prod RandomStandardNormal RandomUniform Range Rank
    ReadVariableOp RealDiv Reciprocal ReciprocalGrad RefEnter RefExit RefIdentity RefMerge
    RefNextIteration RefSwitch Relu Relu6 Relu6Grad ReluGrad Reshape ResourceApplyAdam
    ResourceApplyGradientDescent ResourceApplyKerasMomentum ResourceApplyMomentum ResourceGather
    ResourceStridedSliceAssign ReverseV2 Rint Round Rsqrt RsqrtGrad ScalarSummary ScatterAdd
    ScatterNd Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid SigmoidGrad Sign Sin Size Slice
    Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad SparseSoftmaxCrossEntropyWithLogits
    Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze StackPopV2 StackPushV2 StackV2
    StatelessIf StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomNormalV2
    StatelessRandomUniformFullIntV2 StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessTruncatedNormalV2 StatelessWhile StaticRegexFullMatch StopGradient StridedSlice
    StridedSliceGrad StringJoin Sub Sum Switch Tan Tanh TanhGrad TensorArrayGatherV3
    TensorArrayGradV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArrayV3
    TensorArrayWriteV3 TensorListConcatV2 TensorListElementShape TensorListFromTensor
    TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListScatterIntoExistingList TensorListScatterV2
    TensorListSetItem TensorListStack Tile TopKV2 Transpose TruncatedNormal Unpack
    UnsortedSegmentSum VarHandleOp VarIsInitializedOp VariableShape VariableV2 Where While Xdivy
    Xlogy ZerosLike
    """.split())

FILE_OPERATIONS = ("SaveV2", "RestoreV2", "ShardedFilename", "MergeV2Checkpoints")
SAVER_SCOPE = re.compile(r"save(_\d+)?/")

MAX_NUMBERS = 2 ** 31  # of a tensor whose shape a graph states; more is no network of images

# The tensors by which a graph is fed and asked: name, dtype, rank.
TENSORS = (("images:0", tf.float32, 4), ("labels:0", tf.int64, 1), ("logits:0", tf.float32, 2),
           ("probabilities:0", tf.float32, 2), ("loss:0", tf.float32, 0),
           ("global_step:0", tf.int64, 0))


def read_meta_graph(path, build=None):
    """Read and check the graph in a .meta file.

    Args:
      path: path of the file.
      build: see `check`.

    Returns:
      A MetaGraphDef for `tf.train.import_meta_graph`.

    Raises:
      errors.UserError: the graph is refused; nothing of it was run.
      errors.Failure: the file is missing or damaged; the message names it.
    """
    graph = _parsed(path, tf.MetaGraphDef())
    check(graph, path, build)
    return graph


def read_saved_model(directory, build=None):
    """Read and check the graphs of the SavedModel in `directory`.

    Returns:
      The MetaGraphDef that is tagged for serving.

    Raises:
      As `read_meta_graph`.
    """
    # TensorFlow reads saved_model.pb if it exists, and then no file of another name.
    path = pathlib.Path(directory) / "saved_model.pb"
    graphs = _parsed(path, SavedModel()).meta_graphs
    for graph in graphs:
        check(graph, path, build)
    for graph in graphs:
        if list(graph.meta_info_def.tags) == [tf.saved_model.tag_constants.SERVING]:
            return graph
    raise errors.Failure(f"{path}: has no graph for serving")


def _parsed(path, message):
    try:
        message.ParseFromString(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise errors.Failure(f"{path}: cannot be read ({error.strerror})") from error
    except (DecodeError, ValueError) as error:
        raise errors.Failure(f"{path}: not a graph that can be read ({error})") from error
    return message


def check(graph, path, build=None):
    """Raise an `errors.UserError` if a graph may do more than compute.

    Args:
      graph: a MetaGraphDef.
      path: the path it was read from, for the message.
      build: function without arguments that builds the run's graph in the default graph. The
        operations of that graph are accepted too, so that a reader's own network may use any.
    """
    def refuse(reason):
        raise errors.UserError(
            f"{path}: refused, nothing of it was run: {reason}. A graph is a program. If this "
            "operation only computes, add it to ALLOWED in tf1cifar/training/graph_check.py; "
            "--via saver takes the weights alone")

    # TensorFlow's loader would run or feed these by itself. Our SavedModels have none of them.
    constants = tf.saved_model.constants
    if graph.asset_file_def or constants.ASSETS_KEY in graph.collection_def:
        refuse("it asks for files as its assets")
    if ({constants.MAIN_OP_KEY, constants.LEGACY_INIT_OP_KEY} & set(graph.collection_def)
            or "__saved_model_init_op" in graph.signature_def):
        refuse("it has an operation that runs when it is loaded")

    functions = [(f" in the function {function.signature.name}", node)
                 for function in graph.graph_def.library.function for node in function.node_def]
    nodes = [("", node) for node in graph.graph_def.node]
    allowed = ALLOWED
    if build and not all(node.op in ALLOWED or node.op in FILE_OPERATIONS
                         for _, node in functions + nodes):
        allowed = ALLOWED | _operations(build) - set(FILE_OPERATIONS)
    for where, node in functions + nodes:
        saver = SAVER_SCOPE.match(node.name) and not where
        if node.op not in (FILE_OPERATIONS if saver else ()) and node.op not in allowed:
            refuse(f"{node.name}{where} is the operation {node.op}")
        for source in map(_operation, node.input):
            if not where and SAVER_SCOPE.match(source) and not saver:
                refuse(f"{node.name} takes {source}, which belongs to the saver")
    _check_restoring(graph, refuse)


def _operations(build):
    """The types of all operations in the graph that `build` builds, and in its functions."""
    with tf.Graph().as_default() as graph:
        build()
        definition = graph.as_graph_def()
    return {node.op for nodes in (
        definition.node, *(function.node_def for function in definition.library.function))
        for node in nodes}


def _check_restoring(graph, refuse):
    """Refuse a graph whose restore op does anything but read the checkpoint whose name is fed."""
    saver, nodes = graph.saver_def, {node.name: node for node in graph.graph_def.node}
    file_name = _operation(saver.filename_tensor_name)
    if file_name not in nodes or nodes[file_name].op not in ("Placeholder",
                                                             "PlaceholderWithDefault"):
        refuse(f"its saver takes no file name ({saver.filename_tensor_name or 'none'})")
    waiting, seen = [_operation(saver.restore_op_name)], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        node = nodes[name]
        sources = list(map(_operation, node.input))
        if node.op in FILE_OPERATIONS and (node.op != "RestoreV2" or sources[:1] != [file_name]):
            refuse(f"restoring it runs {name}, the operation {node.op}, on a file of its own")
        waiting += sources


def _operation(source):
    """The operation's name in the name of an input: 'a' of 'a:0' and of '^a'."""
    return source.removeprefix("^").partition(":")[0]


def check_tensors(graph, image_shape, num_classes, path):
    """Raise an `errors.Failure` unless an imported graph has the tensors of this project's graphs.

    Args:
      graph: a `tf.Graph`.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      path: the path it was read from, for the message.
    """
    shapes = {"images:0": [None, *image_shape], "logits:0": [None, num_classes],
              "probabilities:0": [None, num_classes]}
    try:
        graph.get_operation_by_name("use_averages")
        for name, dtype, rank in TENSORS:
            tensor = graph.get_tensor_by_name(name)
            shape = shapes.get(name, [None] * rank)
            if tensor.dtype.base_dtype != dtype or not tensor.shape.is_compatible_with(shape):
                raise ValueError(f"{name} is {tensor.dtype.name} {tensor.shape}, expected "
                                 f"{dtype.name} {shape}")
        for operation in graph.get_operations():
            for tensor in operation.outputs:
                if tensor.shape.rank and math.prod(
                        size or 1 for size in tensor.shape.as_list()) > MAX_NUMBERS:
                    raise ValueError(f"{tensor.name} has the shape {tensor.shape}, expected at "
                                     f"most {MAX_NUMBERS:,} numbers")
    except (KeyError, ValueError) as error:
        raise errors.Failure(f"{path}: not the graph of this run; {error.args[0]}") from error
