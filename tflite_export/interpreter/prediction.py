"""Between the values that a user has and the codes that a tensor holds."""

from collections.abc import Sequence

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
    if grid is None and wanted is np.int32:
        return _numbers(x, tensor)
    if not np.issubdtype(x.dtype, np.floating) or (wanted is not np.float32 and grid is None):
        raise ValueError(f"Input {tensor.name!r} takes {tensor.dtype} or floats. Received: {x.dtype}")
    if wanted is np.float32 or grid is None:
        return x.astype(np.float32)
    if not np.all(np.isfinite(x)):
        raise ValueError(f"Input {tensor.name!r} takes finite values. Received: NaN or infinity")
    limits = np.iinfo(wanted)
    codes = round_half_away(x.astype(np.float32) / grid.scale[0]) + np.float32(grid.zero_point[0])
    return np.clip(codes, limits.min, limits.max).astype(wanted)


def _numbers(x: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Whole numbers, as those of tokens, in int32."""
    with np.errstate(invalid="ignore"):
        numbers = x.astype(np.int32)
    if np.any(numbers != x):
        raise ValueError(f"Input {tensor.name!r} takes whole numbers of 32 bits. Received: others, of type {x.dtype}")
    return numbers


def decodes(arrays: Sequence[np.ndarray], tensors: Sequence[Tensor]) -> bool:
    """Whether who gives ``arrays`` to these inputs speaks of values: floats, or nothing that a grid could round."""
    floats = any(np.issubdtype(x.dtype, np.floating) for x in arrays)
    return floats or all(tensor.quantization is None for tensor in tensors)


def decode(y: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The values behind the codes ``y``, float32, as in the op DEQUANTIZE; ``y`` itself if it holds no codes."""
    if tensor.quantization is None or np.issubdtype(y.dtype, np.floating):
        return y
    scale, zero_point = np.float64(tensor.quantization.scale[0]), tensor.quantization.zero_point[0]
    return (scale * (y.astype(np.int64) - zero_point)).astype(np.float32)
