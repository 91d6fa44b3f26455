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
