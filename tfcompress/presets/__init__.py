"""Recipes that come with the package; ``benchmarks/front.py`` measures them.

    recipe = tfc.presets.load("small", steps=epochs * (len(x) // 128))
    small = recipe.start(model, x)                  # edits, transforms, initial scales
    small.compile(...)
    small.fit(x, y, batch_size=128, epochs=epochs, callbacks=recipe.callbacks())
    small = recipe.finish(small, x)

They name no layers: they go by what layers are and how many weights they have. A path loads a recipe of your own, which
may start as a copy of one of these files.
"""

import os
from pathlib import Path

from tfcompress.presets.recipe import Recipe as Recipe

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def load(name: str | os.PathLike[str], steps: int | None = None) -> Recipe:
    """Reads a recipe.

    Args:
        name: One of ``names()``, or the path of a JSON file.
        steps: Training steps to come, epochs times batches: times in a recipe are percents of them.

    Raises:
        ValueError: There is no such recipe, the file is not one, or ``steps`` is missing or below 1.
        OSError: The file cannot be read.
    """
    if steps is not None and steps < 1:
        raise ValueError(f"`steps` must be at least 1. Received: steps={steps}")
    if isinstance(name, str) and name in names():
        return Recipe(FOLDER / f"{name}.json", steps)
    if not Path(name).exists():
        raise ValueError(f"A recipe must be one of {names()}, or a JSON file. Received: {os.fspath(name)!r}")
    return Recipe(Path(name), steps)
