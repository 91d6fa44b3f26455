"""Slices of a tensor that have their own numbers: one step, one range per output channel.

A Transform's ``axis`` names the axes along which slices differ. Whatever holds one number per slice has the tensor's
size along those axes and 1 along all others, so that it broadcasts:

    tensor (3, 3, 16, 32), axis (-1,)  ->  (1, 1, 1, 32)
"""

from collections.abc import Sequence


def as_axes(axis: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """``axis`` as a tuple; None, which means that the slot decides, stays None."""
    if axis is None or isinstance(axis, int):
        return axis if axis is None else (axis,)
    return tuple(int(a) for a in axis)


def other_axes(rank: int, axis: Sequence[int] | None) -> tuple[int, ...]:
    """The axes along which a slice extends, ascending."""
    kept = {a % rank for a in axis or ()}
    return tuple(a for a in range(rank) if a not in kept)


def slice_shape(shape: Sequence[int | None], axis: Sequence[int] | None, name: str) -> tuple[int, ...]:
    """The shape of one number per slice.

    Args:
        shape: Shape of the tensor, None where the size varies.
        axis: Axes along which slices differ, negative ones counted from the end; None is none.
        name: The transform's name, for errors.

    Raises:
        ValueError: The tensor lacks one of the axes, or its size along one varies.
    """
    rank = len(shape)
    lost = [a for a in axis or () if not -rank <= a < rank or shape[a] is None]
    if lost:
        raise ValueError(
            f"Transform '{name}': each axis in `axis` must be one of a tensor of shape {tuple(shape)}, and of fixed "
            f"size. Received: axis={axis}. Use axis=() for one number for the whole tensor."
        )
    others = other_axes(rank, axis)
    return tuple(1 if a in others else int(shape[a]) for a in range(rank))  # type: ignore[arg-type]
