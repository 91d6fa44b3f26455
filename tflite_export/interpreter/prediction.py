"""Between the values that a user has and the codes that a tensor holds."""

import numpy as np

from tflite_export.interpreter.arithmetic import round_half_away
from tflite_export.ir import STORAGE, Tensor


def encode(x: np.ndarray, tensor: Tensor) -> np.ndarray:
    """``x`` in the type of ``tensor``: floats meant for an integer tensor become codes as in the op QUANTIZE.

    Raises:
        ValueError: Neither the tensor's type nor floats, or a value that is not finite.
    """
    wanted, grid = STORAGE[tensor.dtype], tensor.quantization
    if x.dtype == wanted:
        return x
    if not np.issubdtype(x.dtype, np.floating) or (wanted is not np.float32 and grid is None):
        raise ValueError(f"Input {tensor.name!r} takes {tensor.dtype} or floats. Received: {x.dtype}")
    if wanted is np.float32 or grid is None:
        return x.astype(np.float32)
    if not np.all(np.isfinite(x)):
        raise ValueError(f"Input {tensor.name!r} takes finite values. Received: NaN or infinity")
    limits = np.iinfo(wanted)
    codes = round_half_away(x.astype(np.float32) / grid.scale[0]) + np.float32(grid.zero_point[0])
    return np.clip(codes, limits.min, limits.max).astype(wanted)


def decode(y: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The values behind the codes ``y``, float32, as in the op DEQUANTIZE; ``y`` itself if it holds no codes."""
    if tensor.quantization is None or np.issubdtype(y.dtype, np.floating):
        return y
    scale, zero_point = np.float64(tensor.quantization.scale[0]), tensor.quantization.zero_point[0]
    return (scale * (y.astype(np.int64) - zero_point)).astype(np.float32)
