"""Figures of a classifier, held against values worked by hand and what must always hold."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.classify import measure


def tables(most_labels: int = 4) -> st.SearchStrategy[tuple[measure.Floats, measure.Numbers]]:
    """Logits (N, K), and N gold labels."""

    def of(labels: int) -> st.SearchStrategy[tuple[measure.Floats, measure.Numbers]]:
        row = st.lists(st.floats(-20, 20), min_size=labels, max_size=labels)
        one = st.tuples(row, st.integers(0, labels - 1))
        return st.lists(one, min_size=1, max_size=30).map(
            lambda found: (np.array([r for r, _ in found]), np.array([g for _, g in found]))
        )

    return st.integers(2, most_labels).flatmap(of)


@given(tables())
def test_the_confusion_matrix_counts_each_text_once(given_: tuple[measure.Floats, measure.Numbers]) -> None:
    logits, gold = given_
    names = [str(at) for at in range(logits.shape[1])]
    found = measure.measured(logits, gold, names, 2.0)
    assert sum(map(sum, found.confusion)) == found.examples == len(gold)
    assert [sum(row) for row in found.confusion] == [int((gold == at).sum()) for at in range(len(names))]
    right = sum(found.confusion[at][at] for at in range(len(names)))
    assert found.accuracy.value == pytest.approx(right / len(gold))
    assert [one.examples for one in found.labels] == [sum(row) for row in found.confusion]


@given(tables())
def test_the_calibration_error_lies_between_nothing_and_one_and_its_bins_hold_every_text(
    given_: tuple[measure.Floats, measure.Numbers],
) -> None:
    found = measure.calibration(*given_, 1.0)
    assert 0 <= found.ece <= 1
    assert sum(one.count for one in found.bins) == len(given_[1])
    for one in found.bins:
        if one.right:
            assert one.low - 1e-9 <= one.confidence <= one.high + 1e-9
            assert one.right.low <= one.right.value <= one.right.high


@given(tables())
def test_the_fitted_temperature_is_never_worse_than_any_other_where_there_is_a_mistake(
    given_: tuple[measure.Floats, measure.Numbers],
) -> None:
    assume((given_[0].argmax(axis=1) != given_[1]).any())
    best = measure.log_loss(*given_, measure.fitted_temperature(*given_))
    for other in (0.05, 0.3, 1.0, 3.0, 20.0):
        assert best <= measure.log_loss(*given_, other) + 1e-6


def test_a_temperature_moves_no_label() -> None:
    logits = np.array([[1.0, 2.0], [3.0, -1.0]])
    for temperature in (0.1, 5.0):
        assert measure.probabilities(logits, temperature).argmax(1).tolist() == [1, 0]


def test_the_calibration_error_of_a_case_worked_by_hand() -> None:
    """Four texts at 0.9, two right: |0.9 - 0.5|. One at 0.6, right: 0.4. Weighed 4 : 1."""
    found = measure.bins(np.array([0.9, 0.9, 0.9, 0.9, 0.6]), np.array([True, True, False, False, True]))
    assert measure.ece(found) == pytest.approx(0.4)
    assert [one.count for one in found if one.count] == [1, 4]


def test_f1_of_a_case_worked_by_hand() -> None:
    """Label a: 2 of 3 found, 1 false alarm. Label b: 1 of 2 found, 1 false alarm. Label c never occurs."""
    gold, said = [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]
    found = measure.measured(np.eye(3)[said], np.array(gold), ["a", "b", "c"], 1.0)
    a, b, c = found.labels
    assert a.precision is not None
    assert a.recall is not None
    assert (a.precision.value, a.recall.value, a.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert b.f1 == pytest.approx(1 / 2)
    assert (c.precision, c.recall, c.f1) == (None, None, 0.0)
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_the_temperature_of_a_case_worked_by_hand() -> None:
    """Logits ln 81 apart, right in 9 of 10: the best is ln 9 apart, which is half of it."""
    logits = np.array([[math.log(81), 0.0]] * 10)
    assert measure.fitted_temperature(logits, np.array([0] * 9 + [1])) == pytest.approx(2.0)


def test_texts_that_are_all_told_right_leave_the_probabilities_as_they_are() -> None:
    assert measure.fitted_temperature(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 1.0
