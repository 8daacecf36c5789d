"""What a saved graph may contain: a graph is a program, and others' may do harm.

    meta_graph   read a .meta file and check it
    saved_model  read a saved_model.pb and check it

A graph can read and write files, open connections and call Python. Ours do nothing of the
kind, so only operations that compute are let in, those of ours among them, wherever they stand:
in the graph or in its functions (bodies of loops and branches). Four of them touch files, those
of a saver. They must stay in the saver's own scopes, which nothing outside depends on, and
restoring reads from the file name that is fed and writes nowhere.

What is refused is refused before TensorFlow sees it. What is let in can still compute for ever
or ask for all memory.
"""

import pathlib
import re

import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import console

# Operations that compute with what they are given and with the graph's variables. A test builds
# every recipe's graph and holds it against these; loops are let in as any network may have them.
ALLOWED = frozenset("""
    Abs AccumulateNV2 Add AddN AddV2 All Any ArgMax ArgMin Assign AssignAdd AssignAddVariableOp
    AssignSub AssignSubVariableOp AssignVariableOp AvgPool AvgPoolGrad BatchMatMulV2 BiasAdd
    BiasAddGrad Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Cast Ceil CheckNumerics
    ClipByValue ConcatOffset ConcatV2 Const ControlTrigger Conv2D Conv2DBackpropFilter
    Conv2DBackpropInput Cos Cumprod Cumsum DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput DivNoNan
    DynamicPartition DynamicStitch Elu EluGrad EmptyTensorList Enter Equal Erf Exit Exp ExpandDims
    Expm1 Fill Floor FloorDiv FloorMod FusedBatchNormGradV3 FusedBatchNormV3 Gather GatherNd
    GatherV2 Greater GreaterEqual HistogramSummary Identity IdentityN If ImageSummary
    InvertPermutation IsFinite IsInf IsNan L2Loss LRN LRNGrad LeakyRelu LeakyReluGrad Less
    LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot LogicalOr LoopCond MatMul Max
    MaxPool MaxPoolGrad MaxPoolV2 Maximum Mean Merge MergeSummary MergeV2Checkpoints Min Minimum
    MirrorPad Mul Neg NextIteration NoOp NotEqual OneHot OnesLike OptionalFromValue
    OptionalGetValue OptionalHasValue OptionalNone Pack Pad PadV2 Placeholder
    PlaceholderWithDefault Pow PreventGradient Prod RandomStandardNormal RandomUniform Range Rank
    ReadVariableOp RealDiv Reciprocal ReciprocalGrad RefEnter RefExit RefIdentity RefMerge
    RefNextIteration RefSwitch Relu Relu6 Relu6Grad ReluGrad Reshape ResourceApplyAdam
    ResourceApplyGradientDescent ResourceApplyKerasMomentum ResourceApplyMomentum ResourceGather
    ResourceStridedSliceAssign RestoreV2 ReverseV2 Rint Round Rsqrt RsqrtGrad SaveV2 ScalarSummary
    ScatterAdd ScatterNd Select SelectV2 Selu SeluGrad Shape ShapeN ShardedFilename Sigmoid
    SigmoidGrad Sign Sin Size Slice Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad
    SparseSoftmaxCrossEntropyWithLogits Split SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze
    StackPopV2 StackPushV2 StackV2 StatelessIf StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomNormalV2 StatelessRandomUniformFullIntV2 StatelessRandomUniformIntV2
    StatelessRandomUniformV2 StatelessTruncatedNormalV2 StatelessWhile StaticRegexFullMatch
    StopGradient StridedSlice StridedSliceGrad StringJoin Sub Sum Switch Tan Tanh TanhGrad
    TensorArrayGatherV3 TensorArrayGradV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArrayV3 TensorArrayWriteV3 TensorListConcatV2 TensorListElementShape TensorListFromTensor
    TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListScatterIntoExistingList TensorListScatterV2
    TensorListSetItem TensorListStack Tile TopKV2 Transpose TruncatedNormal Unpack
    UnsortedSegmentSum VarHandleOp VarIsInitializedOp VariableShape VariableV2 Where While Xdivy
    Xlogy ZerosLike
    """.split())

