r"""The mask with two soft edges: about 0 on a band around zero, about 1 on either side of it.

    h(w) = 1 + S(beta * (w - alpha)) - S(beta * (w + alpha)),    S the logistic function

``alpha`` is where the edges are, ``2 * alpha`` their distance; ``beta`` is their sharpness. Half of the mask is left
at the edges, and ``2 * S(-alpha * beta)`` at zero. With ``s(z) = S(z) * (1 - S(z))``, at ``right = beta * (w - alpha)``
and ``left = beta * (w + alpha)``, the slopes, all three true, are

    dh/dw     =  beta * (s(right) - s(left))
    dh/dalpha = -beta * (s(right) + s(left))
    dh/dbeta  =  (w - alpha) * s(right) - (w + alpha) * s(left)

They are written out, which keeps two tensors less for the way back than tracing ``h`` does.

Reference: "Self-Pruning Neural Networks for Weight Parameter Reduction", Samsung, US11250325B2, 2022, claims 1 and 2,
https://patents.google.com/patent/US11250325B2. Differs from the source in: the claims describe the
curve and its two parameters, the logistic function is our reading of it.
"""

from typing import Any

from keras import ops

from tfcompress.gradients import sum_to


def mask(w: Any, alpha: Any, beta: Any) -> Any:
    """``h(w; alpha, beta)``, from 0 to 1, with its true gradients.

    Args:
        w: float32, any shape.
        alpha: Where the edges are, in the unit of ``w``, positive; a scalar, or of the rank of ``w`` with each axis 1
            or that of ``w``.
        beta: Sharpness of the edges, in one over the unit of ``w``, positive; likewise.
    """

    @ops.custom_gradient
    def forward(w: Any, alpha: Any, beta: Any) -> Any:
        right, left = ops.sigmoid(beta * (w - alpha)), ops.sigmoid(-beta * (w + alpha))  # 1 - S(z) is S(-z)

        def backward(upstream: Any) -> Any:
            at_right, at_left = upstream * right * (1 - right), upstream * left * (1 - left)
            by_alpha = sum_to(-beta * (at_right + at_left), alpha)
            by_beta = sum_to((w - alpha) * at_right - (w + alpha) * at_left, beta)
            return beta * (at_right - at_left), by_alpha, by_beta

        return right + left, backward

    return forward(w, ops.convert_to_tensor(alpha), ops.convert_to_tensor(beta))
