"""A recipe from the first edit to the last: what ``compress`` alone cannot say.

    model -> edits -> compress(rules) -> calibrate -> [fit, with callbacks] -> finish

Edits are functions of ``tfcompress.edits`` by name, with their arguments; those that need data get it. One that is
``"optional": true`` is left out, with a warning, where it does not go with the model.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from tfcompress import callbacks, edits
from tfcompress.calibrate import calibrate
from tfcompress.compress import compress
from tfcompress.presets.reading import read_parts, read_rules, selected
from tfcompress.recipes import read_object

EDITS: dict[str, Callable[..., keras.Model]] = {
    function.__name__: function
    for function in (
        edits.correct_bias, edits.insert_bottlenecks, edits.insert_channel_gates, edits.multiplierless, edits.narrow,
        edits.pool_flattened, edits.remove_channels, edits.settle_gates, edits.shift_and_scale,
    )
}  # fmt: skip
"""What a recipe may name: edits that need to know no layer by name."""

OPTIONAL = "optional"

CALLBACKS: dict[str, Callable[..., keras.callbacks.Callback]] = {"Anneal": callbacks.Anneal}


class Recipe:
    """What a JSON file says shall be done to a model. ``tfcompress.presets.load`` reads it.

    Args:
        path: Of the file.
        steps: Of the training to come; needed where the file gives times in percent of it. None (default) otherwise.

    Attributes:
        about: What the recipe is for, in a sentence.
        learning_rate: Of Adam, at the start of a cosine to zero: what the recipe was tuned with. Default 3e-4.

    Raises:
        ValueError: The file is not a recipe, or ``steps`` is missing.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path, steps: int | None = None) -> None:
        parts = read_parts(path, steps)
        self.path, self.about = path, parts.get("about", "")
        self.learning_rate: float = parts.get("learning_rate", 3e-4)
        self._rules = parts["rules"]
        self._edits = [self._named(item, "edit", EDITS) for item in parts.get("edits", [])]
        self._finish = [self._named(item, "edit", EDITS) for item in parts.get("finish", [])]
        self._callbacks = [self._named(item, "callback", CALLBACKS) for item in parts.get("callbacks", [])]

    def start(self, model: keras.Model, x: Any) -> keras.Model:
        """Edits, compresses and calibrates a copy of ``model``, which is then ready for ``fit``.

        Args:
            model: A built, trained Sequential or Functional model.
            x: Training inputs as ``model.fit`` takes them, without labels; some thousands are enough.

        Raises:
            ValueError: An edit or a rule does not go with the model; the message names it.

        Warns:
            UserWarning: An optional edit does not go with the model.
        """
        small = self._edited(model, self._edits, x)
        try:
            rules = read_rules(small, self._rules)
        except ValueError as error:
            raise ValueError(f"'{self.path}': {error}") from error
        small = compress(small, rules)
        calibrate(small, x)
        return small

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """New callbacks for one ``fit``."""
        return [make(**arguments) for make, arguments, _ in self._callbacks]

    def finish(self, model: keras.Model, x: Any) -> keras.Model:
        """What is left to do behind ``fit``, on some thousands of inputs: the model that is to be exported."""
        return self._edited(model, self._finish, x)

    def _edited(self, model: keras.Model, steps: Sequence[Any], x: Any) -> keras.Model:
        for edit, arguments, optional in steps:
            needs = {"x": x} if "x" in inspect.signature(edit).parameters else {}
            if "layers" in arguments:
                needs["layers"] = selected(model, arguments["layers"])
            try:
                model = edit(model, **{**arguments, **needs})
            except ValueError as error:
                if not optional:
                    raise
                warnings.warn(f"'{self.path.name}' goes on without '{edit.__name__}': {error}", stacklevel=4)
        return model

    def _named(self, item: Any, kind: str, known: dict[str, Any]) -> tuple[Any, dict[str, Any], bool]:
        name = item.get(kind) if isinstance(item, dict) else None
        if name not in known:
            raise ValueError(
                f"'{self.path}': an item must be like {{'{kind}': name, argument: value}}, with a name of "
                f"{[*known]}. Received: {str(item)[:80]}"
            )
        arguments = {key: _value(part) for key, part in item.items() if key not in (kind, OPTIONAL)}
        try:
            inspect.signature(known[name]).bind_partial(*[None] * (kind == "edit"), **arguments)
        except TypeError as error:
            raise ValueError(f"'{self.path}': {name} {error}. Received: {str(item)[:80]}") from error
        return known[name], arguments, bool(item.get(OPTIONAL, False))


def _value(item: Any) -> Any:
    """An argument: an object of a registered class where one is described."""
    return read_object(item, object) if isinstance(item, dict) and "class_name" in item else item
