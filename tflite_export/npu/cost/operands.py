"""How a cost function reads its op: the operands it needs, of the rank it needs."""

from collections.abc import Sequence

from tflite_export.ir import Op, Tensor


def operands(op: Op, tensors: Sequence[Tensor], *ranks: int | None) -> list[Tensor]:
    """The first inputs and, last, the output; ``ranks`` holds their numbers of dimensions, None for any.

    Raises:
        ValueError: An operand is absent, empty, or has another rank.
    """
    indices = [*op.inputs[: len(ranks) - 1], *op.outputs[:1]]
    if len(indices) < len(ranks) or min(indices) < 0:
        raise ValueError(f"{op.kind} must have at least {len(ranks) - 1} inputs and one output")
    found = [tensors[i] for i in indices]
    for tensor, rank in zip(found, ranks):
        if 0 in tensor.shape or rank not in (None, len(tensor.shape)):
            wanted = "no empty dimension" if rank is None else f"{rank} dimensions, none of them empty"
            raise ValueError(f"{op.kind}: `{tensor.name}` must have {wanted}. Received: shape {list(tensor.shape)}")
    return found


def divide(op: Op, whole: int, part: int, what: str) -> int:
    """``whole / part`` where it must be an integer.

    Raises:
        ValueError: It is not.
    """
    if whole % part:
        raise ValueError(f"{op.kind}: {what} must divide. Received: {whole} and {part}")
    return whole // part
