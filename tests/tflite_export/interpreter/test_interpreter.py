"""``Interpreter`` side by side with ``tf.lite.Interpreter`` of LiteRT and of TensorFlow."""

import warnings

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRTInterpreter
from ai_edge_litert.interpreter import OpResolverType

from tflite_export.flatbuffer import write
from tflite_export.interpreter import Interpreter
from tflite_export.ir import Graph, Op, Tensor


@pytest.fixture
def blob(tensor, on):
    """A convolution and a softmax over its channels, with a signature."""
    rng = np.random.default_rng(0)
    tensors = (
        tensor("x", (1, 2, 2, 3), "int8", on(0.5, 3)),
        tensor("w", rng.integers(-128, 128, (4, 1, 1, 3)), "int8", on([0.01, 0.02, 0.03, 0.04])),
        tensor("b", [1, 2, 3, 4], "int32", on([0.005, 0.01, 0.015, 0.02], bits=32)),
        tensor("y", (1, 2, 2, 4), "int8", on(1.5, -3)),
        tensor("z", (1, 2, 2, 4), "int8", on(1 / 256, -128)),
    )
    conv = Op("CONV_2D", (0, 1, 2), (3,), {"padding": "SAME", "stride_h": 1, "stride_w": 1})
    graph = Graph(tensors, (conv, Op("SOFTMAX", (3,), (4,), {"beta": 1.0})), (0,), (4,), ("serve", {"a": 0}, {"r": 4}))
    return write(graph)


@pytest.fixture
def ours(blob):
    return Interpreter(model_content=blob)


@pytest.fixture
def theirs(blob):
    return LiteRTInterpreter(model_content=blob, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)


@pytest.fixture
def x():
    return np.random.default_rng(1).integers(-128, 128, (1, 2, 2, 3)).astype(np.int8)


