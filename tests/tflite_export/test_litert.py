import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tflite_export.litert_worker as worker
from tflite_export.flatbuffer import write
from tflite_export.ir import Graph, Op, Quantization, Tensor
from tflite_export.litert import LiteRT, LiteRTAborted, LiteRTError

CODES = np.arange(-4, 4, dtype=np.int8)[None]
TINY = 2.0**-40
"""A scale with which the reference kernel of SOFTMAX ends the process."""


def softmax(scale):
    """relu(softmax(x)): two ops, so that one tensor lies inside."""
    grids = [Quantization(np.float32([s]), np.array([z])) for s, z in ((scale, 0), (1 / 256, -128), (1 / 256, -128))]
    tensors = tuple(Tensor(name, (1, 8), "int8", grid) for name, grid in zip("xyz", grids))
    ops = (Op("SOFTMAX", (0,), (1,), {"beta": 1.0}), Op("RELU", (1,), (2,)))
    return write(Graph(tensors, ops, (0,), (2,)))


@pytest.fixture(scope="module", params=["reference", "optimized", "xnnpack"])
def runtime(request):
    with LiteRT(request.param) as litert:
        yield litert


def test_outputs_come_by_tensor_index(runtime):
    tensors = runtime.run(softmax(0.1), [CODES])
    np.testing.assert_array_equal(tensors[0], CODES)
    np.testing.assert_array_equal(tensors[2], [[-106, -104, -101, -98, -95, -92, -88, -84]])


def test_every_tensor_is_visible_unless_a_delegate_hides_it(runtime):
    hidden = {1} if runtime.resolver == "xnnpack" else set()
    assert set(runtime.run(softmax(0.1), [CODES])) == {0, 1, 2} - hidden


def test_a_second_run_sends_no_model(runtime):
    model = softmax(0.1)
    runtime.run(model, [CODES])
    np.testing.assert_array_equal(runtime.run(model, [CODES])[2], runtime.run(model, [CODES])[2])
    assert not np.array_equal(runtime.run(softmax(0.2), [CODES])[2], runtime.run(model, [CODES])[2])


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (b"no model", [CODES], "not a valid Flatbuffer"),
        (softmax(0.1), [], "takes 1 inputs. Received: 0"),
        (softmax(0.1), [CODES[:, :3]], "Dimension mismatch"),
        (softmax(0.1), [CODES.astype(np.float32)], "expected type INT8"),
        (b"", [CODES], "not a valid Flatbuffer"),
    ],
)
def test_a_refusal_carries_the_message_of_the_runtime_and_the_child_lives_on(runtime, model, inputs, message):
    with pytest.raises(LiteRTError, match=message) as error:
        runtime.run(model, inputs)
    assert not isinstance(error.value, LiteRTAborted)
    assert 2 in runtime.run(softmax(0.1), [CODES])


def test_an_abort_is_an_error_and_the_next_run_works():
    with LiteRT("reference") as litert:
        for _ in range(2):
            with pytest.raises(LiteRTAborted, match="SIGABRT"):
                litert.run(softmax(TINY), [CODES])
            assert set(litert.run(softmax(0.1), [CODES])) == {0, 1, 2}


def test_the_last_words_of_a_child_are_quoted(monkeypatch, tmp_path):
    liar = tmp_path / "litert_worker.py"
    liar.write_text("import sys; print('out of luck', file=sys.stderr); sys.exit(3)")
    monkeypatch.setattr("tflite_export.litert.__file__", str(tmp_path / "litert.py"))
    with LiteRT("reference") as litert, pytest.raises(LiteRTAborted, match=r"status 3 \| out of luck"):
        litert.run(softmax(0.1) * 1000, [CODES])


def test_closing_twice_and_running_again_is_fine():
    litert = LiteRT("reference")
    litert.close()
    litert.run(softmax(0.1), [CODES])
    litert.close()
    litert.close()
    assert litert.run(softmax(0.1), [CODES])
    litert.close()


def test_an_unknown_resolver_is_refused():
    with pytest.raises(ValueError, match="must be one of reference, optimized, xnnpack"):
        LiteRT("fast")


def test_the_child_imports_neither_tensorflow_nor_keras_nor_this_package():
    run = f"import runpy, sys; runpy.run_path({worker.__file__!r})"
    code = f"{run}; import ai_edge_litert.interpreter; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"tensorflow", "keras", "tflite_export", "tfcompress"}
    assert Path(worker.__file__).name == "litert_worker.py"


@pytest.mark.parametrize("array", [np.zeros((2, 0), np.int8), np.float32(1.5), np.arange(6).reshape(2, 3)[:, ::2]])
def test_arrays_survive_the_pipe(array):
    np.testing.assert_array_equal(worker.unpack(worker.pack(array)), array)


def test_pickled_arrays_are_refused():
    with pytest.raises(ValueError, match="allow_pickle"):
        worker.pack(np.array([object()]))
