"""What an LSTM costs: eight matrices a step, and weights that stay or come again."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

import tflite_export as tfe
from tflite_export.convert import integer_graph
from tflite_export.ir import Graph
from tflite_export.npu.cost import cost_of
from tflite_export.npu.machine import Machine, load

MACHINES = ["ethos-u55-128-like", "systolic-16-ws", "systolic-16-os"]


def graph(steps: int, inputs: int = 6, units: int = 8) -> Graph:
    keras.utils.set_random_seed(0)
    x = keras.Input((steps, inputs))
    data = np.random.default_rng(0).normal(size=(8, steps, inputs)).astype(np.float32)
    return integer_graph(keras.Model(x, layers.LSTM(units, return_sequences=True)(x)), data)


def small_memory(machine: Machine, size: int) -> Machine:
    return replace(machine, memory=replace(machine.memory, sram_bytes=size))


@pytest.mark.parametrize("name", MACHINES)
def test_multiplications_are_those_of_eight_matrices_a_step(name: str) -> None:
    for steps in (1, 5):
        made = graph(steps)
        cost = cost_of(made.ops[0], made.tensors, load(name))
        assert cost.macs == steps * 4 * 8 * (6 + 8)
        assert cost.weights.count == 4 * 8 * (6 + 8)
        assert cost.vector_ops >= steps * 9 * 8


@pytest.mark.parametrize("name", MACHINES)
def test_steps_follow_each_other_and_cannot_share_the_array(name: str) -> None:
    works = [cost_of(made.ops[0], made.tensors, load(name)).work for made in (graph(2), graph(10))]
    assert works[1].cycles > 3 * works[0].cycles
    assert works[1].sram_read_bytes > 3 * works[0].sram_read_bytes


def test_weights_that_do_not_fit_come_again_in_every_step() -> None:
    made, machine = graph(5), load("ethos-u55-128-like")
    op = made.ops[0]
    assert cost_of(op, made.tensors, machine).reread_bytes == 0
    tight = cost_of(op, made.tensors, small_memory(machine, 256))
    recurrent = tight.reread_bytes / 4
    assert 0 < recurrent < tight.weights.moved_bytes(machine.weight_format)
    rows = [tfe.npu.estimate(made, m).rows[0] for m in (machine, small_memory(machine, 1024))]
    assert rows[1]["dram_read_bytes"] >= rows[0]["dram_read_bytes"]


def test_zeros_in_the_gates_cost_less() -> None:
    made, machine = graph(5), load("ethos-u55-128-like")
    pruned = [
        replace(t, data=t.data * (t.data > 60)) if t.data is not None and t.dtype == "int8" else t for t in made.tensors
    ]
    before, after = (tfe.npu.estimate(g, machine).rows[0] for g in (made, replace(made, tensors=tuple(pruned))))
    assert after["weight_moved_bytes"] < before["weight_moved_bytes"]
    assert after["cycles_total"] <= before["cycles_total"] and after["energy_dram_pj"] < before["energy_dram_pj"]


DENSITY = 0.25
CANDIDATE = 2


def gates_pruned(made: Graph, kind: str) -> Graph:
    """All gates but the candidate keep a quarter of their weights: of each 16, or anywhere; the rest has no zero."""
    random, tensors = np.random.default_rng(0), list(made.tensors)
    for place in range(8):
        index = made.ops[0].inputs[1 + place]
        shape = tensors[index].shape
        if place % 4 == CANDIDATE or kind == "dense":
            kept = np.ones(shape, bool)
        elif kind == "balanced":
            rank = random.random(shape).reshape(shape[0], -1, 16).argsort(-1).argsort(-1)
            kept = (rank < 16 * DENSITY).reshape(shape)
        else:
            kept = random.random(shape) < DENSITY
        tensors[index] = replace(tensors[index], data=np.where(kept, 3, 0).astype(np.int8))
    return replace(made, tensors=tuple(tensors))


@pytest.fixture(scope="module")
def wide() -> Graph:
    return graph(2, inputs=64, units=64)


def gain(made: Graph, kind: str, **array: object) -> float:
    """Cycles of the dense LSTM over those of the pruned one, the vector unit included."""
    machine = load("balanced-16x16")
    machine = replace(machine, array=replace(machine.array, **array))
    works = [cost_of(g.ops[0], g.tensors, machine).work for g in (gates_pruned(made, k) for k in ("dense", kind))]
    return works[0].cycles / works[1].cycles


def test_interleaved_gates_gain_what_the_arithmetic_says(wide: Graph) -> None:
    steps, vector = 2, 2 * 14 * 64 // 16
    array = (1 + steps) * 4 * 64 * 64 // 16  # one fold of positions for the input's part, one for each step
    expected = (array + vector) / (array * (1 + 3 * DENSITY) / 4 + vector)
    assert gain(wide, "balanced") == pytest.approx(expected)
    assert gain(wide, "balanced") >= 2


def test_random_zeros_in_interleaved_gates_need_queues_and_many_taps(wide: Graph) -> None:
    assert gain(wide, "random") < 1.75
    assert gain(wide, "random", queue_depth=8) > 1.9
    assert gain(graph(1, inputs=256, units=256), "random", queue_depth=8) >= 2


@pytest.mark.parametrize("kind", ["balanced", "random"])
def test_gates_on_columns_of_their_own_gain_nothing(wide: Graph, kind: str) -> None:
    assert gain(wide, kind, gates="separate") == 1.0
    assert gain(wide, kind, gates="separate", queue_depth=0) == 1.0


def test_zeros_in_the_inputs_and_outputs_of_an_lstm_are_skipped_too(wide: Graph) -> None:
    machine = load("balanced-16x16")
    machine = replace(machine, activation_zeros="skipped", decoder=None)
    data = np.random.default_rng(0).normal(size=(2, 2, 64)).astype(np.float32)
    data[:, :, ::2] = 0
    found, blind = (tfe.npu.estimate(wide, machine, data=given).rows[0] for given in (data, None))
    assert found["cycles_total"] - found["cycles_memory_stall"] < blind["cycles_total"] - blind["cycles_memory_stall"]
    # half of the inputs are zero, and all of the state before the first step; the second step's may be
    first, again = 4 * 64 * 64 * 2, 4 * 64 * 64
    assert 0 < found["macs_executed"] <= first / 2 + again
