"""IFEval's checks, held against replies written by hand, where the library is installed that has them."""

import json
from typing import Any

import pytest

from feedback.errors import HoneError
from prompts.evaluation.instructions import INSTALL, Instructions
from prompts.evaluation.items import Item

pytest.importorskip("if_verifiable", reason=f"IFEval's checks are a library of its own: {INSTALL}")

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("punctuation:no_comma", {}, "No comma stands here.", "One, and no more."),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 5}, "a b c d e f", "a b c"),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 5}, "a b c", "a b c d e f"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One.\n***\nTwo.", "One.\n\nTwo."),
    ("keywords:existence", {"keywords": ["tea", "ink"]}, "Ink is no tea.", "Ink is no rope."),
    ("keywords:forbidden_words", {"forbidden_words": ["tea"]}, "Ink alone.", "Tea alone."),
    (
        "keywords:frequency",
        {"relation": "at least", "keyword": "tea", "frequency": 2},
        "Tea, and more tea.",
        "Tea, and ink.",
    ),
    ("detectable_format:title", {}, "<<Of tea>>\nIt is hot.", "Of tea\nIt is hot."),
    ("detectable_format:json_format", {}, '```json\n{"tea": 1}\n```', "tea: 1"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* one\n* two", "* one\n* two\n* three"),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "*one* and *two*",
        "*one* and two",
    ),
    ("detectable_format:constrained_response", {}, "My answer is yes.", "Yes."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [address]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Tea.\nP.S. And ink.", "Tea. And ink."),
    ("startend:quotation", {}, '"All of it."', '"A part" of it.'),
    ("startend:end_checker", {"end_phrase": "That is all."}, "Tea. That is all.", "That is all. Tea."),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "ink"},
        "Tea is hot.\n\nInk is not.",
        "Ink is cold.\n\nTea is not.",
    ),
    (
        "keywords:letter_frequency",
        {"letter": "z", "let_relation": "at least", "let_frequency": 2},
        "Fizz.",
        "Zen.",
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "PART", "num_sections": 2},
        "PART 1\nTea.\nPART 2\nInk.",
        "Tea.\nInk.",
    ),
    ("combination:two_responses", {}, "Tea.\n******\nInk.", "Tea. Ink."),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say tea."}, "Say tea. Tea.", "Tea."),
    ("change_case:english_capital", {}, "TEA IS HOT AND IT IS GOOD.", "Tea is hot and it is good."),
    ("change_case:english_lowercase", {}, "tea is hot and it is good.", "Tea is hot and it is good."),
    (
        "language:response_language",
        {"language": "de"},
        "Der Tee ist heute sehr heiß.",
        "The tea is very hot.",
    ),
]


def asked(*wanted: tuple[str, dict[str, Any]]) -> Item:
    extra = {
        "prompt": "Say tea.",
        "ids": [name for name, _ in wanted],
        "kwargs": [more for _, more in wanted],
    }
    return Item("1", "Say tea.", "", extra=json.dumps(extra))


@pytest.mark.parametrize(("name", "more", "follows", "breaks"), CASES)
def test_a_reply_that_follows_is_right_and_one_that_does_not_is_not(
    name: str, more: dict[str, Any], follows: str, breaks: str
) -> None:
    item = asked((name, more))
    assert (Instructions().score(follows, item).value, Instructions().score(breaks, item).value) == (1.0, 0.0)
    assert Instructions().score(breaks, item).read == f"broken: {name}"


def test_of_several_instructions_all_must_be_followed() -> None:
    item = asked(("punctuation:no_comma", {}), ("keywords:existence", {"keywords": ["tea"]}))
    assert Instructions().score("Hot tea.", item).value == 1.0
    found = Instructions().score("Hot ink.", item)
    assert (found.value, found.read) == (0.0, "broken: keywords:existence")
    assert Instructions().score("", item).value == 0.0


def test_a_language_is_told_the_same_each_time() -> None:
    item = asked(("language:response_language", {"language": "en"}))
    doubtful = [f"Tee {number}, no, ja" for number in range(30)]
    first = [Instructions().score(said, item).value for said in doubtful]
    assert all([Instructions().score(said, item).value for said in doubtful] == first for _ in range(5))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (("keywords:rhyme", {}), "if-verifiable has no check"),
        (("keywords:existence", {}), "Its kwargs have no keywords"),
        (("keywords:existence", {"keywords": None}), "Its kwargs have no keywords"),
    ],
)
def test_what_cannot_be_checked_is_said_and_never_guessed(
    wanted: tuple[str, dict[str, Any]], why: str
) -> None:
    with pytest.raises(HoneError, match=why):
        Instructions().score("Tea.", asked(wanted))


@pytest.mark.parametrize(
    "wanted",
    [
        ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 2}),
        ("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 1}),
    ],
)
def test_sentences_and_words_are_counted_with_nltks_data_or_not_judged(
    wanted: tuple[str, dict[str, Any]],
) -> None:
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        with pytest.raises(HoneError, match=r"data of nltk that are not installed.*nltk\.downloader"):
            Instructions().score("TEA is hot. Ink is not.", asked(wanted))
    else:
        assert Instructions().score("TEA is hot. Ink is not.", asked(wanted)).value == 1.0
        assert Instructions().score("Tea is hot", asked(wanted)).value == 0.0
