from tflite_export.npu.vector import Vector


def test_the_last_cycle_of_a_vector_op_may_be_partly_filled():
    work = Vector(lanes=4, pooling="vector").work(operations=10, read_bytes=20, write_bytes=10)
    assert (work.useful, work.edge, work.cycles) == (2, 1, 3)
    assert (work.sram_read_bytes, work.sram_write_bytes) == (20, 10)


def test_no_operations_take_no_cycles():
    assert Vector(lanes=4, pooling="vector").work(0, 0, 0).cycles == 0
