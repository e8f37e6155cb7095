"""Intervals, paired tests and calibration, against values worked by hand."""

from math import isclose, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.evaluation.calibration import calibrated, leaning, shares
from prompts.evaluation.statistics import holm, mean, paired
from prompts.evaluation.units import NATS, SHARE

scores = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
nats = st.lists(st.floats(-200, 0), min_size=2, max_size=6)
rewards = st.lists(st.floats(-50, 50), min_size=1, max_size=40)


def test_a_share_of_right_and_wrong_has_wilsons_interval_and_graded_scores_a_bootstrap() -> None:
    found = mean([1.0] * 8 + [0.0] * 2, SHARE)
    assert (round(found.low, 3), found.value, round(found.high, 3)) == (0.490, 0.8, 0.943)
    graded = mean([0.25, 0.5, 0.75], SHARE)
    assert graded.low < graded.value == 0.5 < graded.high


@given(rewards, st.floats(-20, 20))
def test_a_mean_reward_lies_in_its_interval_and_both_move_with_the_rewards(
    found: list[float], by: float
) -> None:
    there, moved = mean(found, NATS), mean([one + by for one in found], NATS)
    assert min(found) - 1e-9 <= there.low <= there.value <= there.high <= max(found) + 1e-9
    for before, after in zip(vars(there).values(), vars(moved).values(), strict=True):
        assert isclose(before + by, after, abs_tol=1e-6)


def test_rewards_that_happen_to_be_0_and_1_are_no_share() -> None:
    ones = mean([1.0] * 9, NATS)
    assert (ones.low, ones.value, ones.high) == (1.0, 1.0, 1.0)
    assert mean([1.0] * 9, SHARE).low < 0.8


@given(rewards, st.floats(-20, 20), st.randoms(use_true_random=False))
def test_a_difference_of_rewards_does_not_hang_on_where_their_zero_is(
    a: list[float], by: float, dice: Random
) -> None:
    b = [one + dice.choice((-1, 0, 2)) for one in a]
    there, moved = paired(a, b), paired([one + by for one in a], [one + by for one in b])
    assert isclose(there.difference.value, moved.difference.value, abs_tol=1e-6)
    assert isclose(paired(b, a).difference.value, -there.difference.value, abs_tol=1e-9)
    assert (there.better, there.worse) == (
        sum(y > x for x, y in zip(a, b, strict=True)),
        sum(y < x for x, y in zip(a, b, strict=True)),
    )


def test_mcnemar_counts_only_the_items_that_differ() -> None:
    a = [1.0] * 50 + [0.0] * 10 + [1.0]
    b = [1.0] * 50 + [1.0] * 10 + [0.0]
    found = paired(a, b)
    # 11 differ, 10 to 1: 2 * (1 + 11) / 2^11
    assert (found.better, found.worse, found.items) == (10, 1, 61)
    assert isclose(found.p, 24 / 2048)
    assert isclose(found.difference.value, 9 / 61)
    assert found.difference.low > 0


def test_equal_columns_do_not_differ() -> None:
    found = paired([1.0, 0.0], [1.0, 0.0])
    assert (found.p, found.difference.low, found.difference.high) == (1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="same items"):
        paired([1.0], [1.0, 0.0])


@given(scores, st.randoms())
def test_turning_a_comparison_round_turns_its_sign(a: list[float], dice: object) -> None:
    b = [1.0 - one if place % 3 else one for place, one in enumerate(a)]
    there, back = paired(a, b), paired(b, a)
    assert there.p == back.p
    assert (there.better, there.worse) == (back.worse, back.better)
    assert isclose(there.difference.value, -back.difference.value)


def test_holm_has_the_textbook_values() -> None:
    assert [round(one, 3) for one in holm([0.01, 0.04, 0.03, 0.005])] == [0.03, 0.06, 0.06, 0.02]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_makes_evidence_stronger(p_values: list[float]) -> None:
    assert all(before <= after <= 1 for before, after in zip(p_values, holm(p_values), strict=True))


def test_calibration_takes_a_leaning_out() -> None:
    # The model gives "positive" 0.8 of nothing at all: then 0.7 of a review speaks against it.
    lean = leaning([[log(0.2), log(0.8)], [log(0.2), log(0.8)]])
    assert all(isclose(a, b) for a, b in zip(lean, (0.2, 0.8), strict=True))
    found = calibrated(shares([log(0.3), log(0.7)]), lean)
    # 0.3 / 0.2 = 1.5 against 0.7 / 0.8 = 0.875
    assert isclose(found[0], 1.5 / 2.375)


def test_the_leaning_is_the_mean_of_shares_and_not_of_their_logarithms() -> None:
    assert [round(one, 12) for one in leaning([[log(0.9), log(0.1)], [log(0.1), log(0.9)]])] == [0.5, 0.5]


@given(nats)
def test_calibration_by_an_even_leaning_changes_nothing(found: list[float]) -> None:
    plain = shares(found)
    even = calibrated(plain, [1 / len(found)] * len(found))
    assert isclose(sum(plain), 1)
    assert all(isclose(a, b, abs_tol=1e-9) for a, b in zip(plain, even, strict=True))


@given(nats)
def test_an_input_like_nothing_is_calibrated_to_even_shares(found: list[float]) -> None:
    lean = leaning([found])
    if min(lean) > 1e-12:
        assert all(isclose(one, 1 / len(found)) for one in calibrated(shares(found), lean))
