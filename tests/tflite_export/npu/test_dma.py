from dataclasses import replace

import pytest

from tflite_export.npu import load
from tflite_export.npu.dma import sram_bytes, total_cycles
from tflite_export.npu.tiling import Traffic
from tflite_export.npu.work import Work

MEMORY = replace(
    load("systolic-16-os").memory, dram_bytes_per_cycle=2.0, dram_latency_cycles=10, sram_bytes_per_cycle=4.0
)
TRAFFIC = Traffic("streamed", input_bytes=60, weight_bytes=40, output_bytes=20, first_bytes=12, last_bytes=4)


@pytest.mark.parametrize(
    ("compute", "cycles"),
    [
        (1000, 1000 + (10 + 6) + (10 + 2)),  # the array is slower: first and last piece are exposed
        (10, (10 + 50) + (10 + 10)),  # main memory is slower
    ],
)
def test_double_buffering_hides_the_shorter_of_computing_and_moving(compute, cycles):
    assert total_cycles(Work(useful=compute), TRAFFIC, MEMORY) == cycles


def test_a_single_buffer_adds_them():
    assert total_cycles(Work(useful=1000), TRAFFIC, replace(MEMORY, buffers=1)) == 1000 + 60 + 20


def test_a_narrow_sram_port_stalls_the_array():
    assert total_cycles(Work(useful=10, sram_read_bytes=400, sram_write_bytes=80), Traffic("resident"), MEMORY) == 120


def test_waiting_for_a_port_of_its_own_is_added_to_what_the_array_takes():
    for memory in (MEMORY, replace(MEMORY, buffers=1)):
        waiting, ready = (total_cycles(Work(useful=100, port_wait=wait), TRAFFIC, memory) for wait in (30, 0))
        assert waiting == ready + 30


def test_transfers_pass_through_the_sram_too():
    work = Work(useful=10, sram_read_bytes=400, sram_write_bytes=80)
    assert sram_bytes(work, TRAFFIC) == (400 + 20, 80 + 100)


def test_no_bytes_need_no_latency():
    assert total_cycles(Work(useful=7), Traffic("resident"), MEMORY) == 7
