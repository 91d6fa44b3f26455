r"""Least squares for a separable convolution: a depthwise kernel D and a pointwise kernel P in turn.

    W[(t, c), o] = sum_m D[t, c, m] * P[(c, m), o]

For given D the best P is least squares in the depthwise outputs, and for given P the best D is least squares too:

    P = (S' C S)^-1 S' M,                                    S[(t, c), (c, m)] = D[t, c, m]
    sum C[(t, c), (u, e)] * (P P')[(c, m), (e, n)] * D[u, e, n] = sum_o M[(t, c), o] * P[(c, m), o]    over u, e, n

with C = Cov(a) and M = Cov(a, t) of full windows, see ``least_squares.py``; so no row is needed twice. D starts from
the free solution: the first singular vectors of its taps, for each channel.
"""

import numpy as np

ROUNDS = 5
"""Times that both are solved at first; for later targets, which differ little, once."""


class Separated:
    """Finds W of the form above.

    Args:
        taps: Places in the window.
        channels: Of the input.
        multiplier: Depthwise outputs of each channel.
    """

    def __init__(self, taps: int, channels: int, multiplier: int) -> None:
        self.taps, self.channels, self.multiplier = taps, channels, multiplier
        self._wide: np.ndarray | None = None

    def __call__(self, covariance: np.ndarray, moment: np.ndarray) -> np.ndarray:
        """W, (1, taps * channels, outputs), from C, (1, n, n), and M, (1, n, outputs)."""
        c, m = covariance[0], moment[0]
        wide = self.factors(np.linalg.solve(c, m))[0] if self._wide is None else self._wide
        for _ in range(ROUNDS if self._wide is None else 1):
            wide = self._best_wide(self._best_deep(wide, c, m), c, m)
        self._wide = wide
        return self._product(wide, self._best_deep(wide, c, m))[None]

    def factors(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """D (taps, channels, multiplier) and P (channels * multiplier, outputs) whose product is nearest to W."""
        of_channels = weights.reshape(self.taps, self.channels, -1).swapaxes(0, 1)
        u, s, v = np.linalg.svd(of_channels, full_matrices=False)
        if u.shape[-1] < self.multiplier:  # fewer taps or outputs than multiples
            lack = self.multiplier - u.shape[-1]
            u, s = np.pad(u, [(0, 0), (0, 0), (0, lack)]), np.pad(s, [(0, 0), (0, lack)])
            v = np.pad(v, [(0, 0), (0, lack), (0, 0)])
        root = np.sqrt(s[:, : self.multiplier])
        wide = (u[..., : self.multiplier] * root[:, None]).transpose(1, 0, 2)
        deep = root[..., None] * v[:, : self.multiplier]
        return wide, deep.reshape(self.channels * self.multiplier, -1)

    def _product(self, wide: np.ndarray, deep: np.ndarray) -> np.ndarray:
        parts = deep.reshape(self.channels, self.multiplier, -1)
        return np.einsum("tcm,cmo->tco", wide, parts).reshape(self.taps * self.channels, -1)

    def _best_deep(self, wide: np.ndarray, c: np.ndarray, m: np.ndarray) -> np.ndarray:
        spread = np.einsum("tcm,ce->tcem", wide, np.eye(self.channels))
        spread = spread.reshape(self.taps * self.channels, self.channels * self.multiplier)
        return _solve(spread.T @ c @ spread, spread.T @ m)

    def _best_wide(self, deep: np.ndarray, c: np.ndarray, m: np.ndarray) -> np.ndarray:
        shape = (self.taps, self.channels, self.multiplier)
        parts = deep.reshape(self.channels, self.multiplier, -1)
        pairs = np.einsum("cmo,eno->cmen", parts, parts)
        blocks = c.reshape(self.taps, self.channels, self.taps, self.channels)
        matrix = np.einsum("tcue,cmen->tcmuen", blocks, pairs).reshape(np.prod(shape), np.prod(shape))
        right = np.einsum("tco,cmo->tcm", m.reshape(self.taps, self.channels, -1), parts)
        return _solve(matrix, right.reshape(-1)).reshape(shape)


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """With as much ridge as keeps rank-deficient systems solvable."""
    ridge = 1e-9 * max(float(np.trace(matrix)) / len(matrix), 1e-30)
    return np.linalg.solve(matrix + ridge * np.eye(len(matrix)), right)
