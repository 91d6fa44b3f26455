from dataclasses import replace

import pytest

from tflite_export.ir import Op


@pytest.fixture
def graph(network):
    """``network`` with everything else that a file can carry."""
    metadata = {"tfcompress": b'{"layers":{"conv":{"kernel":{"bits":4}}},"version":1}', "note": b"\x00\x01"}
    return replace(
        network,
        ops=(*network.ops[:2], Op("SOFTMAX", (5,), (6,), {"beta": 0.1})),
        signature=("serving_default", {"x": 0}, {"y": 6}),
        metadata=metadata,
        description="a small graph",
    )
