"""Successive halving: who runs how far, what it costs, and who wins."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.search.race import cost, halve, rungs


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 300))
def test_a_race_halves_its_runners_and_never_asks_more_than_it_says(
    runners: int, first: int, more: int
) -> None:
    most = first + more
    steps = rungs(runners, first, most)
    assert steps[0] == (runners, first)
    assert all(b[0] == -(-a[0] // 2) and b[1] == min(most, 2 * a[1]) for a, b in pairwise(steps))
    assert steps[-1][0] == 1 or steps[-1][1] == most
    asked: dict[int, int] = {}

    def score(runner: int, items: int) -> float:
        asked[runner] = max(asked.get(runner, 0), items)
        return -runner

    placed = halve(range(runners), first, most, score)
    assert sum(asked.values()) == cost(runners, first, most)
    assert placed[0].runner == 0
    assert sorted(one.runner for one in placed) == list(range(runners))
    assert [one.items for one in placed] == sorted((one.items for one in placed), reverse=True)


@given(st.integers(2, 30), st.integers(0, 60))
def test_a_race_that_ends_early_ranks_what_ran(runners: int, calls: int) -> None:
    made = 0

    def score(runner: int, items: int) -> float | None:
        nonlocal made
        made += 1
        return float(runner) if made <= calls else None

    placed = halve(range(runners), 4, 64, score)
    assert len(placed) == min(calls, runners)
    assert all(one.score == one.runner for one in placed)


def test_a_race_over_nothing_is_refused() -> None:
    for wrong in ((0, 1, 1), (1, 0, 1), (1, 2, 1)):
        with pytest.raises(ValueError, match="a race needs"):
            rungs(*wrong)
