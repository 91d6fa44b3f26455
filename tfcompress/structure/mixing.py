"""Layers in which every output channel is a sum over all input channels, read as one array of numbers.

    matrix[t, i, o]    what output channel o makes of input channel i at tap t of the window, with deployed weights

    Dense (i, o)                  one tap
    Conv2D (h, w, i, o)           h * w taps; of a grouped convolution, zeros between the groups
    Conv2DTranspose (h, w, o, i)  likewise
    SeparableConv2D               sum over m of depthwise[t, i, m] * pointwise[(i, m), o]

and which places of each weight belong to which channels, so that weights can be cut and scaled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import layers

from tfcompress.compressed import deployed
from tfcompress.convolution.winograd import WinogradConv2D
from tfcompress.structure.groups import core
from tfcompress.structure.relations import DEPTHWISE

Cuts = dict[str, dict[int, np.ndarray]]
"""Slot -> axis, counted from the end -> indices that stay."""


@dataclass(frozen=True)
class Mixing:
    """One kind of layer.

    Attributes:
        width: The argument that says how many output channels there are.
        matrix: Layer, Compressed or not -> float64 array of shape (taps, input channels, output channels).
        cuts: (layer, input channels that stay, output channels that stay), as indices -> what stays of each weight.
        scales: (layer, a factor per input channel, a factor per output channel) -> the factor of each weight, in a
            shape that broadcasts.
    """

    width: str
    matrix: Callable[[Any], np.ndarray]
    cuts: Callable[[Any, np.ndarray, np.ndarray], Cuts]
    scales: Callable[[Any, np.ndarray, np.ndarray], dict[str, np.ndarray]]


def mixing(layer: Any) -> Mixing | None:
    """What is known of a layer, Compressed or not; None if it is of another kind."""
    return MIXING.get(type(core(layer)))


def groups(layer: Any) -> int:
    """Number of groups between which a convolution mixes nothing."""
    return getattr(layer, "groups", 1)


def covers(layer: Any) -> bool:
    """Whether every output is a sum over the whole window, so that an equal input channel adds an equal number."""
    sizes = getattr(layer, "kernel_size", (1,))
    whole = max(sizes) == 1 or getattr(layer, "padding", "valid") == "valid"
    return whole and not isinstance(layer, TRANSPOSED)


def bias(layer: Any) -> np.ndarray | float:
    """The deployed bias, zero if there is none."""
    return deployed(layer, "bias")[0].astype(np.float64) if core(layer).use_bias else 0.0


def depthwise_matrix(layer: Any) -> np.ndarray:
    """The deployed kernel of a depthwise convolution: (taps, output channels)."""
    kernel = deployed(layer, "kernel")[0].astype(np.float64)
    return kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1])


def depthwise_cuts(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> Cuts:
    """What stays of a depthwise convolution."""
    return {"kernel": {-2: inputs}, "bias": {-1: outputs}}


def depthwise_scales(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """The factors of a depthwise convolution's weights."""
    grid = outputs.reshape(-1, layer.depth_multiplier)
    return {"kernel": inputs[:, None] * grid, "bias": outputs}


def cuts(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> Cuts:
    """What stays of the weights of a mixing or depthwise layer."""
    of_kind = depthwise_cuts if isinstance(layer, DEPTHWISE) else MIXING[type(layer)].cuts
    return of_kind(layer, inputs, outputs)


def scales(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """The factors of the weights of a mixing or depthwise layer; a bias is there only if the layer has one."""
    of_kind = depthwise_scales if isinstance(layer, DEPTHWISE) else MIXING[type(layer)].scales
    return {slot: f for slot, f in of_kind(layer, inputs, outputs).items() if slot != "bias" or layer.use_bias}


def _kernel(layer: Any, slot: str = "kernel") -> np.ndarray:
    kernel = deployed(layer, slot)[0].astype(np.float64)
    return kernel.reshape(-1, *kernel.shape[-2:])


def _convolution_matrix(layer: Any) -> np.ndarray:
    kernel, n = _kernel(layer), groups(core(layer))
    if n == 1:
        return kernel
    taps, rows, columns = kernel.shape
    whole = np.zeros((taps, n, rows, n, columns // n))
    for g, part in enumerate(np.split(kernel, n, axis=-1)):
        whole[:, g, :, g] = part
    return whole.reshape(taps, n * rows, columns)


def _convolution_cuts(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> Cuts:
    first_group = inputs[: len(inputs) // groups(layer)]  # the same places stay in all groups, see channels.py
    return {"kernel": {-2: first_group, -1: outputs}, "bias": {-1: outputs}}


def _convolution_scales(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    of_groups = inputs.reshape(groups(layer), -1).T
    rows = np.repeat(of_groups, len(outputs) // groups(layer), axis=1)
    return {"kernel": rows * outputs, "bias": outputs}


def _transposed_cuts(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> Cuts:
    return {"kernel": {-1: inputs, -2: outputs}, "bias": {-1: outputs}}


def _transposed_scales(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    return {"kernel": outputs[:, None] * inputs, "bias": outputs}


def _separable_matrix(layer: Any) -> np.ndarray:
    wide, deep = _kernel(layer, "depthwise_kernel"), _kernel(layer, "pointwise_kernel")
    return np.einsum("tim,imo->tio", wide, deep.reshape(*wide.shape[1:], -1))


def _separable_cuts(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> Cuts:
    m = layer.depth_multiplier
    between = (inputs[:, None] * m + np.arange(m)).reshape(-1)
    return {"depthwise_kernel": {-2: inputs}, "pointwise_kernel": {-2: between, -1: outputs}, "bias": {-1: outputs}}


def _separable_scales(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.repeat(inputs, layer.depth_multiplier)
    return {"depthwise_kernel": np.ones(1), "pointwise_kernel": rows[:, None] * outputs, "bias": outputs}


TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose)

DENSE = Mixing("units", _kernel, _convolution_cuts, _convolution_scales)
CONVOLUTION = Mixing("filters", _convolution_matrix, _convolution_cuts, _convolution_scales)
UPWARD = Mixing("filters", lambda layer: _kernel(layer).swapaxes(1, 2), _transposed_cuts, _transposed_scales)
SEPARABLE = Mixing("filters", _separable_matrix, _separable_cuts, _separable_scales)

MIXING: dict[type, Mixing] = {
    layers.Dense: DENSE,
    layers.Conv1D: CONVOLUTION,
    layers.Conv2D: CONVOLUTION,
    WinogradConv2D: CONVOLUTION,
    layers.Conv1DTranspose: UPWARD,
    layers.Conv2DTranspose: UPWARD,
    layers.SeparableConv1D: SEPARABLE,
    layers.SeparableConv2D: SEPARABLE,
}
"""Layer -> what is known of it, by exact type."""
