"""Gates of any kind."""

import numpy as np
import pytest

from tfcompress.constant_gate import ConstantGate


class Halves(ConstantGate):
    """Closes every second channel and halves the others."""

    factor = np.array([0.5, 0.0, -0.5, 0.0], np.float32)


def test_what_is_multiplied_by_zero_is_not_kept():
    gate = Halves()
    assert gate.keep.tolist() == [True, False, True, False]
    assert gate.importance.tolist() == [0.5, 0.0, 0.5, 0.0]
    assert gate.compute_output_shape((None, 4)) == (None, 4) and gate.supports_masking


def test_a_gate_without_a_factor_says_so():
    with pytest.raises(NotImplementedError, match="ConstantGate must define `factor`"):
        _ = ConstantGate().keep
