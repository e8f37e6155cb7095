"""The pool of examples: nearest first, the same each time, never more than there are."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts import examples
from prompts.examples import Example, ExamplePool

CAPITALS = ExamplePool(
    [
        Example("What is the capital of Japan?", "Tokyo.", "d_1"),
        Example("How do I bake bread?", "Flour, water, yeast.", "d_2"),
        Example("What is the capital of Peru?", "Lima.", "d_3"),
        Example("Why is the sky blue?", "It scatters light.", "d_4"),
    ]
)
words = st.lists(st.sampled_from(["tea", "ink", "rope", "what", "is"]), max_size=5).map(" ".join)


def sources(pool: ExamplePool, question: str, count: int) -> list[str]:
    return [example.source for example in pool.choose(question, count, "nearest")]


def test_the_nearest_come_first_and_the_rest_in_the_pools_order() -> None:
    assert sources(CAPITALS, "Which CAPITAL has Peru?", 4) == ["d_3", "d_1", "d_2", "d_4"]
    assert sources(CAPITALS, "baking bread", 1) == ["d_2"]


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    pool = ExamplePool(
        [Example("what is tea", "", "1"), Example("what is ink", "", "2"), Example("rope", "", "3")]
    )
    assert sources(pool, "what about ink", 2) == ["2", "1"]


def test_without_a_word_in_common_and_for_first_the_pools_order_holds() -> None:
    assert sources(CAPITALS, "zzz", 2) == ["d_1", "d_2"]
    assert [e.source for e in CAPITALS.choose("Peru", 2, "first")] == ["d_1", "d_2"]


def test_an_empty_pool_gives_nothing() -> None:
    assert ExamplePool([]).choose("Why?", 3, "nearest") == ()
    assert ExamplePool([Example("", "")]).choose("", 3, "nearest") == (Example("", ""),)


@given(st.lists(words, max_size=8), words, st.integers(1, 10))
def test_as_many_as_wanted_are_chosen_each_once_and_always_the_same(
    questions: list[str], question: str, count: int
) -> None:
    made = [Example(text, "", str(place)) for place, text in enumerate(questions)]
    chosen = ExamplePool(made).choose(question, count, "nearest")
    assert len(set(chosen)) == len(chosen) == min(count, len(made))
    assert chosen == ExamplePool(made).choose(question, count, "nearest")


@given(st.sets(st.frozensets(st.sampled_from("abcdef"), min_size=2, max_size=2), min_size=1), st.data())
def test_of_questions_of_one_length_the_one_with_the_same_words_is_the_nearest(
    bags: set[frozenset[str]], data: st.DataObject
) -> None:
    questions = sorted(" ".join(sorted(bag)) for bag in bags)
    wanted = data.draw(st.sampled_from(questions))
    pool = ExamplePool([Example(question, "") for question in questions])
    assert pool.choose(" ".join(reversed(wanted.split())), 1, "nearest")[0].question == wanted


def test_the_index_is_made_once_however_many_threads_ask_first(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    known = examples.words

    def counted(text: str) -> list[str]:
        read.append(text)
        return known(text)

    monkeypatch.setattr(examples, "words", counted)
    pool = ExamplePool([Example(f"Question {number}?", "") for number in range(50)])
    assert pool.choose("Question 7?", 2, "first") == (Example("Question 0?", ""), Example("Question 1?", ""))
    assert not read  # nothing nearest was asked for
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: pool.choose(f"{number}", 1, "nearest"), range(8)))
    assert [one[0].question for one in found] == [f"Question {number}?" for number in range(8)]
    assert len(read) == 50 + 8
