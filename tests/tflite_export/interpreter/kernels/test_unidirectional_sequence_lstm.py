from dataclasses import replace

import numpy as np
import pytest

from tflite_export.flatbuffer import read, write
from tflite_export.interpreter import Executor, Interpreter, UnsupportedOp
from tflite_export.ir import Graph, Op, Quantization, Tensor


def grid(scale, zero_point=0, bits=8):
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64), bits=bits)


@pytest.fixture
def lstm():
    """``lstm(shape, units, **options)``: an int8 LSTM with random weights and a hidden zero point of 3."""

    def build(shape=(1, 4, 3), units=2, **options):
        rng, hidden = np.random.default_rng(0), grid(1 / 128, 3)
        samples = shape[1] if options.get("time_major") else shape[0]

        def constant(name, *sizes, dtype="int8", scale=0.02):
            data = rng.integers(-127, 128, sizes).astype(dtype)
            return Tensor(name, sizes, dtype, grid(scale, bits=8 if dtype == "int8" else 32), data)

        tensors = [
            Tensor("x", shape, "int8", grid(0.05, -5)),
            *(constant(f"w{k}", units, shape[-1]) for k in range(4)),
            *(constant(f"r{k}", units, units) for k in range(4)),
            *(constant(f"b{k}", units, dtype="int32", scale=0.001) for k in range(4)),
            Tensor("h", (samples, units), "int8", hidden, is_variable=True),
            Tensor("c", (samples, units), "int16", grid(2.0**-11, bits=16), is_variable=True),
            Tensor("inside", (1,), "int8", hidden),
            Tensor("y", (*shape[:-1], units), "int8", hidden),
        ]
        inputs = (*range(9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, *(-1,) * 4)
        options = {"fused_activation_function": "TANH", "time_major": False, **options}
        op = Op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (16,), options, (15,) * 5)
        return Graph(tuple(tensors), (op,), (0,), (16,))

    return build


@pytest.fixture
def sequences():
    return np.random.default_rng(1).integers(-128, 128, (5, 1, 4, 3)).astype(np.int8)


def test_one_unit_and_one_step_by_hand(lstm):
    """No weights: i = f = o = sigmoid(0) = 1/2, g = tanh(0) = 0, so c and h stay 0; with a bias on g they do not."""
    graph = lstm((1, 1, 1), 1)
    zeros = [replace(t, data=np.zeros_like(t.data)) if t.data is not None else t for t in graph.tensors]
    graph = replace(graph, tensors=tuple(zeros))
    x = np.full((1, 1, 1), -5, np.int8)
    assert Executor(graph).run([x])[16].item() == 3
    scale = np.float32(0.05) * np.float32(0.02)
    biased = replace(zeros[11], data=np.array([round(1 / float(scale))], np.int32))
    y = Executor(replace(graph, tensors=(*zeros[:11], biased, *zeros[12:]))).run([x])[16].item()
    assert y - 3 == round(128 * 0.5 * np.tanh(0.5 * np.tanh(1.0)))


def test_the_state_goes_on_from_invoke_to_invoke_as_in_litert(lstm, sequences):
    from ai_edge_litert import interpreter as litert

    blob, resolver = write(lstm()), litert.OpResolverType.BUILTIN_REF
    ours, theirs = Interpreter(model_content=blob), litert.Interpreter(
        model_content=blob, experimental_op_resolver_type=resolver
    )  # fmt: skip
    for run in (ours, theirs):
        run.allocate_tensors()
    results = []
    for reset in (False, False, True, False, True):
        for x in sequences:
            both = []
            for run in (ours, theirs):
                run.set_tensor(0, x)
                run.invoke()
                both.append([run.get_tensor(index) for index in (16, 13, 14)])
            for mine, other in zip(*both, strict=True):
                np.testing.assert_array_equal(mine, other)
            results.append(both[0][0])
        if reset:
            ours.reset_all_variables()
            theirs.reset_all_variables()
            np.testing.assert_array_equal(ours.get_tensor(13), theirs.get_tensor(13))
    assert not np.array_equal(results[0], results[5]) and np.array_equal(results[0], results[15])


