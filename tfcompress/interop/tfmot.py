"""From TensorFlow Model Optimization (TFMOT) on tf_keras to tfcompress on Keras 3.

    plain layer          the Keras 3 layer of the same class, name, configuration and weights
    PruneLowMagnitude    MagnitudePruning with the mask, the schedule and the step that the wrapper has come to
    ClusterWeights       LookUpTable with the centroids as its dictionary
    QuantizeWrapperV2    MinMax with the ranges of the weights; a MinMax behind the layer with those of the feature map
    QuantizeLayer        MinMax behind the input

What preserved zeros or clusters while it quantised (PQAT, CQAT, PCQAT) becomes a Chain of them. Predictions stay what
they were: where a weight would be rounded, tied or pruned to something else than in TFMOT, since it lay in the middle
between two values or moved after the last update, it starts from TFMOT's value.

TFMOT works on tf_keras only. Both can live in one process with Keras 3, and `load` sees to it that they do: TFMOT, when
it is imported, decides what ``tf.keras`` means and sets an environment variable, unless that was settled before.
"""

import os
from typing import Any

import keras

from tfcompress.interop.files import load
from tfcompress.interop.graphs import carry
from tfcompress.interop.plain_layers import origin


def from_tfmot(model: Any) -> keras.Model:
    """Returns a tf_keras model, plain or with the wrappers of TFMOT, as a Keras 3 model.

    Layers keep their names, those inside a wrapper the name that they have there: ``conv`` for ``quant_conv``. What
    TFMOT does to weights is done by transforms of tfcompress, with its state, so that the model can be trained
    further, compressed further (``tfcompress.compress``), exported (``tflite_export.convert``) or stripped.

    Args:
        model: A built tf_keras Sequential or Functional model, nested ones included; or the path of one saved as
            ``.h5``, as ``.keras``, or as a SavedModel. Nothing in a file is executed: layers are made from
            configurations that were checked before, and weights are read as numbers.

    Returns:
        A new model, to be compiled. The optimizer does not cross the bridge.

    Raises:
        ValueError: Layers of the model are not understood; the message names every one and says why. Or ``model`` is
            no tf_keras model, not built, or has no graph that can be read.
    """
    if isinstance(model, (str, os.PathLike)):
        model = load(model)
    if origin(model) != "tf_keras" or not hasattr(model, "layers"):
        raise ValueError(
            "`model` must be a Sequential or Functional model of tf_keras, or the path of one. "
            f"Received: {type(model).__module__}.{type(model).__name__}."
            + (" Keras 3 models need no bridge: use tfcompress.compress." if isinstance(model, keras.Model) else "")
        )
    return carry(model)
