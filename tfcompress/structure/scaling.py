"""What happens when the channels of a tensor are multiplied, one positive or any factor each.

Some layers take the factors into their weights, some let them through, all others stop them.
"""

from typing import Any

import numpy as np
from keras import layers

from tfcompress.structure import slots
from tfcompress.structure.groups import IDENTITY, activation_name
from tfcompress.structure.mixing import scales
from tfcompress.structure.relations import WINDOWS

AVERAGES = (
    layers.AveragePooling1D, layers.AveragePooling2D, layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
    layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping1D, layers.Cropping2D, layers.UpSampling1D,
    layers.UpSampling2D, layers.RepeatVector,
)  # fmt: skip
REARRANGED = (layers.Flatten, layers.Reshape)


def scales_along(layer: Any, factor: np.ndarray) -> bool:
    """Whether ``layer(x * factor) = layer(x) * factor``."""
    linear = isinstance(layer, (*IDENTITY, *AVERAGES)) or (
        isinstance(layer, layers.Activation) and activation_name(layer) == "linear"
    )
    return linear or (bool((factor >= 0).all()) and (_rectifies(layer) or type(layer) in WINDOWS))


def _rectifies(layer: Any) -> bool:
    """Whether a layer is a line on either side of zero."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and not layer.threshold
    return activation_name(layer) == "relu" or isinstance(layer, (layers.LeakyReLU, layers.PReLU))


def factors(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Slot -> what a weight of a mixing, depthwise or batch norm layer is multiplied by.

    Args:
        layer: Not Compressed.
        inputs: Factor of each input channel.
        outputs: Factor of each output channel; of a batch norm, the only ones that count.
    """
    if isinstance(layer, layers.BatchNormalization):
        slots_of = {"gamma": layer.scale, "beta": layer.center}
        return {slot: outputs for slot, there in slots_of.items() if there}
    return scales(layer, inputs, outputs)


def multiply(layer: Any, inputs: np.ndarray, outputs: np.ndarray) -> None:
    """Multiplies the weights of ``layer`` by their ``factors``."""
    for slot, factor in factors(layer, inputs, outputs).items():
        variable = slots.variables(layer)[slot]
        variable.assign((slots.numpy(variable) * factor).astype(np.float32))
