import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from tflite_export.interpreter import vectors


@njit
def multiply(x, w, total):
    vectors.multiply_tile(x, w, total)


@njit
def slide(x, w, stride, dilation, total):
    vectors.slide_tile(x, w, stride, dilation, total)


def words(values):
    """Neighbours along the last axis in one int32."""
    return np.ascontiguousarray(values).view(np.int32)[..., 0]


def test_tile_is_a_matrix_product():
    rng, length = np.random.default_rng(0), 5
    x = rng.integers(0, 256, (vectors.ROWS, length, vectors.DEPTH))
    w = rng.integers(-128, 128, (length, vectors.PANEL, vectors.DEPTH))
    total = np.empty((vectors.ROWS, vectors.PANEL), np.int32)
    multiply(words(x.astype(vectors.CODE)), words(w.astype(vectors.WEIGHT)), total)
    np.testing.assert_array_equal(total, np.einsum("rkd,kcd->rc", x, w))


def test_tile_slides_over_pixels():
    rng, stride, dilation = np.random.default_rng(0), 2, 3
    pixels = (vectors.PIXELS - 1) * stride + 2 * dilation + 1
    x, w = (rng.integers(-255, 256, (2, count, vectors.LANES, 2)) for count in (pixels, 3))
    total = np.empty((vectors.PIXELS, vectors.LANES), np.int32)
    slide(words(x.astype(np.int16)), words(w.astype(np.int16)), stride, dilation, total)
    seen = [x[:, j * dilation :][:, : vectors.PIXELS * stride : stride] for j in range(3)]
    expected = sum(np.einsum("irld,ild->rl", part, w[:, j]) for j, part in enumerate(seen))
    np.testing.assert_array_equal(total, expected)


@pytest.mark.slow
@pytest.mark.evidence
@pytest.mark.parametrize("features", ["", "+avx2"])
def test_processors_with_less_compute_the_same(features, tmp_path):
    """Words of two int16, in vectors of 4 or 8: this file's other tests and those of the loops, compiled for less."""
    environment = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    files = [Path(__file__), Path(__file__).with_name("test_linear.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *map(str, files)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
