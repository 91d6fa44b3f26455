"""What Arm's compiler places on an Ethos-U55, read from the report that Vela 5.2.0 writes of its own rules.

Whatever breaks a rule runs on the CPU beside the NPU, but for ``READABLE``. The report lists REVERSE_V2; the compiler
leaves it to the CPU whatever its axis. ``tests/peers/test_vela.py`` compares the verdicts with what
Vela does with real files. Reference: ``vela --supported-ops-report``, section Ethos-U55 and Ethos-U65.
"""

import itertools

import numpy as np

from tflite_export.ir import Tensor
from tflite_export.npu.rules.common import fixed_shapes, has_grid, integer_maps, narrow_maps
from tflite_export.npu.rules.site import Rule, Site, total

MOST_WEIGHT = 127 * 2**16
"""The largest sum of absolute weights of one output channel."""

CHANNEL_AXIS = {"DEPTHWISE_CONV_2D": 3}
"""Where the output channels of a weight are, if not on axis 0."""

PER_AXIS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM")


def _weights(site: Site) -> Tensor | None:
    return site.inputs[1] if len(site.inputs) > 1 else None


def _bias(site: Site) -> Tensor | None:
    place = 3 if site.op.kind == "TRANSPOSE_CONV" else 2
    return site.inputs[place] if len(site.inputs) > place else None


def one_grid_a_map(site: Site) -> bool:
    """Only the weights of convolutions and dense layers may have a scale for each channel.

    Quantise the tensor with one scale.
    """
    grids = [t.quantization for t in site.present if t.quantization is not None]
    return site.op.kind in PER_AXIS or all(grid.scale.size <= 1 for grid in grids)


def whole_bytes(site: Site) -> bool:
    """Nothing may be stored in less than 8 bits: the compiler gives up the whole file.

    Store narrower codes in int8, `convert(weight_storage="int8")`: their zeros and repetitions compress all the same.
    """
    return all(t.dtype not in ("int2", "int4") for t in site.present)


def twenty_four_operands(site: Site) -> bool:
    """An LSTM must have places for 24 operands: the compiler gives up the whole file.

    Let `convert` write it; older converters write 20.
    """
    return site.op.kind != "UNIDIRECTIONAL_SEQUENCE_LSTM" or len(site.inputs) == 24


def axis_of_a_row(site: Site) -> bool:
    """A tensor of one axis must be split along axis 0, not -1: the compiler gives up the whole file.

    Write the axis as 0.
    """
    if site.op.kind != "SPLIT" or site.inputs[0] is None or site.inputs[0].data is None:
        return True
    return int(site.inputs[0].data.flat[0]) >= 0 or len(site.outputs[0].shape) > 1


def has_axes(site: Site) -> bool:
    """Feature maps must have at least one axis.

    Keep the axis, `keepdims=True`.
    """
    return all(t.shape for t in site.maps)


def constant_weights(site: Site) -> bool:
    """Weights must be constants of 8 bits.

    Let `convert` write them.
    """
    weights = _weights(site)
    return weights is not None and weights.data is not None and weights.dtype in ("int8", "uint8")


def constant_bias(site: Site) -> bool:
    """The bias must be a constant of type int32 or int64, below 2^40.

    Let `convert` write it: a bias that is computed runs as an addition of its own.
    """
    bias = _bias(site)
    if bias is None:
        return True
    return bias.data is not None and bias.dtype in ("int32", "int64") and bool((np.abs(bias.data) < 2**40).all())


def weights_that_sum_up(site: Site) -> bool:
    """The absolute weights of one output channel may sum up to 8,323,072 at most.

    Use a smaller kernel, fewer input channels, or prune.
    """
    weights = _weights(site)
    return weights is None or total(weights, CHANNEL_AXIS.get(site.op.kind, 0)) <= MOST_WEIGHT


def short_strides(site: Site) -> bool:
    """A stride above 3 is possible only without dilation and without padding.

    Use a stride of at most 3, or `padding="valid"`.
    """
    return max(_strides(site)) <= 3 or (_dilations(site) == (1, 1) and not _pads(site))


def strides_up_to_three(site: Site) -> bool:
    """Strides must be from 1 to 3.

    Use a stride of at most 3.
    """
    return max(_strides(site)) <= 3


