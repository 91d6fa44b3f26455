"""Which lowering serves which layer, by exact type: a subclass may compute something else, so it is not its base."""

from collections.abc import Callable

from keras import layers

from tfcompress.channel_switch import Step
from tfcompress.convolution import WinogradConv2D
from tfcompress.gating import ChannelGate, InformationBottleneck
from tfcompress.normalization import PowerOfTwoBatchNormalization
from tfcompress.structure.groups import IDENTITY
from tfcompress.structure.recurrent import FoldTime, ReverseTime, UnfoldTime
from tflite_export.from_keras import (
    activation,
    border,
    convolution,
    dense,
    embedding,
    merge,
    normalization,
    pooling,
    recurrent,
    reshape,
    resize,
    step,
    unrolled,
)

Lowering = Callable[..., int]
"""``lowering(builder, call, *inputs)`` appends ops that read the tensors ``inputs``; returns the call's tensor."""

LOWERINGS: dict[type, Lowering] = {
    layers.InputLayer: border.input_layer,
    layers.Conv1D: convolution.conv,
    layers.Conv2D: convolution.conv,
    WinogradConv2D: convolution.conv,
    layers.DepthwiseConv1D: convolution.depthwise_conv,
    layers.DepthwiseConv2D: convolution.depthwise_conv,
    layers.Conv1DTranspose: convolution.conv_transpose,
    layers.Conv2DTranspose: convolution.conv_transpose,
    layers.Dense: dense.dense,
    layers.Embedding: embedding.embedding,
    layers.BatchNormalization: normalization.batch_normalization,
    PowerOfTwoBatchNormalization: normalization.channel_affine,
    layers.Rescaling: normalization.rescaling,
    InformationBottleneck: normalization.constant_gate,
    layers.Normalization: normalization.normalization,
    layers.UnitNormalization: normalization.unit_normalization,
    layers.ReLU: activation.relu,
    layers.LeakyReLU: activation.leaky_relu,
    layers.PReLU: activation.prelu,
    layers.Activation: activation.activation,
    Step: step.step,
    layers.Softmax: activation.softmax,
    layers.MaxPooling1D: pooling.max_pooling,
    layers.MaxPooling2D: pooling.max_pooling,
    layers.AveragePooling1D: pooling.average_pooling,
    layers.AveragePooling2D: pooling.average_pooling,
    layers.GlobalAveragePooling1D: pooling.global_average_pooling,
    layers.GlobalAveragePooling2D: pooling.global_average_pooling,
    layers.GlobalMaxPooling1D: pooling.global_max_pooling,
    layers.GlobalMaxPooling2D: pooling.global_max_pooling,
    layers.Add: merge.add,
    layers.Subtract: merge.subtract,
    layers.Multiply: merge.multiply,
    layers.Maximum: merge.maximum,
    layers.Minimum: merge.minimum,
    layers.Concatenate: merge.concatenate,
    layers.Flatten: reshape.flatten,
    layers.Reshape: reshape.reshape,
    layers.Permute: reshape.permute,
    layers.ZeroPadding1D: reshape.zero_padding,
    layers.ZeroPadding2D: reshape.zero_padding,
    layers.Cropping1D: reshape.cropping,
    layers.Cropping2D: reshape.cropping,
    layers.LSTM: recurrent.lstm,
    layers.GRU: unrolled.gru,
    layers.SimpleRNN: unrolled.simple_rnn,
    ReverseTime: recurrent.reverse_time,
    FoldTime: recurrent.fold_time,
    UnfoldTime: recurrent.unfold_time,
    layers.UpSampling1D: resize.up_sampling_1d,
    layers.UpSampling2D: resize.up_sampling_2d,
    layers.RepeatVector: resize.repeat_vector,
    layers.Resizing: resize.resizing,
    **dict.fromkeys(IDENTITY, border.identity),
}

OPERATIONS: dict[str, Lowering] = {
    "Gelu": activation.gelu_operation,
    "GetItem": reshape.get_item,
    "Mean": pooling.mean_operation,
    "Pad": reshape.pad_operation,
}
"""The same for operations that no layer computes (``structure/operations.py``), by the name of their class."""

MERGING = (layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum, layers.Concatenate)
"""Layers that take any number of tensors; InputLayer takes none, every other layer one."""

EXPANDED = (
    layers.SeparableConv1D, layers.SeparableConv2D, layers.Average, layers.ELU, layers.LayerNormalization,
    layers.Bidirectional, layers.TimeDistributed, layers.RNN, ChannelGate,
)  # fmt: skip
"""Supported too: ``structure/expand.py`` opens them before the walk."""

REFUSED: dict[type, str] = {
    layers.LayerNormalization: "axis or rms_scaling; supported is the last axis, -1, without rms_scaling",
    layers.RNN: "return_state=True, or cells of other kinds than LSTMCell, GRUCell and SimpleRNNCell, stacked or not",
    layers.TimeDistributed: "several tensors, or sequences of unknown length; supported is one, of known length",
    layers.Lambda: "holds Python code that no file can carry; write it with keras.ops or with layers",
}
"""Layers that will never be exported, and the way out."""
