"""The dictionaries by which ``tf.lite.Interpreter`` describes tensors."""

from typing import Any

import numpy as np

from tflite_export.ir import STORAGE, Tensor


def details(index: int, tensor: Tensor, shape: tuple[int, ...]) -> dict[str, Any]:
    """What ``get_input_details`` and its sisters say of one tensor whose current shape is ``shape``."""
    grid = tensor.quantization
    scales = np.zeros(0, np.float32) if grid is None else np.asarray(grid.scale, np.float32)
    zero_points = np.zeros(0, np.int32) if grid is None else np.asarray(grid.zero_point, np.int32)
    return {
        "name": tensor.name,
        "index": index,
        "shape": np.array(shape, np.int32),
        "shape_signature": np.array(shape, np.int32),
        "dtype": STORAGE[tensor.dtype],
        "quantization": (float(scales[0]), int(zero_points[0])) if len(scales) == 1 else (0.0, 0),
        "quantization_parameters": {
            "scales": scales,
            "zero_points": zero_points,
            "quantized_dimension": 0 if grid is None else grid.axis,
            "block_size": 0,
        },
        "sparsity_parameters": {},
    }