def doubling_strides(site: Site) -> bool:
    """A transposed convolution must have stride 1 or 2, the same both ways unless the other way has but one row.

    Use `strides=1` or `strides=2`, or upsampling before a convolution.
    """
    height, width = _strides(site)
    weights, x = _weights(site), site.inputs[2]
    if (height, width) in ((1, 1), (2, 2)):
        return True
    if weights is None or x is None:
        return False
    return (height, width) == (1, 2) and x.shape[1] == weights.shape[1] == 1


def byte_maps(site: Site) -> bool:
    """Feature maps of this function must be 8 bits wide.

    Export with `activation_type="int8"`.
    """
    return all(t.dtype in ("int8", "uint8") for t in site.maps)


def small_windows(site: Site) -> bool:
    """A window must be at most 8 by 8 with padding SAME; at most 256 high and 65,536 in all with padding VALID.

    Pool twice with smaller windows, or use global pooling.
    """
    height, width = site.option("filter_height"), site.option("filter_width")
    if site.op.kind == "AVERAGE_POOL_2D" and site.option("padding") == "SAME":
        return height <= 8 and width <= 8
    return height <= 256 and height * width <= 256 * 256


def same_grids(site: Site) -> bool:
    """Inputs and output must have one grid.

    Train with one transform behind both, or leave the grids to `convert`.
    """
    grids = [t.quantization for t in site.present]
    return all(
        a is not None and b is not None and a.scale[0] == b.scale[0] and a.zero_point[0] == b.zero_point[0]
        for a, b in itertools.pairwise(grids)
    )


def mean_of_one_image(site: Site) -> bool:
    """A mean must be over fewer than 4,096 values an axis, of a batch of 1, and over channels only in a row of pixels.

    Export with a batch of 1; pool large maps before.
    """
    x, axes = site.inputs[0], site.inputs[1]
    if x is None or axes is None or axes.data is None:
        return False
    reduced = {int(a) % len(x.shape) for a in np.ravel(axes.data)}
    shallow = len(x.shape) - 1 not in reduced or len(x.shape) < 3 or 1 in x.shape[-3:]
    return shallow and (len(x.shape) < 4 or x.shape[0] == 1) and all(x.shape[a] < 4096 for a in reduced)


def constant_parameters(site: Site) -> bool:
    """Axes, paddings, begins and ends must be constants.

    Export with a fixed batch, so that no shape is computed.
    """
    return all(t is None or t.data is not None for t in site.inputs[1:])


def forward_slices(site: Site) -> bool:
    """The steps of a slice must be positive, and 1 but for rows and columns.

    Take every n-th channel or example outside the model.
    """
    steps = site.inputs[3]
    if steps is None or steps.data is None:
        return False
    rank, values = len(steps.data), np.ravel(steps.data)
    free = {rank - 3, rank - 2}
    return all(step == 1 or (step > 0 and axis in free) for axis, step in enumerate(values))


def whole_enlargement(site: Site) -> bool:
    """An image can be enlarged 2, 4 or 8 times, the same both ways; bilinearly with half pixel centers only 2 times.

    Enlarge in such steps.
    """
    x, y = site.inputs[0], site.outputs[0]
    if x is None or x.shape == y.shape or x.shape[1:3] == (1, 1):
        return True
    less = int(bool(site.option("align_corners")))
    ratios = [(big - less, small - less) for big, small in zip(y.shape[1:3], x.shape[1:3])]
    if ratios[0][0] * ratios[1][1] != ratios[1][0] * ratios[0][1]:
        return any(b == s == 1 for b, s in zip(y.shape[1:3], x.shape[1:3]))
    if any(small == 0 for _, small in ratios):
        return False
    half = site.op.kind == "RESIZE_BILINEAR" and site.option("half_pixel_centers")
    return any(all(big == factor * small for big, small in ratios) for factor in ((2,) if half else (2, 4, 8)))


def softmax_of_small_maps(site: Site) -> bool:
    """A softmax must be over fewer than 65,536 positions.

    Crop or pool the map before.
    """
    y = site.outputs[0].shape
    return int(np.prod(y[1:-1])) < 2**16


def plain_lstm(site: Site) -> bool:
    """An LSTM must have neither peepholes nor a projection nor normalised gates.

    Use `keras.layers.LSTM`, which has none of them.
    """
    optional = [*site.inputs[9:12], *site.inputs[16:18], *site.inputs[20:24]]
    return all(t is None for t in optional)


def sixteen_bit_axes(site: Site) -> bool:
    """A transposition must move axes of at most 65,536.

    Split the tensor.
    """
    return all(size <= 2**16 for t in site.outputs for size in t.shape)


