import numpy as np
from keras import layers

from tfcompress.least_squares import sampled_rows
from tfcompress.least_squares.sampled_rows import ALL, HELD, SHOWN, SampledRows, Signals


def made(positions=4, seed=0, dtype=np.float32):
    layer = layers.Conv2D(2, 3, padding="same")
    layer.build((None, 4, 4, 3))
    rng = np.random.default_rng(0)
    z = [rng.normal(size=(size, 4, 4, 3)).astype(dtype) for size in (7, 7, 3)]
    y = [np.repeat(part[..., :1], 2, axis=-1) for part in z]
    return SampledRows(layer, Signals(z, y, [-part for part in y]), positions, seed)


def joined(rows, which):
    return [np.concatenate(parts) for parts in zip(*rows.chunks(which))]


def test_a_fifth_of_the_samples_is_held_and_rows_belong_to_their_outputs():
    rows = made()
    a, y, t = joined(rows, ALL)
    assert a.shape == (17 * 4, 1, 27) and y.shape == t.shape == (17 * 4, 1, 2) and a.dtype == np.float64
    assert len(joined(rows, HELD)[0]) == 3 * 4 and len(joined(rows, SHOWN)[0]) == 14 * 4
    np.testing.assert_array_equal(y[:, 0, 0], a[:, 0, 4 * 3])  # the middle of the window
    np.testing.assert_array_equal(t, -y)
    np.testing.assert_array_equal(np.concatenate([joined(rows, SHOWN)[0], joined(rows, HELD)[0]]), a)


def test_many_samples_give_fewer_positions_each(monkeypatch):
    monkeypatch.setattr(sampled_rows, "PLENTY", 1)
    monkeypatch.setattr(sampled_rows, "LEAST", 34)
    assert len(joined(made(), ALL)[0]) == 17 * 2  # 27 rows are plenty, 34 the least


def test_every_pass_and_every_size_of_chunk_gives_the_same_rows(monkeypatch):
    expected = joined(made(), ALL)
    rows = made()
    list(rows.chunks(SHOWN))
    monkeypatch.setattr(sampled_rows, "CHUNK", 27 * 4 * 2)
    monkeypatch.setattr(sampled_rows, "KEPT", 0)
    small = made()
    assert len(list(small.chunks())) > 8
    for again in (rows, rows, small, small):
        for one, other in zip(joined(again, ALL), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(joined(made(seed=1), ALL)[0], expected[0])
