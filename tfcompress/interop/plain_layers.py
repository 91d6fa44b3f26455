"""tf_keras layers as Keras 3 layers: the same class, the same numbers in its configuration, the same weights.

Nothing but numbers, strings and lists of them crosses. Initializers stay behind, since the weights come along;
activations, regularizers and constraints are known by name.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

LAYERS = (
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "BatchNormalization", "Bidirectional", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D",
    "Conv2DTranspose", "Conv3D", "Cropping1D", "Cropping2D", "Cropping3D", "Dense", "DepthwiseConv1D",
    "DepthwiseConv2D", "Dot", "Dropout", "ELU", "EinsumDense", "Embedding", "Flatten", "GRU", "GaussianDropout",
    "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
    "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization", "Identity", "LSTM",
    "LayerNormalization", "LeakyReLU", "Masking", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum",
    "Minimum", "Multiply", "Normalization", "PReLU", "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape",
    "Resizing", "SeparableConv1D", "SeparableConv2D", "SimpleRNN", "Softmax", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "Subtract", "TimeDistributed", "UnitNormalization", "UpSampling1D", "UpSampling2D",
    "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
)  # fmt: skip
"""Classes that compute the same in Keras 3."""

ACTIVATIONS = (
    "elu", "exponential", "gelu", "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax",
    "softplus", "softsign", "swish", "tanh",
)  # fmt: skip
"""Activations that compute the same in Keras 3."""

DIFFERENT = {"hard_sigmoid": "clip(0.2 x + 0.5, 0, 1) in tf_keras and clip(x / 6 + 0.5, 0, 1) in Keras 3"}

REGULARIZERS, CONSTRAINTS = ("L1", "L2", "L1L2"), ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")

ABSENT: dict[str, tuple[Any, ...]] = {
    "groups": (1,), "time_major": (False,), "noise_shape": (None,), "trainable": (True,), "kernel_regularizer": (None,),
    "kernel_constraint": (None,),
}  # fmt: skip
"""Arguments that some classes have in tf_keras only, and the values that mean nothing."""

IGNORED = ("batch_input_shape", "implementation", "input_length")
"""Arguments without effect on what a layer computes."""


class Refused(ValueError):
    """Why a layer cannot cross, and what to do; the bridge adds the layer's name and class."""


def origin(thing: Any) -> str:
    """The package whose class ``thing`` is an instance of: ``tf_keras``, ``tensorflow_model_optimization``, ..."""
    return type(thing).__module__.partition(".")[0]


def twin(layer: Any) -> keras.layers.Layer:
    """A Keras 3 layer with the configuration of ``layer``, not built.

    Raises:
        Refused: The class or one of its arguments has no equal in Keras 3.
    """
    kind = type(layer).__name__
    if origin(layer) != "tf_keras" or kind not in LAYERS:
        raise Refused("no equal of this class is known")
    target = getattr(keras.layers, kind)
    config = _configuration(layer, target)
    if kind == "LeakyReLU":
        config["negative_slope"] = config.pop("alpha")
    if kind == "BatchNormalization" and not isinstance(config["axis"], int):
        (config["axis"],) = config["axis"]
    if kind == "TimeDistributed":
        config["layer"] = twin(layer.layer)
    if kind == "Bidirectional":
        config |= {"layer": twin(layer.forward_layer), "backward_layer": twin(layer.backward_layer)}
    return target(**config)


def _configuration(layer: Any, target: type) -> dict[str, Any]:
    """Arguments for the Keras 3 class."""
    config = {"dtype": layer.dtype_policy.name}
    for key, value in layer.get_config().items():
        if key in ("dtype", "layer", "backward_layer", *IGNORED) or key.endswith("_initializer"):
            continue
        value = _argument(key, value, layer)
        if _takes(target, key) or key == "alpha":
            config[key] = value
        elif value not in ABSENT.get(key, ()):
            raise Refused(f"{key}={value!r}, an argument that Keras 3 does not have")
    return config


