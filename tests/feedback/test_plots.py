"""The pictures of the operator page."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedback import plots

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(NUMBERS, NUMBERS)
@example(0.0, 5e-324)
@example(5e-324, 5e-324)
@example(-1e-310, 1e-310)
@example(-1000000.0, -999999.9999999999)
def test_ticks_cover_what_is_shown_and_are_evenly_apart(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = plots.nice_ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    gaps = [after - before for before, after in pairwise(ticks)]
    assert all(gap > 0 for gap in gaps)
    assert max(gaps) - min(gaps) <= 1e-6 * max(abs(tick) for tick in ticks) + 1e-9
    assert 2 <= len(ticks) <= 8


@given(st.lists(st.tuples(st.integers(0, 500), NUMBERS), max_size=30), st.text(max_size=20))
def test_a_curve_is_well_formed_whatever_its_values_and_title(
    points: list[tuple[float, float]], title: str
) -> None:
    clean = "".join(letter for letter in title if letter.isprintable())
    ElementTree.fromstring(plots.curve(plots.Curve(clean, points, 500, 0.0)))


@given(st.lists(st.integers(0, 3000), max_size=80), st.lists(st.integers(0, 3000), max_size=80))
def test_every_reply_is_in_one_bar_of_the_histogram(chosen: list[int], rejected: list[int]) -> None:
    picture = plots.word_histogram(chosen, rejected)
    if not chosen and not rejected:
        assert picture == ""
        return
    found = {"chosen": 0, "rejected": 0}
    for title in ElementTree.fromstring(picture).iter("title"):
        count, side = str(title.text).split()[:2]
        found[side] += int(count)
    assert found == {"chosen": len(chosen), "rejected": len(rejected)}


def test_strips_on_one_axis_can_be_compared() -> None:
    ends = [
        float(line.get("x1") or 0) / 148
        for low in (0.25, 0.75)
        for line in ElementTree.fromstring(plots.interval(0.9, low, 1.0, None, True, axis=(0.0, 1.0)))
        if line.get("class") == "range"
    ]
    assert ends[1] - ends[0] == pytest.approx(0.5)


def test_a_check_marks_its_value_its_interval_and_its_bar() -> None:
    parts = ElementTree.fromstring(plots.interval(1.0, 0.5, 1.5, 0.0, True))
    kinds = [part.get("class") for part in parts]
    assert kinds == ["rail", "range", "bar", "dot"]
    at = {part.get("class"): part for part in parts}
    assert float(at["bar"].get("x1", 0)) < float(at["range"].get("x1", 0)) < float(at["dot"].get("cx", 0))
