"""Rewrites of the graph, one per file; each says what it requires and what it ensures.

``FLOAT`` brings the float graph of a model into the ops that remain; then every root gets a grid (``calibration.py``),
and ``INTEGERS`` makes the integer graph.
"""

from tflite_export.passes.affine_to_depthwise import affine_to_depthwise
from tflite_export.passes.clamp_narrow import clamp_narrow
from tflite_export.passes.draft import Pass as Pass
from tflite_export.passes.draft import sequence as sequence
from tflite_export.passes.drop_clamps import drop_clamps
from tflite_export.passes.drop_reshapes import drop_reshapes
from tflite_export.passes.fold_affine import fold_affine
from tflite_export.passes.fold_scale import fold_scale
from tflite_export.passes.fuse_activation import fuse_activation
from tflite_export.passes.fuse_padding import fuse_padding
from tflite_export.passes.gentle_slopes import gentle_slopes
from tflite_export.passes.lstm import bounded
from tflite_export.passes.place_grids import place_grids
from tflite_export.passes.quantize import quantize
from tflite_export.passes.requantize import requantize
from tflite_export.passes.sink_reshapes import sink_reshapes
from tflite_export.passes.softmax_grid import softmax_grid

FLOAT_PASSES = (
    place_grids, drop_reshapes, sink_reshapes, fold_affine, fold_scale, affine_to_depthwise, fuse_activation,
    softmax_grid, place_grids, drop_reshapes,
)  # fmt: skip
"""Before grids are complete."""

GRID_PASSES = (bounded, place_grids, requantize, drop_reshapes, gentle_slopes)
"""Once every root has a grid."""

INTEGER_PASSES = (fuse_padding, clamp_narrow, drop_clamps)
"""On the integer graph."""

FLOAT = sequence(*FLOAT_PASSES)
INTEGERS = sequence(*GRID_PASSES, quantize, *INTEGER_PASSES)