def _takes(target: type, key: str) -> bool:
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    inherited = inspect.signature(keras.layers.RNN).parameters if issubclass(target, keras.layers.RNN) else ()
    return key in parameters or (open_ended and key in ("name", "trainable", "activity_regularizer", *inherited))


def _argument(key: str, value: Any, layer: Any) -> Any:
    """One value of a configuration, as Keras 3 takes it."""
    if key in ("activation", "recurrent_activation"):
        return activation_name(getattr(layer, key))
    if value is not None and key.endswith("_regularizer"):
        return _named(keras.regularizers, REGULARIZERS, key, value)
    if value is not None and key.endswith("_constraint"):
        return _named(keras.constraints, CONSTRAINTS, key, value)
    return _plain(key, value)


def activation_name(function: Any) -> str:
    """The name of an activation function; of what TFMOT puts around it, the name of what is inside.

    Raises:
        Refused: Keras 3 has no function that computes the same.
    """
    while origin(function) == "tensorflow_model_optimization":
        function = getattr(function, "activation", None)  # a NoOpActivation has none
    name = "linear" if function is None else getattr(function, "__name__", type(function).__name__)
    library = str(getattr(function, "__module__", "")).partition(".")[0]
    if name in DIFFERENT:
        raise Refused(f"the activation '{name}' is {DIFFERENT[name]}")
    if name not in ACTIVATIONS or library not in ("tf_keras", "tensorflow", ""):
        raise Refused(f"the activation '{name}'; known are {', '.join(ACTIVATIONS)}")
    return name


def _named(module: Any, known: tuple[str, ...], key: str, value: Any) -> Any:
    """A regularizer or constraint from its configuration."""
    kind = value.get("class_name") if isinstance(value, Mapping) else type(value).__name__
    if kind not in known:
        raise Refused(f"{key}={kind}; known are {', '.join(known)}")
    return getattr(module, kind)(**{k: _plain(k, v) for k, v in value["config"].items()})


def _plain(key: str, value: Any) -> Any:
    """Numbers, strings and lists of them, without the types of NumPy and TensorFlow.

    Raises:
        Refused: It is something else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(key, v) for v in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise Refused(f"{key}={value!r}, which is neither number nor text")


def named_weights(layer: Any) -> dict[str, list[np.ndarray]]:
    """The numbers of all variables of a tf_keras layer by their short names, those of one name in its order."""
    found: dict[str, list[np.ndarray]] = {}
    for variable in layer.weights:
        found.setdefault(short_name(variable, getattr(layer, "layer", layer)), []).append(np.asarray(variable))
    return found


def short_name(variable: Any, layer: Any) -> str:
    """``kernel`` of ``conv/kernel:0``; Keras 3 calls that of a DepthwiseConv so, too."""
    name = variable.name.partition(":")[0].rpartition("/")[2]
    is_depthwise = type(layer).__name__ in ("DepthwiseConv1D", "DepthwiseConv2D")
    return "kernel" if is_depthwise and name == "depthwise_kernel" else name


def fill(layer: keras.layers.Layer, weights: Mapping[str, list[np.ndarray]]) -> None:
    """Assigns weights by name, those of one name in their order, to a built layer.

    Raises:
        Refused: The names or shapes are not those of the layer.
    """
    wanted: dict[str, list[Any]] = {}
    for variable in layer.weights:
        wanted.setdefault(variable.name, []).append(variable)
    shapes = [{n: [tuple(v.shape) for v in group] for n, group in side.items()} for side in (wanted, weights)]
    if shapes[0] != shapes[1]:
        raise Refused(f"its weights are {shapes[1]}, and in Keras 3 {shapes[0]}")
    for name, variables in wanted.items():
        for variable, value in zip(variables, weights[name], strict=True):
            variable.assign(value)
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()
