"""A damaged or hostile file ends in one clear error, or in a model that is sound: no crash, no hang, no silent answer.

At least 5,000 files. Each is read, made ready and run within a second of processor time, all of them within 1 GiB.
What is accepted must be a model through and through: it can be written and read back, and it delivers what its file
declares.
"""

import resource
import time

import numpy as np
import pytest
from hostile_files import MUTATIONS, files, hostile

from tflite_export.flatbuffer import canonical, read, write
from tflite_export.interpreter import Executor
from tflite_export.ir import STORAGE

FILES = files()
EACH = {**dict.fromkeys(MUTATIONS, 300), "hostile": 700}
"""Damaged files of each kind made from each sound one."""

SECONDS, MEMORY = 1.0, 2**30


@pytest.fixture
def limited_memory():
    """Lets this process grow by 1 GiB."""
    with open("/proc/self/statm", encoding="ascii") as status:
        held = int(status.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(blob: bytes) -> str:
    """ "refused" with one clear line, or "ran" as a sound model."""
    try:
        graph = read(blob)
        executor = Executor(graph)
        inputs = [np.zeros(graph.tensors[t].shape, STORAGE[graph.tensors[t].dtype]) for t in graph.inputs]
        delivered = executor.run(inputs)
    except ValueError as error:
        assert str(error)
        assert "\n" not in str(error)
        return "refused"
    assert read(write(graph)) == canonical(graph)
    for t in graph.outputs:
        assert delivered[t].shape == graph.tensors[t].shape
        assert delivered[t].dtype == STORAGE[graph.tensors[t].dtype]
    return "ran"


def test_the_sound_files_run():
    assert {name: outcome(blob) for name, blob in FILES.items()} == dict.fromkeys(FILES, "ran")


@pytest.mark.parametrize("kind", EACH)
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused_or_sound(name, kind, limited_memory, record_property):
    rng, counts = np.random.default_rng(sorted(EACH).index(kind)), {"refused": 0, "ran": 0}
    damage = hostile if kind == "hostile" else MUTATIONS[kind]
    for number in range(EACH[kind]):
        blob, start = damage(FILES[name], rng), time.process_time()
        try:
            counts[outcome(blob)] += 1
        except BaseException as error:
            error.add_note(f"file {number} of {name}, {kind}")
            raise
        assert time.process_time() - start < SECONDS, f"file {number} of {name}, {kind}"
    assert counts["refused"] > EACH[kind] / 10
    record_property("hostile files", sum(counts.values()))


def test_they_are_enough():
    assert len(FILES) * sum(EACH.values()) >= 5000
