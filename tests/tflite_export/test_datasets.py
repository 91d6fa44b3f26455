"""Data in every form that users have it, one batch at a time."""

import keras
import numpy as np
import pytest

from tflite_export.datasets import BATCH, batches
from tflite_export.ir import Graph, Tensor

X = np.random.default_rng(0).normal(0, 1, (70, 6)).astype(np.float32)
LABELS = np.zeros(70, np.int64)
GRAPH = Graph((Tensor("in0", (1, 6), "float32"),), (), (0,), ())


class Sequence(keras.utils.PyDataset):
    """Batches of seven with labels."""

    def __len__(self):
        return 10

    def __getitem__(self, k):
        return X[7 * k : 7 * k + 7], LABELS[7 * k : 7 * k + 7]


def dataset(*columns):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(columns if len(columns) > 1 else columns[0]).batch(32)


FORMS = {
    "array": lambda: X,
    "callable of lists": lambda: lambda: ([X[k : k + 1]] for k in range(70)),
    "generator": lambda: (X[k : k + 10] for k in range(0, 70, 10)),
    "PyDataset with labels": Sequence,
    "tf.data of inputs": lambda: dataset(X),
    "tf.data with labels": lambda: dataset(X, LABELS),
    "tf.data with labels and weights": lambda: dataset(X, LABELS, LABELS),
    "callable of tf.data": lambda: lambda: dataset(X, LABELS),
}


@pytest.mark.parametrize("form", FORMS)
def test_inputs_arrive_whole_and_in_order(form):
    np.testing.assert_array_equal(np.concatenate([x for (x,) in batches(GRAPH, FORMS[form]())]), X)


def test_an_array_is_cut_into_batches():
    assert [len(x) for (x,) in batches(GRAPH, X)] == [BATCH, BATCH, 6]


def test_items_are_asked_for_one_at_a_time():
    asked = []

    def items():
        for k in range(5):
            asked.append(k)
            yield X[k : k + 1]

    read = batches(GRAPH, items)
    for k in range(5):
        next(read)
        assert asked == list(range(k + 1))


def test_labels_in_a_plain_list_are_refused():
    with pytest.raises(ValueError, match="no labels. Received: item 0"):
        list(batches(GRAPH, [(X[:2], LABELS[:2])]))


def test_a_dataset_without_end_is_refused():
    class Endless(Sequence):
        def __len__(self):
            return None

        @property
        def num_batches(self):
            return None

    with pytest.raises(ValueError, match="must end. Received: a PyDataset with num_batches=None"):
        list(batches(GRAPH, Endless()))


@pytest.mark.parametrize("form", ["array", "generator", "PyDataset with labels", "tf.data with labels"])
def test_a_progress_bar_is_shown_if_asked(form, capsys):
    list(batches(GRAPH, FORMS[form]()))
    assert not capsys.readouterr().out
    list(batches(GRAPH, FORMS[form](), verbose=1))
    total = {"array": 3, "generator": 7, "PyDataset with labels": 10, "tf.data with labels": 3}[form]
    assert f"{total}/{total}" in capsys.readouterr().out or form == "generator"