def same(a, b):
    """Equal in keys, types and values, arrays included."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def described(interpreter):
    """Everything that can be asked of it."""
    return {
        "inputs": dict(enumerate(interpreter.get_input_details())),
        "outputs": dict(enumerate(interpreter.get_output_details())),
        "tensors": dict(enumerate(interpreter.get_tensor_details())),
        "signatures": interpreter.get_signature_list(),
        "arguments": interpreter.get_signature_runner().get_input_details(),
        "results": interpreter.get_signature_runner("serve").get_output_details(),
        "subgraphs": interpreter.num_subgraphs(),
    }


def test_every_dictionary_is_that_of_litert(ours, theirs):
    assert same(described(ours), described(theirs))


def test_every_dictionary_has_what_that_of_tensorflow_has(ours, blob):
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "tf.lite.Interpreter is deprecated"
        stock = tf.lite.Interpreter(model_content=blob)
    for mine, yours in zip(ours.get_tensor_details(), stock.get_tensor_details()):
        mine["quantization_parameters"] = {
            k: mine["quantization_parameters"][k] for k in yours["quantization_parameters"]
        }
        assert same({key: mine[key] for key in yours}, yours)


def test_the_usual_five_lines_give_the_same_integers(ours, theirs, x):
    for interpreter in (ours, theirs):
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
    np.testing.assert_array_equal(ours.get_tensor(4), theirs.get_tensor(4))
    np.testing.assert_array_equal(ours.tensor(4)(), theirs.get_tensor(4))


def test_signature_runner_gives_the_same_integers_and_resizes(ours, theirs, x):
    several = np.concatenate([x, x - 1, x + 1])
    mine, yours = (interpreter.get_signature_runner()(a=several) for interpreter in (ours, theirs))
    assert same(mine, yours)
    assert same(ours.get_output_details()[0], theirs.get_output_details()[0])


def test_resized_input_changes_details_and_results_alike(ours, theirs, x):
    for interpreter in (ours, theirs):
        interpreter.resize_tensor_input(0, [2, 2, 2, 3])
        interpreter.allocate_tensors()
        interpreter.set_tensor(0, np.concatenate([x, x]))
        interpreter.invoke()
    assert same(described(ours), described(theirs))
    np.testing.assert_array_equal(ours.get_tensor(4), theirs.get_tensor(4))


def test_intermediate_tensors_are_kept_on_request(blob, x):
    kept = Interpreter(model_content=blob, experimental_preserve_all_tensors=True)
    kept.allocate_tensors()
    kept.set_tensor(0, x)
    kept.invoke()
    assert kept.get_tensor(3).shape == (1, 2, 2, 4)


def test_input_may_be_written_through_its_view(ours, x):
    ours.allocate_tensors()
    ours.tensor(0)()[...] = x
    np.testing.assert_array_equal(ours.get_tensor(0), x)


def test_get_tensor_is_a_copy(ours):
    ours.allocate_tensors()
    ours.get_tensor(0)[...] = 7
    assert not ours.get_tensor(0).any()


def outcome(action):
    try:
        action()
    except Exception as error:
        return type(error)
    return None


MISUSES = {
    "invoke before allocate": lambda i: i.invoke(),
    "get before allocate": lambda i: i.get_tensor(4),
    "set before allocate": lambda i: i.set_tensor(0, np.zeros((1, 2, 2, 3), np.int8)),
    "wrong shape": lambda i: (i.allocate_tensors(), i.set_tensor(0, np.zeros((1, 2, 2, 4), np.int8))),
    "wrong rank": lambda i: (i.allocate_tensors(), i.set_tensor(0, np.zeros((2, 2, 3), np.int8))),
    "wrong type": lambda i: (i.allocate_tensors(), i.set_tensor(0, np.zeros((1, 2, 2, 3), np.float32))),
    "a list": lambda i: (i.allocate_tensors(), i.set_tensor(0, np.zeros((1, 2, 2, 3), np.int8).tolist())),
    "no such tensor to set": lambda i: (i.allocate_tensors(), i.set_tensor(99, np.zeros(1, np.int8))),
    "no such tensor to get": lambda i: (i.allocate_tensors(), i.get_tensor(99)),
    "invoke after resize": lambda i: (i.allocate_tensors(), i.resize_tensor_input(0, [2, 2, 2, 3]), i.invoke()),
    "strict resize": lambda i: i.resize_tensor_input(0, [2, 2, 2, 3], strict=True),
    "no such signature": lambda i: i.get_signature_runner("nope"),
    "unknown argument": lambda i: i.get_signature_runner()(b=np.zeros((1, 2, 2, 3), np.int8)),
    "missing argument": lambda i: i.get_signature_runner()(),
    "no such subgraph": lambda i: i.get_tensor_details(1),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_raises_what_litert_raises(misuse, ours, theirs):
    expected = outcome(lambda: MISUSES[misuse](theirs))
    assert expected is not None
    assert outcome(lambda: MISUSES[misuse](ours)) is expected


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"model_path": "/nowhere/model.tflite"},
        {"model_content": b"no model at all"},
        {"model_path": "a", "model_content": b"b"},
        {"model_path": "a", "num_threads": 0},
        {"model_path": "a", "num_threads": 1.5},
    ],
)
def test_bad_construction_raises_what_litert_raises(arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(lambda: LiteRTInterpreter(**arguments)) is ValueError
    with pytest.raises(ValueError):
        Interpreter(**arguments)


def test_what_differs_from_litert_is_said_clearly(ours, blob):
    ours.allocate_tensors()
    with pytest.raises(ValueError, match=r"'y' is intermediate.*experimental_preserve_all_tensors=True"):
        ours.get_tensor(3)
    with pytest.raises(ValueError, match="1 is not an input"):
        ours.set_tensor(1, np.zeros((4, 1, 1, 3), np.int8))
    with pytest.raises(ValueError, match="only the number of samples can change"):
        ours.resize_tensor_input(0, [1, 4, 4, 3])
    with pytest.raises(ValueError, match="3 is not an input"):
        ours.resize_tensor_input(3, [1, 2, 2, 4])
    with pytest.raises(ValueError, match="Delegates are not supported"):
        Interpreter(model_content=blob, experimental_delegates=[object()])


def test_model_path_and_unset_variables_work(blob, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(blob)
    interpreter = Interpreter(path, num_threads=1)
    interpreter.reset_all_variables()
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_predict_gives_codes_for_codes_whatever_the_batch_size(ours, x):
    several = np.concatenate([x + k for k in range(5)])
    ours.allocate_tensors()
    expected = ours.get_signature_runner()(a=several)["r"]
    for batch_size in (1, 2, 5, 32):
        np.testing.assert_array_equal(ours.predict(several, batch_size=batch_size), expected)


def test_predict_gives_floats_for_floats(ours, x):
    reals = (x.astype(np.float32) - 3) * 0.5
    expected = (ours.predict(x).astype(np.float32) + 128) / 256
    np.testing.assert_array_equal(ours.predict(reals), expected)
    assert ours.predict(reals).dtype == np.float32


def test_predict_leaves_the_tensors_alone(ours, x):
    ours.allocate_tensors()
    ours.predict(x)
    assert not ours.get_tensor(0).any()


@pytest.mark.parametrize(
    "batch, batch_size, message",
    [
        (np.zeros((1, 2, 2, 4), np.int8), 32, "'x' must have shape"),
        (np.zeros((1, 2, 2, 3), np.int32), 32, "takes int8 or floats"),
        ([np.zeros((1, 2, 2, 3), np.int8)] * 2, 32, "1 inputs. Received: 2 arrays"),
        (np.zeros((0, 2, 2, 3), np.int8), 32, "at least one sample"),
        (np.int8(3), 32, "samples along the first axis"),
        (np.zeros((1, 2, 2, 3), np.int8), 0, "batch_size >= 1"),
    ],
)
def test_predict_says_what_does_not_fit(batch, batch_size, message, ours):
    with pytest.raises(ValueError, match=message):
        ours.predict(batch, batch_size=batch_size)


def test_predict_takes_and_gives_lists_where_there_are_several(tensor):
    tensors = tuple(Tensor(name, (1, 2), "float32") for name in "abcd")
    graph = Graph(tensors, (Op("ADD", (0, 1), (2,)), Op("MUL", (0, 1), (3,))), (0, 1), (2, 3))
    a, b = np.float32([[1, 2], [3, 4], [5, 6]]), np.float32([[2, 2], [3, 3], [4, 4]])
    total, product = Interpreter(model_content=write(graph)).predict([a, b], batch_size=2)
    np.testing.assert_array_equal(total, a + b)
    np.testing.assert_array_equal(product, a * b)


def test_model_made_for_several_samples_predicts_in_their_number():
    tensors = (Tensor("x", (2, 2), "float32"), Tensor("y", (2, 2), "float32"))
    interpreter = Interpreter(model_content=write(Graph(tensors, (Op("RELU", (0,), (1,)),), (0,), (1,))))
    x = np.float32([[1, -1], [2, -2], [3, -3], [4, -4]])
    np.testing.assert_array_equal(interpreter.predict(x), np.maximum(x, 0))
    with pytest.raises(ValueError, match=r"Received: \(1, 2\)"):
        interpreter.predict(x[:3])


def test_model_without_a_signature_says_so(tensor):
    tensors = (Tensor("x", (1, 2), "float32"), Tensor("y", (1, 2), "float32"))
    interpreter = Interpreter(model_content=write(Graph(tensors, (Op("RELU", (0,), (1,)),), (0,), (1,))))
    assert interpreter.get_signature_list() == {}
    with pytest.raises(ValueError, match="one of the model's signatures"):
        interpreter.get_signature_runner()