FILE_OPERATIONS = ("SaveV2", "RestoreV2", "ShardedFilename", "MergeV2Checkpoints")
SAVER_SCOPE = re.compile(r"save(_\d+)?/")

# What a graph must hold to be tested and used: name, type, shape without the image's sizes.
TENSORS = (("images:0", tf.float32, 4), ("labels:0", tf.int64, 1), ("logits:0", tf.float32, 2),
           ("probabilities:0", tf.float32, 2), ("loss:0", tf.float32, 0),
           ("global_step:0", tf.int64, 0))


def meta_graph(path):
    """The graph in a .meta file, as a MetaGraphDef for `tf.train.import_meta_graph`.

    Raises:
      console.UserError: it contains what none of our graphs does; nothing of it was run.
      console.Failure: the file is missing or damaged; the message names it.
    """
    graph = _parsed(path, tf.MetaGraphDef())
    _check(graph, path)
    return graph


def saved_model(directory):
    """Check the graphs of the SavedModel in `directory`.

    Raises:
      As `meta_graph`.
    """
    # Where there is a saved_model.pb, TensorFlow reads that and no file of another name.
    path = pathlib.Path(directory) / "saved_model.pb"
    for graph in _parsed(path, SavedModel()).meta_graphs:
        _check(graph, path)


def _parsed(path, message):
    try:
        message.ParseFromString(pathlib.Path(path).read_bytes())
    except OSError as error:
        raise console.Failure(f"{path}: cannot be read ({error.strerror})") from error
    except (DecodeError, ValueError) as error:
        raise console.Failure(f"{path}: not a graph that can be read ({error})") from error
    return message


def _check(graph, path):
    def refuse(what):
        raise console.UserError(
            f"{path}: refused, nothing of it was run: {what}. A graph is a program, and this one "
            "is not of our making; --via saver takes the weights alone")

    # What TensorFlow's loader would run or feed by itself; our SavedModels have none of it.
    constants = tf.saved_model.constants
    if graph.asset_file_def or constants.ASSETS_KEY in graph.collection_def:
        refuse("it asks for files as its assets")
    if ({constants.MAIN_OP_KEY, constants.LEGACY_INIT_OP_KEY} & set(graph.collection_def)
            or "__saved_model_init_op" in graph.signature_def):
        refuse("it has an operation that runs when it is loaded")

    for function in graph.graph_def.library.function:
        for node in function.node_def:
            if node.op not in ALLOWED or node.op in FILE_OPERATIONS:
                refuse(f"{node.name} in the function {function.signature.name} is the operation "
                       f"{node.op}")
    for node in graph.graph_def.node:
        saver = SAVER_SCOPE.match(node.name)
        if node.op not in ALLOWED or node.op in FILE_OPERATIONS and not saver:
            refuse(f"{node.name} is the operation {node.op}")
        for source in map(_operation, node.input):
            if SAVER_SCOPE.match(source) and not saver:
                refuse(f"{node.name} takes {source}, which is the saver's own")
    _check_restoring(graph, refuse)


def _check_restoring(graph, refuse):
    """Refuse a saver whose restoring does more than to read the file that it is told to."""
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
    """The operation's name in that of an input: 'a' of 'a:0' and of '^a'."""
    return source.removeprefix("^").partition(":")[0]


def check_tensors(graph, image_shape, num_classes, path):
    """Raise a `console.Failure` unless an imported graph can be fed and asked as ours can.

    Args:
      graph: a `tf.Graph`.
      image_shape: (height, width, channels) of prepared images.
      num_classes: number of classes.
      path: what the graph was read from.
    """
    shapes = {"images:0": [None, *image_shape], "logits:0": [None, num_classes],
              "probabilities:0": [None, num_classes]}
    try:
        graph.get_operation_by_name("use_averages")
        for name, kind, rank in TENSORS:
            tensor = graph.get_tensor_by_name(name)
            shape = shapes.get(name, [None] * rank)
            if tensor.dtype.base_dtype != kind or not tensor.shape.is_compatible_with(shape):
                raise ValueError(f"{name} is {tensor.dtype.name} {tensor.shape}, expected "
                                 f"{kind.name} {shape}")
    except (KeyError, ValueError) as error:
        raise console.Failure(f"{path}: not the graph of this run; {error.args[0]}") from error
