"""Win rates from who beat whom, held against numbers worked by hand and against drawn votes."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from math import exp, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.statistics import Interval
from prompts.bradley_terry import Strengths, Vote, fit, votes_needed, weights


def won(wins: Mapping[tuple[str, str], int]) -> list[Vote[str]]:
    """(winner, loser) -> so many votes, each on a prompt of its own."""
    numbers = count()
    return [Vote(*pair, 1.0, f"p{next(numbers)}") for pair, votes in wins.items() for _ in range(votes)]


def rated(found: Strengths[str], one: str, other: str) -> Interval:
    rate = found.win_rate(one, other)
    assert rate is not None
    return rate


def doubt(rate: Interval) -> float:
    """The width of an interval, in log odds."""
    return log(rate.high / (1 - rate.high)) - log(rate.low / (1 - rate.low))


def share(log_odds: float) -> float:
    return 1 / (1 + exp(-log_odds))


def test_two_makers_have_the_odds_of_their_wins_and_half_a_win_each() -> None:
    rate = rated(fit(won({("a", "b"): 5, ("b", "a"): 2}), "a"), "a", "b")
    assert rate.value == pytest.approx(5.5 / 8.0)
    apart, error = log(5.5 / 2.5), sqrt(1 / 5.5 + 1 / 2.5)  # Woolf's error of log odds
    assert rate.low == pytest.approx(share(apart - 1.959964 * error), abs=1e-6)
    assert rate.high == pytest.approx(share(apart + 1.959964 * error), abs=1e-6)


def test_a_few_wins_without_a_loss_prove_little() -> None:
    rate = rated(fit(won({("a", "b"): 5}), "a"), "a", "b")
    assert rate.low < 0.5 < rate.value < rate.high < 1.0
    assert rated(fit(won({("a", "b"): 50}), "a"), "a", "b").low > 0.8


def test_votes_lead_through_a_third_and_carry_their_doubt_with_them() -> None:
    found = fit(won({("a", "b"): 30, ("b", "a"): 10, ("b", "c"): 30, ("c", "b"): 10}), "a")
    direct, through = rated(found, "a", "b"), rated(found, "a", "c")
    odds = (30.5 / 10.5) ** 2
    assert through.value == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert doubt(through) == pytest.approx(doubt(direct) * sqrt(2), rel=1e-3)


def test_what_no_vote_leads_to_has_no_rate() -> None:
    found = fit(won({("a", "b"): 3, ("x", "y"): 3}), "a")
    assert set(found.keys) == {"a", "b"}
    assert found.win_rate("a", "x") is None
    assert found.win_rate("a", "a") is None
    assert fit([], "a").win_rate("a", "b") is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=40))
def test_swapping_two_makers_turns_the_interval_round(said: list[tuple[bool, int]]) -> None:
    """Whichever prompts the votes are about."""
    found = fit([Vote("a", "b", float(first), f"p{prompt}") for first, prompt in said], "a")
    if not said:
        assert found.win_rate("a", "b") is None
        return
    one, other = rated(found, "a", "b"), rated(found, "b", "a")
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
        said = []
        for number in range(90):
            one, other = dice.sample(sorted(strengths), 2)
            wins = dice.random() < share(strengths[one] - strengths[other])
            said.append(Vote(one, other, float(wins), f"p{number}"))
        rate = rated(fit(said, "b"), "a", "b")
        held += rate.low <= share(0.6) <= rate.high
    assert held >= 30


ABOUT_ONE_PROMPT = 6


def drawn(seed: int, prompts: int, taste: float) -> Iterator[Vote[str]]:
    """Several votes on each prompt. `taste`: how much more than elsewhere a maker's reply to one prompt may
    please or displease everybody, in log odds; 0: votes are independent.
    """
    dice, strengths = random.Random(seed), {"a": 0.5, "b": 0.0, "c": 0.0}
    for prompt in range(prompts):
        here = {maker: known + dice.gauss(0, taste) for maker, known in strengths.items()}
        for _ in range(ABOUT_ONE_PROMPT):
            one, other = dice.sample(sorted(here), 2)
            yield Vote(one, other, float(dice.random() < share(here[one] - here[other])), f"p{prompt}")


def apart(votes: list[Vote[str]]) -> list[Vote[str]]:
    """The same votes, as if each were on a prompt of its own."""
    return [replace(vote, prompt=str(number)) for number, vote in enumerate(votes)]


@pytest.mark.parametrize("prompts", [15, 60])
def test_it_covers_the_truth_where_votes_on_one_prompt_go_together(prompts: int) -> None:
    """The truth is what very many prompts say. To take each vote for itself would be too sure."""
    truth = rated(fit(list(drawn(0, 20_000, 1.5)), "b"), "a", "b").value
    held = held_apart = 0
    for seed in range(1, 201):
        votes = list(drawn(seed, prompts, 1.5))
        rate, sure = rated(fit(votes, "b"), "a", "b"), rated(fit(apart(votes), "b"), "a", "b")
        held += rate.low <= truth <= rate.high
        held_apart += sure.low <= truth <= sure.high
    assert 0.92 <= held / 200 <= 0.985
    assert held_apart / 200 <= 0.9


def test_it_is_hardly_wider_where_votes_on_one_prompt_are_independent() -> None:
    widths = []
    for seed in range(100):
        votes = list(drawn(seed, 60, 0.0))
        widths.append(
            doubt(rated(fit(votes, "b"), "a", "b")) / doubt(rated(fit(apart(votes), "b"), "a", "b"))
        )
    assert min(widths) >= 1 - 1e-9
    assert sum(widths) / len(widths) < 1.1


def test_a_vote_that_others_repeat_tells_nothing_new() -> None:
    once = won({("a", "b"): 25, ("b", "a"): 15})
    thrice = rated(fit(once * 3, "a"), "a", "b")
    assert doubt(thrice) == pytest.approx(doubt(rated(fit(once, "a"), "a", "b")), rel=0.05)
    assert doubt(thrice) > 1.6 * doubt(rated(fit(apart(once * 3), "a"), "a", "b"))


def test_votes_that_are_all_on_one_prompt_tell_as_much_as_one() -> None:
    votes = [replace(vote, prompt="p") for vote in won({("a", "b"): 50, ("b", "a"): 10})]
    rate = rated(fit(votes, "a"), "a", "b")
    assert rate.value == pytest.approx(50.5 / 61)
    assert doubt(rate) == pytest.approx(doubt(rated(fit(apart(votes), "a"), "a", "b")) * sqrt(60))


def test_votes_elsewhere_do_not_make_one_prompt_surer() -> None:
    """All that is known of a against b is from one prompt, however many there are of c against d."""
    votes = [Vote("a", "b", 1.0, "p")] * 9 + [Vote("b", "a", 1.0, "p"), Vote("b", "c", 1.0, "q")]
    many = votes + won({("c", "d"): 80, ("d", "c"): 40})
    assert doubt(rated(fit(many, "a"), "a", "b")) == pytest.approx(doubt(rated(fit(votes, "a"), "a", "b")))


def test_a_loud_judge_counts_as_twice_the_middle_one() -> None:
    assert weights(["a"] * 5) == {"a": 1.0}
    assert weights(["a"] * 20 + ["b"] * 2 + ["c"] * 2) == {"a": 0.2, "b": 1.0, "c": 1.0}
    assert weights([]) == {}


def test_a_tie_is_half_a_win_for_each_and_a_light_vote_a_part_of_one() -> None:
    tied = fit([Vote("a", "b", 0.5, "p"), Vote("b", "a", 1.0, "q", 0.5)], "a")
    assert rated(tied, "a", "b").value == pytest.approx((0.5 + 0.5) / (1.5 + 1))


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
        wins = sum(dice.random() < 0.65 for _ in range(needed))
        told += rated(fit(won({("a", "b"): wins, ("b", "a"): needed - wins}), "a"), "a", "b").low > 0.5
    assert 0.7 < told / 300 < 0.9