def test_predict_starts_every_sample_afresh_and_leaves_the_state_alone(lstm, sequences):
    run = Interpreter(model_content=write(lstm()))
    run.allocate_tensors()
    fresh = []
    for x in sequences:
        run.reset_all_variables()
        run.set_tensor(0, x)
        run.invoke()
        fresh.append(run.get_tensor(16))
    before = run.get_tensor(14)
    for batch_size in (1, 2, 32):
        np.testing.assert_array_equal(run.predict(sequences[:, 0], batch_size=batch_size), np.concatenate(fresh))
    np.testing.assert_array_equal(run.get_tensor(14), before)


def test_time_may_come_before_the_samples(lstm, sequences):
    x = sequences[:3, 0]
    expected = Executor(lstm((3, 4, 3))).run([x])[16]
    found = Executor(lstm((4, 3, 3), time_major=True)).run([np.ascontiguousarray(x.swapaxes(0, 1))])[16]
    np.testing.assert_array_equal(found.swapaxes(0, 1), expected)


def test_one_sample_with_time_first_runs_sample_by_sample(lstm, sequences):
    graph = lstm((1, 1, 3), time_major=True)
    executor = Executor(graph)
    assert not executor.batchable
    x = sequences[:, :, 0]
    together = executor.run([x])[16]
    np.testing.assert_array_equal(together, np.concatenate([executor.run([one[None]])[16] for one in x]))


def test_a_file_keeps_intermediates_and_variables(lstm):
    graph = lstm()
    again = read(write(graph))
    assert again.ops[0].intermediates == (15,) * 5
    assert [t.is_variable for t in again.tensors] == [t.is_variable for t in graph.tensors]


HOSTILE = [
    ("inputs", lambda g: {"inputs": (*g.ops[0].inputs[:9], 1, *g.ops[0].inputs[10:])}, r"peepholes \(input 9\)"),
    ("projection", lambda g: {"inputs": (*g.ops[0].inputs[:16], 1, *g.ops[0].inputs[17:])}, "a projection"),
    ("norm", lambda g: {"inputs": (*g.ops[0].inputs[:23], 9)}, "layer normalisation"),
    ("coupled", lambda g: {"inputs": (0, -1, *g.ops[0].inputs[2:])}, "input 1 is missing"),
    ("few", lambda g: {"inputs": g.ops[0].inputs[:5]}, "expected 20 or 24 inputs"),
    ("state", lambda g: {"inputs": (*g.ops[0].inputs[:18], 0, *g.ops[0].inputs[19:])}, "int8 variable of 1 x 2"),
    ("intermediates", lambda g: {"intermediates": (15,) * 4}, "expected 5 intermediates"),
    ("activation", lambda g: {"options": {"fused_activation_function": "RELU"}}, "fused activation TANH"),
    ("clip", lambda g: {"options": {**g.ops[0].options, "cell_clip": -1.0}}, "`cell_clip` must not be negative"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_an_op_that_makes_no_sense_is_refused(lstm, change, message):
    graph = lstm()
    with pytest.raises(UnsupportedOp, match=message):
        Executor(replace(graph, ops=(replace(graph.ops[0], **change(graph)),)))


SHAPES = {"x": (4, 3), "w2": (3, 2), "r1": (2, 3), "b3": (3,), "c": (1, 3)}


@pytest.mark.parametrize("name", SHAPES)
def test_operands_that_do_not_fit_are_refused(lstm, name):
    graph = lstm()
    changed = [
        replace(t, shape=SHAPES[name], data=None if t.data is None else np.resize(t.data, SHAPES[name]))
        if t.name == name else t for t in graph.tensors
    ]  # fmt: skip
    with pytest.raises(UnsupportedOp, match="UNIDIRECTIONAL_SEQUENCE_LSTM"):
        Executor(replace(graph, tensors=tuple(changed)))


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("c", 0.3, "power of two"),
        ("c", 2.0**-5, "power of two"),
        ("x", 1e9, "leaves int32"),
        ("inside", 1e-12, "too small"),
    ],
)
def test_scales_that_the_arithmetic_cannot_do_are_refused(lstm, name, scale, message):
    graph = lstm()
    changed = [
        replace(t, quantization=grid(scale, 0, t.quantization.bits)) if t.name == name else t for t in graph.tensors
    ]
    with pytest.raises(UnsupportedOp, match=message):
        Executor(replace(graph, tensors=tuple(changed)))
