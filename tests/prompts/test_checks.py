"""Checks on what a step wrote: each rule holds or says in words what is wrong, and none runs for ever."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.checks import MAX_PATTERN_CHARS, PATTERN_S, Check, compiled


@pytest.mark.parametrize(
    ("check", "good", "bad", "why"),
    [
        (Check(pattern=r"^\d+$"), "42", "forty", "does not match"),
        (Check(contains=("tea", "hot")), "Hot TEA", "cold tea", "lacks 'hot'"),
        (Check(one_of=("yes", "no")), "Yes.", "perhaps", "is none of yes, no"),
        (Check(max_words=2), "two words", "now three words", "has 3 words, more than 2"),
        (Check(min_words=2), "two words", "one", "has 1 words, fewer than 2"),
        (Check(not_empty=True), "x", " \n", "is empty"),
    ],
)
def test_a_rule_holds_or_says_what_is_wrong(check: Check, good: str, bad: str, why: str) -> None:
    assert check.failed(good) == ()
    assert len(check.failed(bad)) == 1
    assert why in check.failed(bad)[0]


def test_every_rule_that_is_broken_is_named() -> None:
    assert len(Check(contains=("a", "b"), min_words=1).failed("")) == 3


def test_a_pattern_that_would_search_for_ever_fails_in_time_and_is_no_pass() -> None:
    started = time.monotonic()
    (why,) = Check(pattern=r"(a|aa)+$").failed("a" * 5000 + "b")
    assert "too long" in why
    assert time.monotonic() - started < 10 * PATTERN_S


@given(st.text(max_size=40))
def test_any_pattern_is_compiled_or_refused_in_words(pattern: str) -> None:
    refusal = "none"
    try:
        compiled(pattern)
    except ValueError as error:
        refusal = str(error)
    assert refusal


def test_a_pattern_of_great_length_is_refused() -> None:
    with pytest.raises(ValueError, match="characters long"):
        compiled("a" * (MAX_PATTERN_CHARS + 1))