def _pads(site: Site) -> bool:
    """Whether padding SAME adds something without dilation."""
    x, y, weights = site.inputs[0], site.outputs[0], _weights(site)
    if site.option("padding") == "VALID" or x is None:
        return False
    sides = weights.shape[1:3] if weights is not None else (site.option("filter_height"), site.option("filter_width"))
    lengths = zip(x.shape[1:3], y.shape[1:3], _strides(site), sides)
    return any((out - 1) * stride + side > length for length, out, stride, side in lengths)


def _strides(site: Site) -> tuple[int, int]:
    return site.option("stride_h", 1), site.option("stride_w", 1)


def _dilations(site: Site) -> tuple[int, int]:
    return site.option("dilation_h_factor", 1), site.option("dilation_w_factor", 1)


FREE_OF_GRIDS = ("EXPAND_DIMS", "MIRROR_PAD", "PAD", "PADV2", "QUANTIZE", "TRANSPOSE")


def scales(site: Site) -> bool:
    """Inputs, outputs and weights must have a positive scale.

    Quantise the tensor: give it a grid by training, or a `representative_dataset`.
    """
    return site.op.kind in FREE_OF_GRIDS or has_grid(site)


READABLE: tuple[Rule, ...] = (whole_bytes, twenty_four_operands, axis_of_a_row)

EVERYWHERE: tuple[Rule, ...] = (fixed_shapes, has_axes, integer_maps, scales, one_grid_a_map)

MULTIPLIES = (narrow_maps, constant_weights, constant_bias, weights_that_sum_up)

OPS: dict[str, tuple[Rule, ...]] = {
    "ABS": (narrow_maps,),
    "ADD": (),
    "AVERAGE_POOL_2D": (narrow_maps, small_windows, short_strides),
    "CONCATENATION": (narrow_maps,),
    "CONV_2D": (*MULTIPLIES, short_strides),
    "DEPTHWISE_CONV_2D": (*MULTIPLIES, strides_up_to_three),
    "ELU": (narrow_maps,),
    "EXP": (narrow_maps,),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (constant_weights, constant_bias, weights_that_sum_up),
    "GELU": (narrow_maps, byte_maps),
    "HARD_SWISH": (narrow_maps,),
    "LEAKY_RELU": (narrow_maps,),
    "LOG": (narrow_maps,),
    "LOGISTIC": (narrow_maps,),
    "MAXIMUM": (narrow_maps, same_grids),
    "MAX_POOL_2D": (narrow_maps, small_windows, short_strides),
    "MEAN": (narrow_maps, mean_of_one_image),
    "MINIMUM": (narrow_maps, same_grids),
    "MUL": (),
    "NEG": (),
    "PACK": (narrow_maps,),
    "PAD": (narrow_maps, constant_parameters),
    "PADV2": (narrow_maps, constant_parameters),
    "PRELU": (narrow_maps,),
    "QUANTIZE": (narrow_maps,),
    "RELU": (narrow_maps,),
    "RELU6": (narrow_maps,),
    "RELU_0_TO_1": (narrow_maps,),
    "RELU_N1_TO_1": (narrow_maps,),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (narrow_maps, whole_enlargement),
    "RESIZE_NEAREST_NEIGHBOR": (narrow_maps, whole_enlargement),
    "RSQRT": (narrow_maps,),
    "SOFTMAX": (narrow_maps, softmax_of_small_maps),
    "SPLIT": (narrow_maps,),
    "SQUEEZE": (),
    "STRIDED_SLICE": (narrow_maps, constant_parameters, forward_slices),
    "SUB": (),
    "TANH": (narrow_maps,),
    "TRANSPOSE": (constant_parameters, sixteen_bit_axes),
    "TRANSPOSE_CONV": (*MULTIPLIES, doubling_strides),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (narrow_maps, plain_lstm),
    "UNPACK": (narrow_maps,),
}


def whole_bricks(site: Site) -> bool:
    """Channels travel in bricks of 16: a map whose depth is no multiple of 16 is padded with zeros.

    `edits.remove_channels(model, multiple_of=16)` keeps depths whole; one channel above a multiple costs as much as 16.
    """
    deep = [t for t in site.maps if len(t.shape) == 4 and t.shape[-1] > 16]
    return all(t.shape[-1] % 16 == 0 for t in deep)


ADVICE: tuple[Rule, ...] = (whole_bricks,)
