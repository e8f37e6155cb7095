"""Candidates: what a search changes of a strategy, and that it changes nothing else."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HoneError
from prompts.examples import Example
from prompts.plain import shipped
from prompts.search import candidates
from prompts.search.candidates import Candidate, Start
from prompts.strategy import parse

FEW = Start("few-shot", shipped()["few-shot"])
HEAD = """---
title: Mine   # as I like it
variables: [instruction, examples, question]
examples: [{question: a, answer: b}]
max_tokens: 7
---

{% if instruction %}{% message "system" %}{{ instruction }}{% endmessage %}{% endif %}
{% for one in examples %}{% message "user" %}{{ one.question }}{% endmessage %}
{% message "assistant" %}{{ one.answer }}{% endmessage %}{% endfor %}
{% message "user" %}{{ question }}{% endmessage %}
"""
MINE = Start("mine", parse("mine", {"mine.jinja": HEAD}))
said = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(
    lambda text: bool(text.strip())
)


@given(said, st.lists(st.tuples(said, said), min_size=1, max_size=6))
def test_a_candidate_is_the_start_with_other_values_whatever_they_say(
    instruction: str, shown: list[tuple[str, str]]
) -> None:
    """Also where they look like YAML, or like a template."""
    one = Candidate(MINE, instruction, tuple(Example(*pair) for pair in shown), "made")
    found = one.strategy("new")
    (step,) = found.steps
    assert (step.instruction, step.max_tokens, found.title) == (instruction, 7, "Mine")
    assert [(example.question, example.answer) for example in step.examples] == shown
    ((_, text),) = found.files
    assert "title: Mine   # as I like it\n" in text
    assert text.partition("---\n\n")[2] == HEAD.partition("---\n\n")[2]
    messages = step.messages("Q?")
    assert (messages[0].content, messages[-1].content, len(messages)) == (
        instruction,
        "Q?",
        2 + 2 * len(shown),
    )


def test_the_start_is_left_letter_by_letter() -> None:
    assert candidates.first(MINE).strategy("mine").files == MINE.strategy.files
    assert candidates.first(FEW).strategy("few-shot").sha256 == FEW.strategy.sha256


def test_an_instruction_can_be_taken_away_again() -> None:
    told = candidates.instructed(candidates.first(MINE), "Be brief.", "told")
    start = Start("told", told.strategy("mine"))
    bare = candidates.instructed(candidates.first(start), "", "bare").strategy("mine")
    assert bare.steps[0].instruction == ""
    assert "instruction:" not in dict(bare.files)["mine.jinja"]


def test_of_a_chain_only_the_answering_step_changes() -> None:
    ask = '---\ntitle: {}\nvariables: [{}]\n{}---\n{{% message "user" %}}{}{{% endmessage %}}\n'
    files = {
        "strategy.yaml": "title: Two\ndescription: Two steps.\nsteps: [plan, reply]\n",
        "plan.jinja": ask.format("Plan", "question", "", "{{ question }}"),
        "reply.jinja": ask.format(
            "Reply", "plan, instruction", "instruction: Go.\n", "{{ instruction }} {{ plan }}"
        ),
    }
    start = Start("two", parse("two", files))
    found = candidates.instructed(candidates.first(start), "Stop.", "told").strategy("three")
    assert found.steps[1].instruction == "Stop."
    changed = {name for name, text in found.files if text != files[name]}
    assert changed == {"reply.jinja"}


def test_a_strategy_with_nothing_to_search_is_refused() -> None:
    with pytest.raises(HoneError, match="nothing to search in zero-shot"):
        candidates.first(Start("zero-shot", shipped()["zero-shot"]))


POOL = [Example(f"q{number}", "yes" if number % 3 else "no") for number in range(30)]


@given(st.integers(0, 10_000), st.sampled_from([2, 4, 8]))
def test_a_draw_shows_each_answer_about_equally_often(seed: int, size: int) -> None:
    found = candidates.drawn(candidates.first(FEW), POOL, random.Random(seed), [size])
    answers = [one.answer for one in found.examples]
    assert (answers.count("yes"), answers.count("no")) == (size // 2, size // 2)
    assert len(set(found.examples)) == size


@given(st.integers(0, 10_000))
def test_a_neighbour_is_one_small_step_away(seed: int) -> None:
    chance = random.Random(seed)
    base = candidates.drawn(candidates.first(FEW), POOL, chance, [6])
    found = candidates.neighbour(base, POOL, chance)
    kept = set(base.examples) & set(found.examples)
    assert len(base.examples) - len(kept) <= 2
    assert abs(len(found.examples) - len(base.examples)) <= 1
    assert len(set(found.examples)) == len(found.examples)
    if len(found.examples) == len(base.examples):
        assert sorted(one.answer for one in found.examples) == sorted(one.answer for one in base.examples)


def test_neighbours_of_nothing_and_of_everything_are_still_candidates() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        bare = Candidate(FEW, "", (), "bare")
        assert len(candidates.neighbour(bare, POOL, chance).examples) <= 1
        whole = Candidate(FEW, "", tuple(POOL), "whole")
        assert len(candidates.neighbour(whole, POOL, chance).examples) in (len(POOL), len(POOL) - 1)
