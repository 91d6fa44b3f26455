"""What the machines of ``machines/`` can run: they have no CPU beside them, so what breaks a rule stops the model."""

import numpy as np

from tflite_export.npu.cost import COSTS, MAY_BE_FLOAT
from tflite_export.npu.rules.common import fixed_shapes, integer_maps
from tflite_export.npu.rules.site import Rule, Site

FARTHEST = 255
"""The largest distance of a code of 8 bits from its zero point."""

SUMS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def integers(site: Site) -> bool:
    """Feature maps must be integers of at most 32 bits.

    Quantise the model; only its ends may be floating point (QUANTIZE, DEQUANTIZE).
    """
    return site.op.kind in MAY_BE_FLOAT or integer_maps(site)


def sums_in_thirty_two_bits(site: Site) -> bool:
    """No sum of products may leave 32 bits, whatever the inputs are.

    Use a smaller kernel, fewer input channels, narrower weights, or prune.
    """
    x, weights, *rest = site.inputs
    if x is None or weights is None or weights.data is None or x.dtype not in ("int8", "uint8"):
        return True  # int16 maps are summed in 64 bits
    axis = 3 if site.op.kind == "DEPTHWISE_CONV_2D" else 0
    others = tuple(a for a in range(len(weights.shape)) if a != axis)
    sums = np.abs(weights.data.astype(np.int64)).sum(axis=others) * FARTHEST
    bias = rest[0].data if rest and rest[0] is not None and rest[0].data is not None else 0
    return bool((sums + np.abs(np.asarray(bias, np.int64)) < 2**31).all())


EVERYWHERE: tuple[Rule, ...] = (fixed_shapes, integers)

OPS: dict[str, tuple[Rule, ...]] = {kind: (sums_in_thirty_two_bits,) if kind in SUMS else () for kind in COSTS}
