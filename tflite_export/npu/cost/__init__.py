"""What each operator costs: ``cost(op, tensors, machine, seen) -> Cost``, one entry an op kind.

Adding an op: write the function in a file of this folder, add the line here.
"""

from collections.abc import Callable, Sequence

from tflite_export.ir import Op, Tensor
from tflite_export.npu.cost.convolution import conv_2d, depthwise_conv_2d, transpose_conv
from tflite_export.npu.cost.elementwise import each_element, l2_normalization, resize_bilinear, softmax
from tflite_export.npu.cost.fully_connected import fully_connected
from tflite_export.npu.cost.movement import gather, move, move_all, rename
from tflite_export.npu.cost.pooling import mean, pool_2d
from tflite_export.npu.cost.recurrent import lstm
from tflite_export.npu.machine import Machine
from tflite_export.npu.seen import NOTHING, Seen
from tflite_export.npu.work import Cost

COSTS: dict[str, Callable[[Op, Sequence[Tensor], Machine, Seen], Cost]] = {
    "ADD": each_element,
    "AVERAGE_POOL_2D": pool_2d,
    "CONCATENATION": move,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEQUANTIZE": each_element,
    "ELU": each_element,
    "EXP": each_element,
    "EXPAND_DIMS": rename,
    "FULLY_CONNECTED": fully_connected,
    "GATHER": gather,
    "GELU": each_element,
    "HARD_SWISH": each_element,
    "L2_NORMALIZATION": l2_normalization,
    "LEAKY_RELU": each_element,
    "LESS": each_element,
    "LOGISTIC": each_element,
    "MAXIMUM": each_element,
    "MAX_POOL_2D": pool_2d,
    "MEAN": mean,
    "MINIMUM": each_element,
    "MUL": each_element,
    "PACK": move,
    "PAD": move,
    "PADV2": move,
    "PRELU": each_element,
    "QUANTIZE": each_element,
    "RELU": each_element,
    "RELU6": each_element,
    "RELU_N1_TO_1": each_element,
    "RESHAPE": rename,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": move,
    "REVERSE_V2": move,
    "RSQRT": each_element,
    "SELECT": each_element,
    "SELECT_V2": each_element,
    "SHAPE": rename,
    "SOFTMAX": softmax,
    "SPLIT": move_all,
    "SQUEEZE": rename,
    "STRIDED_SLICE": move,
    "SUB": each_element,
    "TANH": each_element,
    "TRANSPOSE": move,
    "TRANSPOSE_CONV": transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "UNPACK": move_all,
}

MAY_BE_FLOAT = {"QUANTIZE", "DEQUANTIZE"}


def cost_of(op: Op, tensors: Sequence[Tensor], machine: Machine, seen: Seen = NOTHING) -> Cost:
    """The cost of one op on the machine, with what has been seen of its feature maps.

    Raises:
        ValueError: No cost is known for this kind of op, or its tensors are not integers.
    """
    if op.kind not in COSTS:
        raise ValueError(f"no cost is known for this op. Received: {op.kind}. Known: {', '.join(COSTS)}")
    used = [tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
    floats = [t.name for t in used if t.dtype.startswith("float")]
    if floats and op.kind not in MAY_BE_FLOAT:
        raise ValueError(
            f"{op.kind} must have integer tensors: the machine multiplies integers. "
            f"Received: `{floats[0]}` in floating point. Quantise the model before estimating it"
        )
    return COSTS[op.kind](op, tensors, machine, seen)
