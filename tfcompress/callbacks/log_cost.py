"""What the model costs, beside loss and accuracy: in the progress bar, in the history, and for other callbacks."""

from collections.abc import Callable
from typing import Any

import keras

from tfcompress.callbacks.stepwise import Stepwise


class LogCost(Stepwise):
    """Adds costs of the model as deployed to what ``fit`` reports of an epoch, as Keras adds the learning rate.

        cycles = tfe.npu.Cost("bit-serial", representative_dataset=x[:32])
        small.fit(x, y, epochs=20, callbacks=[
            tfc.callbacks.LogCost(cycles=cycles, bops=tfc.costs.bops),
            keras.callbacks.ModelCheckpoint("cheapest.keras", monitor="cycles", mode="min", save_best_only=True),
        ])

    Each cost is measured once an epoch, at its end. Callbacks that monitor it stand behind this one in the list, and
    want ``mode="min"``.

    Args:
        **costs: Name -> whatever returns a number for a model, such as those of ``costs`` and
            ``tflite_export.npu.Cost``.

    Raises:
        ValueError: There is none, one cannot be called, or (when an epoch ends) ``fit`` reports something else by that
            name.
    """

    def __init__(self, **costs: Callable[[keras.Model], float]) -> None:
        super().__init__()
        wrong = {name: cost for name, cost in costs.items() if not callable(cost)}
        if wrong or not costs:
            raise ValueError(
                "LogCost must be given costs by name: functions that return a number for a model, such as "
                f"LogCost(bops=tfcompress.costs.bops). Received: {wrong or 'none'}"
            )
        self.costs = costs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures."""
        if logs is None:
            return
        taken = sorted(self.costs.keys() & logs.keys())
        if taken:
            raise ValueError(
                f"LogCost must use names of its own. Received: {taken}, which `fit` reports already: {sorted(logs)}"
            )
        self.open_variables()
        logs.update({name: float(cost(self.model)) for name, cost in self.costs.items()})
