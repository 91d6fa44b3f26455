r"""Training within a budget: bit-widths and channels are priced until the model costs no more than it may.

    loss  =  task + sum over i of  price_i * n_i        n_i the bits of a tensor, or the channels of a gate
    price_i  =  pressure * (dC / dn_i) / C,             so that the sum has the gradient of pressure * log C
    pressure  =  max(0, lambda + damping * excess),     excess = log(C / limit)
    lambda  <-  max(0, lambda + rate * excess)          dual ascent, ``rate`` spread over the steps until ``freeze``

C is a product of widths and channel counts, and its derivative is the product rule: a weight's bit costs the more, the
more bits its inputs have and the more channels are left. So each transform and each gate adds a term of its own to the
loss, the price times its own number, and this callback sets the prices, some hundred times in a training. The damping
keeps lambda, an integral of an integral, from swinging; it makes this the method of multipliers.

A cost that is measured, such as the cycles of a machine, has no derivative. Then C is the real cost of the model as
deployed at that step, and dC / dn that of a surrogate which has the same value there (``costs.Surrogated``).

At ``freeze`` of the training all is rounded and stays: ``fixed`` and ``open``, variables of the graph. Widths are
rounded up after a shift, the same fraction of a bit for all, the largest with which the model as deployed costs no more
than the limit; what then still fits is added, tensor by tensor. Where widths alone cannot do it, the shift becomes so
negative that channels near to being closed are closed, too. The surrogate looks for the shift, and the real cost
decides. What is left of the training is for the weights.

Reference: Wang, Lu and Blankevoort, "Differentiable Joint Pruning and Quantization for Hardware Efficiency", ECCV 2020,
https://arxiv.org/abs/2007.10463, and US patent 12131258 B2, Qualcomm, which has the loss in the logarithm of the cost.
The damping: Platt and Barr, "Constrained Differential Optimization", NIPS 1987. Differs from the sources in that
lambda is found and not tried; in the last rounding, which makes the budget a promise; and in prices that are constant
between two settings of the callback.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfcompress import costs
from tfcompress.callbacks import priced
from tfcompress.callbacks.priced import Priced, State, slope
from tfcompress.callbacks.settling import Settling
from tfcompress.callbacks.stepwise import Stepwise


class Budget(Stepwise):
    """Makes a model learn widths and channels within a budget, and fixes them.

    Works on transforms that learn their width (``DifferentiableBits``, ``BayesianBits``) and on the gates of
    ``edits.insert_bottlenecks``. Gates may have a ``kl`` of their own, which is added to the price.

        small = tfc.compress(model, {".*": {"kernel": tfc.DifferentiableBits(), "output": tfc.DifferentiableBits()}})
        tfc.calibrate(small, x)
        small = tfc.edits.insert_bottlenecks(small)
        small.fit(x, y, epochs=20, callbacks=[tfc.callbacks.Budget(0.01 * tfc.costs.bops(model))])
        small = tfc.edits.remove_channels(small)

    All that training needs to go on is in the model: resumed for the rest of the same number of epochs, it does what it
    would have done.

    Args:
        limit: What the model may cost, above 0.
        cost: What is limited: ``costs.bops`` (default), ``costs.weight_bytes``, ``costs.macs``; cycles or energy of a
            machine, ``tflite_export.npu.Cost(machine)``; or whatever returns a number for a model. It is given the
            model as it is, with closed gates, and may remove the channels and export.
        surrogate: What prices of a cost that is not of ``costs`` are made from: one of the three of ``costs``. Default:
            what the cost itself knows (``npu.Cost`` does), else ``costs.bops``. Widths cost nothing in ``costs.macs``,
            and stay as they are.
        freeze: When all is fixed: a share of the training, 0 to 1, or a step. Default 0.7.
        rate: Of the dual ascent: by how much lambda rises from the first step to ``freeze`` if the cost is e times the
            limit all the while; above 0. Default 0.3.
        damping: How much the excess itself adds to lambda; at least 0. Default 0.3.
        every: Steps between two settings of the prices. Default: 10, and an epoch for a cost that is not of ``costs``.
            A multiple of ``steps_per_execution`` makes results independent of that.

    Attributes:
        rows: One dict per setting: ``step``, ``cost`` (of the model as deployed), ``surrogate`` (of the fractions of
            bits that are learned), ``pressure``; the last is of the model as deployed for good, with ``pressure`` 0.

    Raises:
        ValueError: An argument is out of range, or (when training begins) there is nothing to be priced, a layer that
            cannot be counted, or a training whose number of steps is not known.

    Warns:
        UserWarning: The budget could not be met; or nothing that is learned changes the cost, because the machine takes
            as long for all widths.
    """

    def __init__(
        self,
        limit: float,
        cost: Callable[[keras.Model], float] = costs.bops,
        surrogate: costs.Cost | None = None,
        freeze: float | int = 0.7,
        rate: float = 0.3,
        damping: float = 0.3,
        every: int | None = None,
    ) -> None:
        super().__init__()
        positive = {"limit": limit, "rate": rate, "every": 1 if every is None else every}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"`{name}` must be above 0. Received: {name}={value}")
        if not damping >= 0:
            raise ValueError(f"`damping` must be at least 0. Received: damping={damping}")
        if freeze < 0 or (isinstance(freeze, float) and freeze > 1):
            raise ValueError(f"`freeze` must be a share from 0 to 1, or a step. Received: freeze={freeze}")
        self.limit, self.freeze, self.rate, self.damping, self.every = float(limit), freeze, rate, damping, every
        self.counted = isinstance(cost, costs.Cost)
        self.cost: costs.Surrogated = costs.Anchored(cost, surrogate or costs.bops)
        if surrogate is None and isinstance(cost, costs.Surrogated):
            self.cost = cost
        self.rows: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Reads the model, and goes on where lambda was."""
        self.facts = costs.Facts(self.model)
        self.widths, self.channels = priced.widths(self.facts), priced.channels(self.facts)
        self.all: list[Priced] = [*self.widths, *self.channels]
        if not self.all:
            raise ValueError(
                f"Model '{self.model.name}' must have something to price: transforms like DifferentiableBits that are "
                "trained, or gates of edits.insert_bottlenecks whose channels can be removed. Received: neither."
            )
        self._base = self.facts.gone()  # but for what gates may open again
        for gate in self.channels:
            self._base[gate.numbers] = False
        self._holders, self._warned = self._multipliers(), False
        steps = self.params.get("steps")
        if steps is None and ((self.every is None and not self.counted) or isinstance(self.freeze, float)):
            raise ValueError(
                "Budget must know the number of steps in an epoch. Received: a data set of unknown size. Give `fit` "
                "its `steps_per_epoch`, or Budget `freeze` and `every` in steps."
            )
        self._last = int(self.freeze * steps * self.params["epochs"]) if isinstance(self.freeze, float) else self.freeze
        self._every = self.every or (10 if self.counted else steps)
        self._fixed = self._is_fixed()
        done = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        self._due = (done - 1) // self._every

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets prices, or fixes what was learned."""
        step = self._first + batch
        if self._fixed:
            return
        if step >= self._last:
            self.open_variables()
            self._settle(step)
            self._fixed = True
        elif step // self._every > self._due:
            self._due = step // self._every
            self.open_variables()
            self._set_prices(step)

    def _multipliers(self) -> list[keras.Variable]:
        """Where lambda is kept: in every layer that is priced, since callbacks have no state that is saved."""
        gates = [c.gate for c in self.channels]
        return list({id(layer): layer.multiplier for layer in [*(w.transform for w in self.widths), *gates]}.values())

    def _is_fixed(self) -> bool:
        first = self.widths[0].transform if self.widths else self.channels[0].gate
        return bool(ops.convert_to_numpy(first.is_fixed))

    def _rows(self, state: State) -> list[costs.Row]:
        return self.facts.rows(*state)

    def _state(self, soft: bool = False) -> State:
        """Widths and channels as they are now."""
        gone = self._base.copy()
        for gate in self.channels:
            gone[gate.closed()] = True
        return self.facts.widths(soft), gone

    def _near(self) -> costs.Cost:
        """The cost around the model as it is."""
        return self.cost.near(self.model, self._rows(self._state()))

    def _set_prices(self, step: int) -> None:
        """One step of the dual ascent."""
        near, state = self._near(), self._state(soft=True)
        real, total = near.count(self._rows(self._state())), near.count(self._rows(state))
        excess = math.log((total if self.counted else real) / self.limit)
        moved = self.rate * excess * self._every / max(self._last, 1)
        multiplier = max(0.0, float(ops.convert_to_numpy(self._holders[0])) + moved)
        pressure = max(0.0, multiplier + self.damping * excess)
        for holder in self._holders:
            holder.assign(multiplier)
        slopes = [slope(one, state, self.facts, near) for one in self.all]
        for one, more in zip(self.all, slopes, strict=True):
            one.charge(pressure * more / total)
        self.rows.append({"step": step, "cost": real, "surrogate": total, "pressure": pressure})
        if excess > 0 and not any(slopes):
            self._warn_of_no_effect(real)

    def _settle(self, step: int) -> None:
        """Rounds what was learned, within the limit, and fixes it."""
        state = self._state(soft=True)
        learned = {one: one.amount(state) for one in self.all}
        Settling(self.limit, self.facts, self._state, self._near, learned).run()
        for one in self.all:
            one.charge(0.0)
        cost = float(self.cost(self.model))
        self.rows.append({"step": step, "cost": cost, "surrogate": cost, "pressure": 0.0})
        if cost > self.limit:
            warnings.warn(
                f"The budget of {self.limit:.4g} is not met: with the least widths and channels that were left to "
                f"choose, the model costs {cost:.4g}. Allow narrower `widths`, put transforms on tensors that have "
                "none, or insert gates.",
                stacklevel=2,
            )

    def _warn_of_no_effect(self, cost: float) -> None:
        """Says that prices cannot help."""
        if not self._warned:
            self._warned = True
            learned = f"{len(self.widths)} widths and {len(self.channels)} gates"
            warnings.warn(
                f"The model costs {cost:.4g} of at most {self.limit:.4g}, and nothing that it learns ({learned}) "
                "changes that. Where all widths cost the same, as on a machine that multiplies 8 x 8 bits always, "
                "let channels be learned: tfcompress.edits.insert_bottlenecks(model). Or limit another cost.",
                stacklevel=2,
            )
