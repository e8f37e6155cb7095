"""Kinds of questions: each text has one, by the rules that are stated, and quickly."""

import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.kinds import KINDS, PLURAL, READ, RULES, kind_of

EXAMPLES = [
    ("sum", "Ann has 3 pens and buys two more. How many has she?"),
    ("sum", "I have a drum, a flute, and a horn. How many instruments do I have?"),
    ("sum", "A shirt costs $20 and is sold at half price. What is the price?"),
    ("sum", "What is 17 * 94?"),
    ("sum", "It was 2 degrees, fell 8 overnight and rose 3. What was it in the morning?"),
    ("yes-no", "Is Pluto a planet?"),
    ("yes-no", "I have a cold. Should I go to work?"),
    ("yes-no", "If you follow these instructions, do you return?\nOptions:\n- Yes\n- No"),
    ("yes-no", "not ( True ) and ( False ) is"),
    ("choice", "Is this movie review positive or negative?\n\nReview: a bore"),
    ("choice", "Who wrote Faust?\nA. Goethe\nB. Kant\nC. Marx\nD. Kafka"),
    ("choice", "Which is sarcastic?\nOptions:\n(A) He won. Great.\n(B) He won."),
    ("choice", "Which of the following are birds: robin, trout, wren?"),
    ("choice", "Classify each as soft or hard: pillow, stone"),
    ("code", "Write a Python function that sorts a list."),
    ("code", "What is wrong here?\n```\nprint(1\n```"),
    ("list", "Please list the planets."),
    ("list", "Give me five names for a cat."),
    ("list", "What are some good reasons to walk?"),
    ("writing", "Write a poem about 10 trees."),
    ("list", "Write a short list of birds."),
    ("writing", "Can you summarise this text?\nA long text."),
    ("question", "Why is the sky blue?"),
    ("question", "How many legs has a spider?"),
    ("question", "Explain tides."),
    ("question", "Who was Goethe, who died in 1832?"),
    ("other", "Hello there"),
    ("other", ""),
]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_a_question_is_of_the_kind_that_people_would_call_it(kind: str, text: str) -> None:
    assert kind_of(text) == kind


def test_every_kind_has_an_example_above_and_a_name_for_several() -> None:
    assert {kind for kind, _ in EXAMPLES} == set(KINDS) == set(PLURAL)
    assert all(rule.words and rule.kind in KINDS for rule in RULES)


@given(st.text(max_size=400))
def test_every_text_has_a_kind_and_blank_space_around_it_says_nothing(text: str) -> None:
    assert kind_of(text) in KINDS
    assert kind_of(f"\n \t{text}  \n\n") == kind_of(text)


@given(st.lists(st.sampled_from(["two", "5", "how many", "is it", "or", "?", "\n", "(A)", "(B)", "list"])))
def test_texts_of_telling_words_have_a_kind_too(words: list[str]) -> None:
    assert kind_of(" ".join(words)) in KINDS


UNITS = [
    "a",
    "1 ",
    "1,",
    ",",
    "? ",
    "is or ",
    "\n",
    "\n ",
    "(A) ",
    "what ",
    "how many ",
    "and ( ",
    ". is ",
    " ",
]


def test_no_text_takes_long() -> None:
    for one, other in product(UNITS, UNITS):
        for text in ((one * 3 + other) * READ, one * 2 * READ + other * 2 * READ):
            started = time.process_time()
            kind_of(text)
            assert time.process_time() - started < 0.5, (one, other)


def test_of_a_long_text_the_beginning_and_the_end_are_read() -> None:
    filling = "word " * (2 * READ)
    assert kind_of(f"Write a poem about this. {filling}") == "writing"
    assert kind_of(f"{filling} Why is the sky blue?") == "question"
