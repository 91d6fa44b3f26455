from fractions import Fraction

import numpy as np
import pytest

from tflite_export.npu import estimate, load
from tflite_export.npu.loops import Loops
from tflite_export.npu.multipliers import product_bits, sigma, signed_digits

from .graphs import Net, compute


def loops(weight, activation, positions=4):
    return Loops(1, positions, 1, positions, 8, 8, weight_width=weight, in_width=activation)


@pytest.mark.parametrize(
    ("kind", "of_8x8", "of_4x8", "of_4x4", "of_3x5", "of_8x16"),
    [
        ("fixed", 1, 1, 1, 1, 2),
        ("binned", 1, 1, 1, 1, 2),
        ("bricks", 1, "1/2", "1/4", "1/2", 2),
        ("activation_serial", 1, 1, "1/2", "5/8", 2),
        ("serial", 1, "1/2", "1/4", "15/64", 2),
        ("shift", 1, 1, 1, 1, 2),
    ],
)
def test_cycles_of_a_product(kind, of_8x8, of_4x8, of_4x4, of_3x5, of_8x16):
    widths = [(8, 8), (4, 8), (4, 4), (3, 5), (8, 16)]
    expected = [Fraction(x) for x in (of_8x8, of_4x8, of_4x4, of_3x5, of_8x16)]
    assert [sigma(kind, 8, loops(*pair)) for pair in widths] == expected


def test_a_single_row_gains_from_the_bits_of_the_weights_alone():
    assert sigma("serial", 8, loops(4, 4, positions=1)) == Fraction(1, 2)


def test_shifters_take_a_step_for_each_digit():
    assert sigma("shift", 8, loops(8, 8), digits=3) == 3


@pytest.mark.parametrize(
    ("code", "digits"), [(0, 0), (1, 1), (-64, 1), (3, 2), (7, 2), (-7, 2), (85, 4), (127, 2), (-128, 1)]
)
def test_digits_of_the_shortest_signed_form(code, digits):
    assert signed_digits(np.array([code], np.int8)) == [digits]


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("fixed", (8, 16)), ("bricks", (4, 16)), ("serial", (3, 9)), ("activation_serial", (8, 9)), ("shift", (8, 16))],
)
def test_widths_that_products_are_charged_for(kind, bits):
    assert product_bits(kind, 8, loops(3, 9)) == bits


def layer(largest, machine, levels=None):
    random = np.random.default_rng(0)
    codes = (
        random.integers(-largest, largest + 1, (32, 3, 3, 32))
        if levels is None
        else random.choice(levels, (32, 3, 3, 32))
    )
    return estimate(Net(1, 16, 16, 32).conv(32, weights=codes, name="c").graph(), machine).rows[0]


@pytest.mark.parametrize(("machine", "gain"), [("bricks-16x16", 2), ("bit-serial", 2), ("systolic-16-os", 1)])
def test_four_bit_weights_in_bytes_are_found_in_the_codes(machine, gain):
    wide, narrow = layer(127, machine), layer(7, machine)
    assert wide["cycles_useful"] == gain * narrow["cycles_useful"]
    assert narrow["utilisation"] == pytest.approx(
        compute(wide) / compute(narrow) / gain * wide["utilisation"], rel=0.15
    )


def test_powers_of_two_run_at_full_speed_without_multipliers():
    powers = np.array([0, 1, -2, 4, 64, -64])
    fast, slow, dense = layer(0, "shift-16x16", powers), layer(127, "shift-16x16"), layer(0, "systolic-16-os", powers)
    assert compute(fast) == compute(dense)
    assert slow["cycles_useful"] == 4 * fast["cycles_useful"]
    assert fast["energy_mac_pj"] == pytest.approx(fast["macs"] * (0.1 + 0.024) * np.mean(0) + fast["energy_mac_pj"])
    assert fast["energy_mac_pj"] < 0.45 * dense["energy_mac_pj"]


def test_a_machine_that_only_shifts_names_the_layer_and_the_codes(tmp_path):
    (tmp_path / "m.toml").write_text('base = "shift-16x16"\n[array]\nmultiplier = "shift_only"\n')
    machine = load(tmp_path / "m.toml")
    assert (
        layer(0, machine, np.array([0, 1, 64]))["cycles_total"]
        == layer(0, "shift-16x16", np.array([0, 1, 64]))["cycles_total"]
    )
    with pytest.raises(ValueError, match=r"layer `c`: .* must be powers of two or 0. Received: -127, -126, .*, \.\.\."):
        layer(127, machine)


def test_bins_multiply_once_for_each_weight(tmp_path):
    (tmp_path / "m.toml").write_text('base = "systolic-16-os"\n[array]\nmultiplier = "binned"\n')
    binned, plain = (layer(0, m, np.array([0, 3, -7, 90])) for m in (load(tmp_path / "m.toml"), "systolic-16-os"))
    outputs = 16 * 16 * 32
    assert compute(binned) == compute(plain)
    assert binned["energy_mac_pj"] == pytest.approx(0.1 * binned["macs"] + outputs * 3 * (0.2 + 0.1))
    wide = layer(127, load(tmp_path / "m.toml"))
    assert wide["energy_mac_pj"] == layer(127, "systolic-16-os")["energy_mac_pj"]
