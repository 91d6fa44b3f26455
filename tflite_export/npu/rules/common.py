"""Rules that more than one machine has."""

from tflite_export.npu.rules.site import Site

INTEGERS = ("int8", "uint8", "int16", "int32")


def integer_maps(site: Site) -> bool:
    """Feature maps must be integers of at most 32 bits.

    Convert with integer ends (`inference_input_type="int8"`), or leave what is outside the network to the host.
    """
    return all(t.dtype in INTEGERS for t in site.maps)


def narrow_maps(site: Site) -> bool:
    """Feature maps must be 8 or 16 bits wide.

    Quantise the tensor: give it a grid by training, or a `representative_dataset`.
    """
    return all(t.dtype != "int32" for t in site.maps)


def fixed_shapes(site: Site) -> bool:
    """Shapes must be known before the model runs.

    Export with a fixed batch: `keras.Input(batch_shape=(1, ...))`, or `convert` of this package, which fixes it.
    """
    return all(size >= 0 for t in site.present for size in t.shape)


def single_batch(site: Site) -> bool:
    """The batch must be 1.

    Export with a batch of 1; `Interpreter.predict` runs larger ones image by image.
    """
    return all(t.shape[0] == 1 for t in site.maps if len(t.shape) > 1)


def has_grid(site: Site) -> bool:
    """Inputs, outputs and weights must have a positive scale.

    Quantise the tensor: give it a grid by training, or a `representative_dataset`.
    """
    floats = [t for t in site.present if t.dtype in ("int8", "uint8", "int16")]
    return all(t.quantization is not None and bool((t.quantization.scale > 0).all()) for t in floats)
