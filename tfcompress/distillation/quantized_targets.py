"""Targets that the base network computes once, kept as small integers: a byte a sample for ten classes.

    codes = encode(f_base(x))            once
    fit on (x, decode(codes))            every epoch

The base is then not needed any more. This is right only where every epoch shows the same inputs; where images are
augmented anew each time, ``DerivedModel`` asks the base each time.

Reference: Alonso Garcia, Cardinaux, Kemp, Tiedemann, Uhlich and Yoshiyama, "Artificial neural network", Sony,
US20190258928A1, 2019, https://patents.google.com/patent/US20190258928A1. Differs from the source in what it leaves
open: the quantisers (see ``targets.py``), and how targets are kept.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tfcompress.distillation.pairs import PairedBatches, Pairs, checksum, inputs_of, is_array
from tfcompress.targets import Argmax, TargetQuantizer, checked, each


class QuantizedTargets:
    """Codes of targets, and the inputs that they belong to by their order. ``quantized_targets`` makes it.

    Args:
        codes: Integers, samples first; a structure of arrays for several outputs.
        quantizer: What decodes them.
        classes: Size of the last axis of each output.
        sizes: How many samples each batch of the inputs had.
        checksums: Of each batch of the inputs, so that other inputs, or another order, are noticed.
    """

    def __init__(
        self, codes: Any, quantizer: Any, classes: Any, sizes: Sequence[int], checksums: Sequence[int]
    ) -> None:
        self.codes, self.quantizer, self.classes = codes, quantizer, classes
        self.sizes, self.checksums = list(sizes), list(checksums)

    @property
    def nbytes(self) -> int:
        """Bytes of all codes."""
        return sum(array.nbytes for array in keras.tree.flatten(self.codes))

    def decode(self, codes: Any = None) -> Any:
        """Targets (float32 tensors) of ``codes``, of all by default."""
        codes = self.codes if codes is None else codes
        return each(lambda quantizer, c, n: quantizer.decode(c, n), self.quantizer, codes, self.classes)

    def attach(self, x: Any, batch_size: int = 32, shuffle: bool = False, seed: int | None = None) -> Any:
        """What ``fit`` takes: the inputs with their targets, which are decoded batch by batch.

        Args:
            x: The same inputs, in the same order, as the targets were made of.
            batch_size: Where ``x`` is in arrays.
            shuffle: Draws a new order for each epoch, where ``x`` is in arrays. Shuffle the tf.data.Dataset that comes
                back otherwise.
            seed: Of the order.

        Returns:
            A tf.data.Dataset for a tf.data.Dataset, else a PyDataset. Labels in ``x`` are left out, weights stay.

        Raises:
            ValueError: The inputs are not those that the targets were made of, or (tf.data) Keras does not run on
                TensorFlow, which the decoding inside the dataset needs.
        """
        if is_array(keras.tree.flatten(x)[0]):
            starts = np.cumsum([0, *self.sizes])
            for k, (start, end) in enumerate(itertools.pairwise(starts)):
                self._check(k, keras.tree.map_structure(lambda a, s=start, e=end: a[s:e], x))
            if len(keras.tree.flatten(x)[0]) != starts[-1]:
                raise _strangers(f"{len(keras.tree.flatten(x)[0])} samples", f"{starts[-1]} samples")
            return Pairs(x, self.codes, self.decode, batch_size, shuffle, seed)
        if isinstance(x, keras.utils.PyDataset):
            return PairedBatches(x, self._batches(), self.decode, self._check)
        return self._mapped(x)

    def _mapped(self, dataset: Any) -> Any:
        """A tf.data.Dataset, with its own methods: TensorFlow is not imported here."""
        if keras.backend.backend() != "tensorflow" or not callable(getattr(dataset, "from_tensor_slices", None)):
            raise ValueError(
                "`x` must be arrays or a PyDataset, or, on the TensorFlow backend, a tf.data.Dataset. "
                f"Received: {type(dataset).__name__} on {keras.backend.backend()}. DerivedModel takes what `fit` takes."
            )
        count = 0
        for count, item in enumerate(dataset.take(2), 1):  # the first two tell whether it is shuffled
            self._check(count - 1, inputs_of(item))
        if not count or len({*self.sizes[:-1]}) > 1 or self.sizes[-1] > self.sizes[0]:
            raise _strangers(f"batches of {sorted({*self.sizes})} samples", "batches of one size")
        codes = tuple(self.codes) if isinstance(self.codes, list) else self.codes
        coded = dataset.from_tensor_slices(codes).batch(self.sizes[0])

        def decoded(item: Any, codes: Any) -> Any:
            targets = self.decode(list(codes) if isinstance(self.codes, list) else codes)
            targets = tuple(targets) if isinstance(targets, list) else targets  # tf.data makes one tensor of a list
            return (inputs_of(item), targets, *item[2:]) if isinstance(item, tuple) else (item, targets)

        return dataset.zip(dataset, coded).map(decoded)

    def _batches(self) -> list[Any]:
        """The codes of each batch."""
        starts = np.cumsum([0, *self.sizes])
        return [
            keras.tree.map_structure(lambda c, s=start, e=end: c[s:e], self.codes)
            for start, end in itertools.pairwise(starts)
        ]

    def _check(self, k: int, x: Any) -> None:
        if k >= len(self.checksums) or checksum(x) != self.checksums[k]:
            raise _strangers(f"another batch {k}", f"the {len(self.checksums)} batches in their order")


def quantized_targets(base: keras.Model, x: Any, quantizer: Any = None, batch_size: int = 32) -> QuantizedTargets:
    """Asks the base network once for all targets, and keeps their codes.

        targets = tfc.quantized_targets(base, x)
        student.fit(targets.attach(x, batch_size=64, shuffle=True), epochs=10)

    Args:
        base: A built keras.Model of any kind; computes as at inference and is not changed.
        x: Arrays (one, or a list or dict for several inputs), a PyDataset, or another iterable of batches of ``x``,
            ``(x, y)`` or ``(x, y, weights)`` in an order that stays, such as a tf.data.Dataset. Labels are not read.
        quantizer: What makes targets of the base's outputs, see ``tfcompress.targets``; or a structure of quantisers
            like the outputs. Default ``Argmax()``. It is copied, and the copy calibrated, if it must be, on the
            outputs for all of ``x``.
        batch_size: Samples that the base sees at once, where ``x`` is in arrays.

    Returns:
        The codes, with ``attach`` to train on them.

    Raises:
        ValueError: ``x`` holds no samples, or ``quantizer`` is none.
    """
    prototype = checked(Argmax() if quantizer is None else quantizer)
    copies: Any = None
    rows, sizes, checksums = [], [], []
    for batch in _batches(x, batch_size):
        outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, base.predict_on_batch(batch))
        if copies is None:
            classes = keras.tree.map_structure(lambda y: y.shape[-1], outputs)
            copies = each(lambda q, _: type(q).from_config(q.get_config()), prototype, outputs)
            ready = _calibrated(copies)
        rows.append(each(_stored, copies, outputs) if ready else outputs)
        sizes.append(len(keras.tree.flatten(outputs)[0]))
        checksums.append(checksum(batch))
    if not rows:
        raise ValueError(f"`x` must hold at least one sample for model '{base.name}'. Received: none.")
    joined = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *rows)
    if not ready:
        each(lambda q, y: _calibrated(q) or q.calibrate(y), copies, joined)
        joined = each(_stored, copies, joined)
    return QuantizedTargets(joined, copies, classes, sizes, checksums)


def _calibrated(quantizers: Any) -> bool:
    try:
        for one in keras.tree.flatten(quantizers):
            one.check()
    except ValueError:
        return False
    return True


def _stored(quantizer: TargetQuantizer, outputs: np.ndarray) -> np.ndarray:
    """Codes in the smallest type that holds them."""
    count = quantizer.count(outputs.shape[-1])
    return keras.ops.convert_to_numpy(quantizer.encode(outputs)).astype(np.min_scalar_type(count - 1))


def _batches(x: Any, batch_size: int) -> Iterator[Any]:
    """The inputs, batch by batch."""
    if is_array(keras.tree.flatten(x)[0]):
        for start in range(0, len(keras.tree.flatten(x)[0]), batch_size):
            yield keras.tree.map_structure(lambda a, s=start: a[s : s + batch_size], x)
    elif isinstance(x, keras.utils.PyDataset):
        yield from (inputs_of(x[k]) for k in range(len(x)))
    elif isinstance(x, Iterable):
        yield from (inputs_of(item) for item in x)
    else:
        raise ValueError(f"`x` must be arrays or an iterable of batches. Received: {type(x).__name__}")


def _strangers(received: str, expected: str) -> ValueError:
    return ValueError(
        f"`x` must be the inputs that the targets were made of: {expected}. Received: {received}. Do not shuffle or "
        "augment in front of quantized_targets; shuffle what `attach` returns, or train a DerivedModel."
    )
