"""What makes an answer right."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HoneError
from prompts.evaluation.items import Item
from prompts.evaluation.metrics import named, suited

TOPICS = ("World", "Sports", "Sci/Tech")
LETTERS = ("A", "B", "C", "D")


def score(metric: str, said: str, gold: str, options: tuple[str, ...] = ()) -> float:
    return named(metric).score(said, Item("i", "q", gold, options)).value


@pytest.mark.parametrize(
    ("said", "right"),
    [("Lima", 1), (" lima.\n", 1), ('"LIMA"', 1), ("Lima, Peru", 0), ("The answer: Lima", 0), ("", 0)],
)
def test_exact_forgets_case_and_the_marks_at_both_ends(said: str, right: int) -> None:
    assert score("exact", said, "Lima") == right


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Sci/Tech", 1),
        ("This is about sci/tech, not Sports.", 1),
        ("Sports", 0),
        ("Sports come to mind, but the answer is Sci/Tech.", 1),
        ("Sci/Technology", 0),
        ("no idea", 0),
    ],
)
def test_choice_reads_the_option_named_first_or_after_the_answer_is(said: str, right: int) -> None:
    assert score("choice", said, "Sci/Tech", TOPICS) == right


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("B", "B"), ("B. Because", "B"), ("(B)", "B"), ("The answer is (B) Friday.", "B"), ("B) x", "B"),
        ("A cat is (D).", "D"), ("A cat", ""), ("Bananas", ""), ("Answer: C", "C"), ("", ""),
    ],
)  # fmt: skip
def test_a_letter_is_read_alone_first_or_in_brackets_and_an_article_is_none(said: str, read: str) -> None:
    assert named("choice").score(said, Item("i", "q", "B", LETTERS)).read == read


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("1,234", 1), ("$1234.00", 1), ("First 5, then 1234", 1), ("#### 1234", 1), ("1234 of 5000", 0),
        ("The answer is 1234, as 3 say", 0), ("The answer is 1234.", 1), ("-1234", 0), ("none", 0),
    ],
)  # fmt: skip
def test_number_takes_the_last_one_and_forgets_how_it_is_written(said: str, right: int) -> None:
    assert score("number", said, "1234") == right


def test_regex_and_length_say_what_they_read() -> None:
    assert named("regex:\\bw\\w+").score("hello world", Item("i", "q", "")).read == "world"
    assert score("regex:^x", "hello", "") == 0
    assert [score("length:2", said, "") for said in ("one", "one two", "one two three", " ")] == [1, 1, 0, 0]


def test_a_schema_is_held_and_a_fenced_block_read(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(
        json.dumps({"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}})
    )
    answers = ('{"age": 3, "name": "x"}', 'Here:\n```json\n{"age": 3}\n```', '{"age": "3"}', "{}", "no")
    assert [score(f"json-schema:{file}", said, "") for said in answers] == [1, 1, 0, 0, 0]


def test_a_schema_elsewhere_is_never_fetched(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps({"$ref": "http://127.0.0.1:9/schema.json"}))
    with pytest.raises(HoneError, match="Put all of it into one file"):
        score(f"json-schema:{file}", "{}", "")


@pytest.mark.parametrize(
    ("spec", "why"),
    [("bleu", "no metric 'bleu'"), ("length:x", "no metric"), ("regex:(", "cannot be read"),
     ("json-schema:nowhere.json", "cannot be used as a JSON schema")],
)  # fmt: skip
def test_a_metric_that_cannot_be_used_is_refused(spec: str, why: str) -> None:
    with pytest.raises(HoneError, match=why):
        named(spec)


def test_what_suits_the_gold_answers_is_found() -> None:
    def items(*answers: str, options: tuple[str, ...] = ()) -> list[Item]:
        return [Item(str(n), "q", answer, options) for n, answer in enumerate(answers)]

    assert suited(items("a", "b", options=("a", "b"))).name == "choice"
    assert suited(items("1,000", "2.5")).name == "number"
    assert suited(items("1", "a 2")).name == "exact"


@given(st.text(), st.text(min_size=1))
def test_scores_are_shares_whatever_is_said(said: str, gold: str) -> None:
    for metric in ("exact", "choice", "number", "length:3"):
        assert 0 <= score(metric, said, gold, (gold, "other")) <= 1


@given(st.text(min_size=1).filter(str.strip))
def test_the_gold_answer_itself_is_right(gold: str) -> None:
    assert score("exact", gold, gold) == 1


@given(st.integers(-(10**9), 10**9))
def test_a_number_is_found_in_a_sentence(number: int) -> None:
    assert score("number", f"So she pays {number:,} in all.", str(number)) == 1
