"""Which part of a text is the answer, what of it counts, and which answers are the same."""

import string
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.answers import AnswerRule, Take, first_named, last_number, majority, normal

OPTIONS = ("positive", "negative", "not sure")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("He has 12, then 7.", "7"),
        ("It costs $1,234.50.", "1234.5"),
        ("1,2345 people", "2345"),
        ("1,2,3", "3"),
        ("x = -3.0", "-3"),
        ("10-5", "5"),
        ("Answer:-7", "-7"),
        ("\u22125 degrees", "-5"),
        ("-0", "0"),
        ("007", "7"),
        ("100%", "100"),
        ("no number, not even m2", None),
        ("", None),
    ],
)
def test_the_last_number_is_read_by_the_stated_rule(text: str, number: str | None) -> None:
    assert last_number(text) == number


@given(
    st.text(string.ascii_letters + " .,!?"), st.integers(-(10**12), 10**12), st.sampled_from(["", ",", "."])
)
def test_a_number_at_the_end_is_found_as_it_is_and_with_commas(before: str, number: int, after: str) -> None:
    for written in (str(number), f"{number:,}"):
        assert last_number(f"{before} = {written}{after}") == str(number)


@given(st.text())
def test_any_text_has_a_last_number_or_none_and_it_is_a_number(text: str) -> None:
    found = last_number(text)
    assert found is None or float(found) == float(found)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Positive.", "positive"),
        ("It is negative, not positive", "negative"),
        ("I am NOT SURE", "not sure"),
        ("nonpositive", None),
        ("", None),
    ],
)
def test_a_choice_is_the_option_named_first_as_a_word(text: str, option: str | None) -> None:
    assert first_named(text, OPTIONS) == option


def test_options_of_one_letter_keep_their_case_and_the_longer_of_two_wins() -> None:
    assert first_named("It is a hard one: B", ("A", "B")) == "B"
    assert first_named("not sure at all", ("not", "not sure")) == "not sure"


def test_what_a_rule_does_not_find_is_taken_whole() -> None:
    assert AnswerRule(take="last number").taken(" Paris. ") == "Paris."
    assert AnswerRule(take="choice", options=OPTIONS).taken("Maybe") == "Maybe"
    assert AnswerRule(take="first line").taken("\n\n Yes. \nIt is.") == "Yes."
    assert AnswerRule().taken(" It is.\nYes. ") == "It is.\nYes."


@given(st.text(), st.sampled_from(get_args(Take)))
def test_taking_from_any_text_gives_one_text_and_taking_again_changes_nothing(text: str, take: Take) -> None:
    rule = AnswerRule(take=take, options=OPTIONS)
    taken = rule.taken(text)
    assert rule.taken(taken) == taken
    assert bool(taken) == bool(text.strip())


@given(st.text())
def test_making_an_answer_normal_twice_changes_nothing_more(text: str) -> None:
    assert normal(normal(text)) == normal(text)


def test_answers_that_differ_in_case_space_and_ends_are_the_same() -> None:
    assert {normal(text) for text in ("The  Nile", "the nile.", ' "The Nile" ', "**the nile**!")} == {
        "the nile"
    }
    assert normal("?!") == "?!"


def test_the_majority_counts_and_the_first_seen_wins_a_tie() -> None:
    assert majority(["7", "8", "7.", "9", "8", ""]) == (("7", 2), ("8", 2), ("9", 1))
    assert majority(["", " "]) == ()


@given(st.lists(st.sampled_from(["7", "7.", "8", "the nile", "The Nile", ""])))
def test_every_answer_that_says_something_is_counted_once(answers: list[str]) -> None:
    votes = majority(answers)
    assert sum(count for _, count in votes) == sum(bool(answer) for answer in answers)
    assert [count for _, count in votes] == sorted((count for _, count in votes), reverse=True)
