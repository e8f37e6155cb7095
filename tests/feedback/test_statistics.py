from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.statistics import bootstrap_mean, sign_test, wilson

finite = st.floats(-1e3, 1e3)


def test_the_sign_test_gives_the_binomial_tails_worked_by_hand() -> None:
    # 10 flips, 9 to 1: 2 * (C(10,0) + C(10,1)) / 1024 = 22 / 1024
    assert isclose(sign_test(9, 1), 22 / 1024)
    # 5 flips, all one way: 2 * 1 / 32
    assert isclose(sign_test(0, 5), 2 / 32)
    assert sign_test(4, 4) == 1.0
    assert sign_test(0, 0) == 1.0


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_sign_test_is_symmetric_and_a_probability(wins: int, losses: int) -> None:
    assert sign_test(wins, losses) == sign_test(losses, wins)
    assert 0 < sign_test(wins, losses) <= 1


@given(st.integers(1, 100))
def test_more_wins_are_never_weaker_evidence(flips: int) -> None:
    better_half = range((flips + 1) // 2, flips + 1)
    found = [sign_test(wins, flips - wins) for wins in better_half]
    assert found == sorted(found, reverse=True)


def test_the_wilson_interval_has_the_textbook_values() -> None:
    # 8 of 10 at 95 %: centre (0.8 + 1.96^2/20) / (1 + 1.96^2/10), the usual table gives 0.490 to 0.943
    found = wilson(8, 10)
    assert (round(found.low, 3), round(found.high, 3)) == (0.490, 0.943)
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == 1.0


@given(st.integers(1, 500), st.data())
def test_the_wilson_interval_holds_the_share_and_mirrors(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    found, mirrored = wilson(successes, trials), wilson(trials - successes, trials)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert isclose(found.low, 1 - mirrored.high, abs_tol=1e-9)


@given(st.lists(finite, min_size=1, max_size=60))
def test_the_bootstrap_interval_holds_the_mean_and_stays_within_the_data(values: list[float]) -> None:
    found = bootstrap_mean(values, draws=200)
    assert found.low <= found.value <= found.high
    assert min(values) - 1e-6 <= found.low
    assert found.high <= max(values) + 1e-6


def test_the_bootstrap_interval_is_seeded_and_about_two_standard_errors_wide() -> None:
    values = [0.0, 1.0] * 50
    found = bootstrap_mean(values)
    assert found == bootstrap_mean(values)
    # the standard error of the mean is 0.5 / sqrt(100) = 0.05
    assert isclose(found.low, 0.5 - 1.96 * 0.05, abs_tol=0.015)
    assert isclose(found.high, 0.5 + 1.96 * 0.05, abs_tol=0.015)


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="nothing"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="nothing"):
        wilson(0, 0)
