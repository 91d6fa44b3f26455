"""What derived networks and introduced layers buy on Fashion-MNIST, beside the same networks without them.

    python benchmarks/structure_techniques.py [--images=15000] [--seeds=1,2,3] [--only=<regular expression>]

All rows start from the same float networks and train for the same six epochs (see ``fashion.py``).

    derived, <student>: <targets>       the student learns from the float network: from the winner (argmax), from
                                        probabilities in 16 steps (4 bits), or in 65,536 (soft: hardly quantised)
    derived, <student>: labels          control: the same student, with labels
    derived, <student>: wrong targets   control: targets in another order than the images; no better than guessing
    introduced, <layers>                new layers started by least squares
    introduced, <layers>: untrained     the same without the six epochs
    introduced, <layers>: chance        control: started as Keras starts layers; ``chance, untrained`` likewise
    introduced, <width>: cut            control: as many channels by the size of kernels, the readers not solved anew

Students: ``2 bits`` has a dictionary of four weights in each layer; ``half`` has half of the channels everywhere.
Each finished run is kept in ``results/structure_techniques.json``, and not made again.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import comparison
import fashion
import keras
import numpy as np
from keras import layers

import tfcompress as tfc

NAME = "structure_techniques"
HALF = {"conv0": 16, "conv1": 32, "conv2": 32, "fc0": 64}
SIGNALS = 4096
"""Training images whose signals the least squares see."""

Recipe = Callable[[fashion.Data, int], keras.Model]
TARGETS = {
    "argmax": tfc.targets.Argmax(),
    "4 bits": tfc.targets.Uniform(4, from_logits=True),
    "soft": tfc.targets.Uniform(16, from_logits=True),
}


def two_bits(of: fashion.Data, seed: int) -> keras.Model:
    """The float network with dictionaries of four weights."""
    return fashion.compressed(of, seed, {".*": {"kernel": tfc.LookUpTable(4)}})


def half(of: fashion.Data, seed: int) -> keras.Model:
    """The float network with half of the channels, front to back."""
    base = small = fashion.float_network(of, seed)
    for name, width in HALF.items():
        small = tfc.edits.introduce_layer(small, width, of[0][:SIGNALS], at=name, mode="narrow", base=base)
    return small


STUDENTS: dict[str, Recipe] = {"2 bits": two_bits, "half": half}


def derived(student: Recipe, targets: str) -> Recipe:
    """The student after six epochs on targets of the float network, or on labels."""

    def make(of: fashion.Data, seed: int) -> keras.Model:
        model = student(of, seed)
        if targets == "labels":
            return fashion.fine_tuned(model, of, seed)
        base = fashion.float_network(of, seed)
        whole = len(of[0]) // fashion.BATCH * fashion.BATCH
        x = of[0][:whole]
        kept = tfc.quantized_targets(base, x, TARGETS.get(targets, TARGETS["argmax"]), batch_size=fashion.BATCH)
        answers = np.asarray(kept.decode())
        if targets == "wrong targets":
            answers = np.random.default_rng(seed).permutation(answers)
        keras.utils.set_random_seed(100 + seed)
        model.compile(keras.optimizers.Adam(fashion.cosine(of)), keras.losses.CategoricalCrossentropy(from_logits=True))
        model.fit(x, answers, batch_size=fashion.BATCH, epochs=fashion.EPOCHS, verbose=0)
        return model

    return make


def separable(filters: int, name: str) -> list[keras.layers.Layer]:
    """A separable convolution, batch norm and ReLU."""
    conv = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)
    return [conv, layers.BatchNormalization(name=f"{name}_norm"), layers.ReLU(name=f"{name}_relu")]


def separables(of: fashion.Data, seed: int) -> keras.Model:
    """Separable convolutions in the place of the second and third."""
    base = small = fashion.float_network(of, seed)
    for k in (1, 2):
        new = separable(64, f"new{k}")
        at = (f"conv{k}", f"relu{k}")
        small = tfc.edits.introduce_layer(small, new, of[0][:SIGNALS], at=at, base=base, positions=64)
    return small


def pooled_head(of: fashion.Data, seed: int) -> keras.Model:
    """A Dense layer on averages of the map in the place of Flatten and the large one."""
    new = [layers.AveragePooling2D(3, name="new_pool"), layers.Flatten(name="new_flat")]
    new.append(layers.Dense(128, activation="relu", name="new_fc"))
    return tfc.edits.introduce_layer(fashion.float_network(of, seed), new, of[0][:SIGNALS], at=("flat", "fc0"))


def one_more(of: fashion.Data, seed: int) -> keras.Model:
    """A third Dense layer, inserted behind the first."""
    new = layers.Dense(128, activation="relu", name="new_fc")
    return tfc.edits.introduce_layer(fashion.float_network(of, seed), new, of[0][:SIGNALS], at="fc0", mode="insert")


INTRODUCED: dict[str, Recipe] = {"separable": separables, "pooled head": pooled_head, "one layer more": one_more}


def by_chance(recipe: Recipe) -> Recipe:
    """The same network, the new layers as Keras starts them."""

    def make(of: fashion.Data, seed: int) -> keras.Model:
        model = recipe(of, seed)
        keras.utils.set_random_seed(seed)
        fresh = keras.models.clone_model(model)
        for layer in model.layers:
            if not layer.name.startswith("new"):
                fresh.get_layer(layer.name).set_weights(layer.get_weights())
        return fresh

    return make


def cut(of: fashion.Data, seed: int) -> keras.Model:
    """As many channels as ``half`` has, those of the largest kernels, everything else as it was."""
    base = fashion.float_network(of, seed)
    keep = {}
    for name, width in HALF.items():
        kernel = np.asarray(base.get_layer(name).kernel)
        norms = np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1)))
        keep[name] = np.sort(np.argsort(-norms)[:width])
    return tfc.edits.remove_channels(base, keep)


def trained(recipe: Recipe) -> Recipe:
    """The six epochs."""
    return lambda of, seed: fashion.fine_tuned(recipe(of, seed), of, seed)


def jobs() -> dict[str, Recipe]:
    """All rows, each technique before its controls."""
    rows: dict[str, Recipe] = {"float, six more epochs": fashion.control}
    for student, recipe in STUDENTS.items():
        for targets in (*TARGETS, "labels", "wrong targets"):
            rows[f"derived, {student}: {targets}"] = derived(recipe, targets)
    for name, recipe in INTRODUCED.items():
        rows[f"introduced, {name}"] = trained(recipe)
        rows[f"introduced, {name}: untrained"] = recipe
        rows[f"introduced, {name}: chance"] = trained(by_chance(recipe))
        rows[f"introduced, {name}: chance, untrained"] = by_chance(recipe)
    rows["introduced, half"] = trained(half)
    rows["introduced, half: untrained"] = half
    rows["introduced, half: cut"] = trained(cut)
    rows["introduced, half: cut, untrained"] = cut
    return rows


def scored(model: keras.Model, of: fashion.Data) -> dict[str, Any]:
    """The scores of ``fashion.py``, and the parameters."""
    return {**fashion.scores(model, of), "parameters": model.count_params()}


def run(job: str, of: fashion.Data, seed: int, done: Mapping[str, Any]) -> comparison.Row:
    """Trains and scores one row."""
    return scored(jobs()[job](of, seed), of)


CONTROLS = {
    ": labels": ": argmax", ": wrong targets": ": argmax",
    ": chance": "", ": chance, untrained": ": untrained",
    ": cut": "", ": cut, untrained": ": untrained",
}  # fmt: skip
"""What a control's name ends in, and what its technique's does."""


def technique(job: str) -> str | None:
    """Whose control a row is."""
    name, colon, kind = job.partition(": ")
    end = CONTROLS.get(colon + kind)
    return None if end is None else name + end


COLUMNS = {
    "parameters": comparison.averaged("parameters"),
    "file": comparison.averaged("file", "{:,.0f} B"),
}

if __name__ == "__main__":
    comparison.main(NAME, jobs(), run, comparison.table(jobs(), COLUMNS, technique))
