"""Small integer graphs for the tests of the cost model."""

import math

import numpy as np

from tflite_export.ir import STORAGE, Graph, Op, Quantization, Tensor


def grid(zero_point=0):
    return Quantization(np.full(1, 0.05, np.float32), np.full(1, zero_point, np.int64))


class Net:
    """A chain of layers; each method appends one op to the tensor ``last``."""

    def __init__(self, *shape, dtype="int8", zero_point=0):
        self.tensors, self.ops = [], []
        self.last = self.input = self.tensor("input", shape, dtype, zero_point)
        self.random = np.random.default_rng(0)

    def tensor(self, name, shape, dtype="int8", zero_point=0, data=None):
        quantization = grid(zero_point) if dtype == "int8" else None
        self.tensors.append(Tensor(name, tuple(shape), dtype, quantization, data))
        return len(self.tensors) - 1

    def constant(self, name, shape, dtype="int8", density=1.0, data=None):
        if data is None:
            data = self.random.integers(-100, 101, shape) * (self.random.random(shape) < density)
        return self.tensor(f"{name}_{len(self.tensors)}", np.shape(data), dtype, data=np.asarray(data, STORAGE[dtype]))

    def op(self, kind, shape, *operands, dtype="int8", zero_point=0, name=None, **options):
        output = self.tensor(name or f"{kind.lower()}_{len(self.ops)}", shape, dtype, zero_point)
        self.ops.append(Op(kind, (self.last, *operands), (output,), options))
        self.last = output
        return self

    def conv(self, filters, kernel=3, stride=1, density=1.0, groups=1, dilation=1, weights=None, name=None):
        n, h, w, c = self.tensors[self.last].shape
        kernel_shape = (filters, kernel, kernel, c // groups)
        kernel_index = self.constant("kernel", kernel_shape, density=density, data=weights)
        bias = self.constant("bias", (filters,), "int32")
        shape = (n, math.ceil(h / stride), math.ceil(w / stride), filters)
        options = {"stride_h": stride, "stride_w": stride, "padding": "SAME"}
        options |= {"dilation_h_factor": dilation, "dilation_w_factor": dilation}
        return self.op("CONV_2D", shape, kernel_index, bias, name=name, **options)

    def depthwise(self, kernel=3, stride=1, name=None):
        n, h, w, c = self.tensors[self.last].shape
        operands = self.constant("kernel", (1, kernel, kernel, c)), self.constant("bias", (c,), "int32")
        shape = (n, math.ceil(h / stride), math.ceil(w / stride), c)
        options = {"stride_h": stride, "stride_w": stride, "depth_multiplier": 1, "padding": "SAME"}
        return self.op("DEPTHWISE_CONV_2D", shape, *operands, name=name, **options)

    def dense(self, units, density=1.0, name=None):
        rows, inputs = self.tensors[self.last].shape
        operands = self.constant("kernel", (units, inputs), density=density), self.constant("bias", (units,), "int32")
        return self.op("FULLY_CONNECTED", (rows, units), *operands, name=name)

    def mean(self, name="mean"):
        n, _, _, c = self.tensors[self.last].shape
        return self.op("MEAN", (n, c), self.constant("axes", (2,), "int32", data=[1, 2]), name=name, keep_dims=False)

    def graph(self):
        return Graph(tuple(self.tensors), tuple(self.ops), (self.input,), (self.last,))


def small(density=1.0):
    """32 x 32 x 16, five convolutions, mean, ten outputs: 24.6 million MACs."""
    net = Net(1, 32, 32, 16).conv(32, density=density, name="c1").conv(64, stride=2, density=density, name="c2")
    net.conv(64, density=density, name="c3").conv(128, stride=2, density=density, name="c4")
    return net.conv(128, kernel=1, density=density, name="c5").mean().dense(10, density=density, name="fc").graph()


def mobilenet(alpha, size):
    """MobileNetV1 with ten outputs."""
    net = Net(1, size, size, 3).conv(int(32 * alpha), stride=2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for filters, stride in blocks:
        net.depthwise(stride=stride).conv(int(filters * alpha), kernel=1)
    return net.mean().dense(10).graph()


def compute(row):
    """Cycles of a row without waiting for memory."""
    return row["cycles_total"] - row["cycles_memory_stall"]
