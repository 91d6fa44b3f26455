"""Dense -> FULLY_CONNECTED, on inputs of any rank."""

from tfcompress.structure.groups import core
from tfcompress.structure.trace import Call
from tflite_export.from_keras.activation import activate
from tflite_export.from_keras.builder import Builder
from tflite_export.from_keras.grids import Unsupported


def dense(builder: Builder, call: Call, x: int) -> int:
    """Kernel ``(in, out)`` becomes ``(out, in)``; more than two dimensions are kept."""
    layer, (value,) = core(call.layer), call.outputs
    if layer.quantization_mode:
        raise Unsupported(f"quantised by Keras itself ({layer.quantization_mode}); use tfcompress.compress instead")
    kernel = builder.weight(call, "kernel", 0, lambda k: k.T)
    y = builder.emit(
        "FULLY_CONNECTED",
        (x, kernel, builder.bias(call, layer.units)),
        f"{value.name}/linear",
        builder.static(value.shape),
        fused_activation_function="NONE",
        weights_format="DEFAULT",
        keep_num_dims=len(value.shape) > 2,
    )
    return activate(builder, layer.activation, y, value.name)
