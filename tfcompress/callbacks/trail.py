"""A trail of models, one per epoch, to pick one from."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.callbacks.stepwise import Stepwise, compressed_layers, path
from tfcompress.compressed import deployed


class Trail(Stepwise):
    """Keeps a trail of models, one per epoch, and how many zeros each of them has, to pick one from.

    Zeros are counted in the weights as deployed, of all slots that have a transform. Each model is whole at any time:
    it is written under another name first. ``rows`` are also in ``trail.json`` in the folder, and training that is
    resumed adds to them.

    Args:
        folder: Where ``epoch_001.keras`` and so on go; made if it is missing.

    Attributes:
        rows: One dict per epoch: ``epoch`` (from 0), ``sparsity`` (share of zeros in all these weights), ``layers``
            (``"layer/slot"`` -> share of zeros), ``metrics`` (what ``fit`` reports, with the validation's) and
            ``file``.

    Raises:
        ValueError: When training begins, the model has no transforms on weights.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds the compressed layers, and the rows of the training that is resumed."""
        self.layers = compressed_layers(self.model)
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "trail.json").exists():
            self.rows = json.loads((self.folder / "trail.json").read_text(encoding="utf-8"))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds a row and a file."""
        self.open_variables()
        file = self.folder / f"epoch_{epoch + 1:03d}.keras"
        unfinished = file.with_name(f"unfinished_{file.name}")
        self.model.save(unfinished)
        os.replace(unfinished, file)
        slots_of = ((layer, slot) for layer in self.layers for slot in layer.transforms)
        zeros = {path(self.model, layer, slot): deployed(layer, slot)[0] == 0 for layer, slot in slots_of}
        row = {
            "epoch": epoch,
            "sparsity": float(np.mean(np.concatenate([np.ravel(z) for z in zeros.values()]))),
            "layers": {name: float(np.mean(z)) for name, z in zeros.items()},
            "metrics": {name: float(value) for name, value in (logs or {}).items()},
            "file": str(file),
        }
        self.rows = [*(r for r in self.rows if r["epoch"] < epoch), row]
        unfinished = self.folder / "unfinished_trail.json"
        unfinished.write_text(json.dumps(self.rows, indent=1), encoding="utf-8")
        os.replace(unfinished, self.folder / "trail.json")

    def best(self, sparsity: float, metric: str = "val_accuracy", mode: str = "max") -> dict[str, Any]:
        """The row of the best ``metric`` among those with at least the given share of zeros.

        Args:
            sparsity: Share of zeros, 0 to 1.
            metric: A name that is in all rows' ``metrics``.
            mode: ``"max"`` (default) or ``"min"``, for losses.

        Raises:
            ValueError: No epoch has so many zeros, or the metric is not known.
        """
        rows = [row for row in self.rows if row["sparsity"] >= sparsity]
        if not rows or any(metric not in row["metrics"] for row in rows) or mode not in ("max", "min"):
            most = max((row["sparsity"] for row in self.rows), default=0.0)
            known = sorted({name for row in self.rows for name in row["metrics"]})
            raise ValueError(
                f"`sparsity` must be one that the trail reaches (at most {most:.3f}), `metric` one of {known}, `mode` "
                f"'max' or 'min'. Received: sparsity={sparsity}, metric={metric!r}, mode={mode!r}"
            )
        return {"max": max, "min": min}[mode](rows, key=lambda row: row["metrics"][metric])
