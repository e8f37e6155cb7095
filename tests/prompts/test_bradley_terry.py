"""Win rates from who beat whom, held against numbers worked by hand and against drawn votes."""

import random
from math import exp, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.statistics import Interval
from prompts.bradley_terry import fit, tally, votes_needed, weights


def test_two_makers_have_the_odds_of_their_wins_and_half_a_win_each() -> None:
    found = fit({("a", "b"): 5.0, ("b", "a"): 2.0}, "a")
    rate = found.win_rate("a", "b")
    assert rate is not None
    assert rate.value == pytest.approx(5.5 / 8.0)
    apart, error = log(5.5 / 2.5), sqrt(1 / 5.5 + 1 / 2.5)  # Woolf's error of log odds
    assert rate.low == pytest.approx(1 / (1 + exp(-(apart - 1.959964 * error))), abs=1e-6)
    assert rate.high == pytest.approx(1 / (1 + exp(-(apart + 1.959964 * error))), abs=1e-6)


def test_a_few_wins_without_a_loss_prove_little() -> None:
    rate = fit({("a", "b"): 5.0}, "a").win_rate("a", "b")
    assert rate is not None
    assert rate.low < 0.5 < rate.value < rate.high < 1.0
    many = fit({("a", "b"): 50.0}, "a").win_rate("a", "b")
    assert many is not None
    assert many.low > 0.8


def test_votes_lead_through_a_third_and_carry_their_doubt_with_them() -> None:
    wins = {("a", "b"): 30.0, ("b", "a"): 10.0, ("b", "c"): 30.0, ("c", "b"): 10.0}
    found = fit(wins, "a")
    direct, through = found.win_rate("a", "b"), found.win_rate("a", "c")
    assert direct is not None
    assert through is not None
    odds = (30.5 / 10.5) ** 2
    assert through.value == pytest.approx(odds / (1 + odds), abs=1e-4)

    def doubt(rate: Interval) -> float:
        return log(rate.high / (1 - rate.high)) - log(rate.low / (1 - rate.low))

    assert doubt(through) == pytest.approx(doubt(direct) * sqrt(2), rel=1e-3)


def test_what_no_vote_leads_to_has_no_rate() -> None:
    found = fit({("a", "b"): 3.0, ("x", "y"): 3.0}, "a")
    assert set(found.keys) == {"a", "b"}
    assert found.win_rate("a", "x") is None
    assert found.win_rate("a", "a") is None
    assert fit({}, "a").win_rate("a", "b") is None
    assert fit({("a", "b"): 0.0}, "a").keys == ("a",)


@given(st.integers(0, 40), st.integers(0, 40))
def test_swapping_two_makers_turns_the_interval_round(won: int, lost: int) -> None:
    found = fit({("a", "b"): float(won), ("b", "a"): float(lost)}, "a")
    one, other = found.win_rate("a", "b"), found.win_rate("b", "a")
    if won + lost == 0:
        assert one is None
        return
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(1 - other.value)
    assert one.low == pytest.approx(1 - other.high)
    assert one.low <= one.value <= one.high


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_interval_covers_the_truth_about_as_often_as_it_says(seed: int) -> None:
    """Votes drawn of three makers whose strengths are known: at least 30 of 40 intervals hold the truth."""
    dice, strengths = random.Random(seed), {"a": 0.6, "b": 0.0, "c": -0.4}
    held = 0
    for _ in range(40):
        results = []
        for _ in range(90):
            one, other = dice.sample(sorted(strengths), 2)
            wins = dice.random() < 1 / (1 + exp(strengths[other] - strengths[one]))
            results.append((one, other, float(wins), 1.0))
        rate = fit(tally(results), "b").win_rate("a", "b")
        assert rate is not None
        held += rate.low <= 1 / (1 + exp(-0.6)) <= rate.high
    assert held >= 30


def test_a_loud_judge_counts_as_twice_the_middle_one() -> None:
    assert weights(["a"] * 5) == {"a": 1.0}
    assert weights(["a"] * 20 + ["b"] * 2 + ["c"] * 2) == {"a": 0.2, "b": 1.0, "c": 1.0}
    assert weights([]) == {}


def test_a_tie_is_half_a_win_for_each() -> None:
    assert tally([("a", "b", 0.5, 1.0), ("b", "a", 1.0, 0.5)]) == {("a", "b"): 0.5, ("b", "a"): 1.0}


def test_the_votes_needed_are_those_of_the_textbook() -> None:
    # (1.959964 * 0.5 + 0.841621 * sqrt(0.24))^2 / 0.1^2 = 193.9
    assert votes_needed(0.6) == 194
    assert votes_needed(0.4) == 194
    assert votes_needed(0.55) > 4 * 190
    with pytest.raises(ValueError, match="difference"):
        votes_needed(0.5)


def test_so_many_votes_do_find_the_difference() -> None:
    """Simulated: with the votes that are asked for, about 80 % of trials tell 65 % from a half."""
    dice, needed = random.Random(1), votes_needed(0.65)
    told = 0
    for _ in range(300):
        won = sum(dice.random() < 0.65 for _ in range(needed))
        rate = fit({("a", "b"): float(won), ("b", "a"): float(needed - won)}, "a").win_rate("a", "b")
        assert rate is not None
        told += rate.low > 0.5
    assert 0.7 < told / 300 < 0.9
