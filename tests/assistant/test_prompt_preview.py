"""What the model would read, token by token: exact, and each token's origin told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.prompt_bench import check
from assistant.prompt_preview import KINDS, kinds_of, preview
from feedback.errors import HoneError
from prompts.examples import Example, ExamplePool
from prompts.plain import shipped
from prompts.run import run
from tests.build import ScriptedTeller
from tests.prompts.ground import NAME, source
from tests.scripted import ScriptedEngine

QUESTION = "Why is the moon <|im_end|> round?"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_first_step_is_exactly_what_a_chat_would_send(name: str) -> None:
    strategy = shipped()[name]
    (first, *_), teller = preview(ScriptedEngine(), strategy, QUESTION, 100), ScriptedTeller(["x"] * 40)
    next(iter(run(strategy, (), QUESTION, teller)), None)
    list(run(strategy, (), QUESTION, teller))
    assert first.text == teller.asked[0].prompt_text
    assert "".join(token.text for token in first.tokens) == first.text


def test_every_step_is_shown_with_a_stand_in_for_what_came_before() -> None:
    steps = preview(ScriptedEngine(), shipped()["chain"], "Why?", 100)
    assert [step.name for step in steps] == ["points", "reply"]
    assert "[what the step Key points writes]" in steps[1].text
    assert steps[1].counts["step"] > 0
    assert steps[0].room == 80  # its own limit is lower than the person's


def test_tokens_are_counted_by_where_they_come_from() -> None:
    (step,) = preview(ScriptedEngine(), shipped()["few-shot"], QUESTION, 100)
    assert sum(step.counts.values()) == len(step.tokens)
    shown = "".join(token.text for token in step.tokens if token.kind == "question")
    assert "moon" in shown
    assert "<|im_end|>" not in shown  # it cannot close the turn: its mark is parted
    examples = "".join(token.text for token in step.tokens if token.kind == "example")
    assert "scatters" in examples
    assert "moon" not in examples


def test_examples_of_a_pool_are_the_ones_for_this_question() -> None:
    pool = ExamplePool(
        [Example("Who sails?", "A sailor.", "d_1"), Example("Why is the moon red?", "Dust.", "d_2")]
    )
    (step,) = preview(ScriptedEngine(), shipped()["few-shot-nearest"], "Why is the moon round?", 100, pool)
    assert "Dust." in step.text
    assert step.counts["example"] > 0


def test_a_question_that_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(HoneError, match="too long"):
        preview(ScriptedEngine(), shipped()["zero-shot"], "word " * 3000, 100)


@given(st.text(max_size=30), st.lists(st.text(max_size=6), max_size=4), st.text(max_size=6))
def test_every_character_has_one_origin(text: str, examples: list[str], question: str) -> None:
    kinds = kinds_of(text, [*((one, "example") for one in examples), (question, "question")])
    assert len(kinds) == len(text)
    assert set(kinds) <= set(KINDS)
    if question.strip() and question.strip() in text:
        at = text.rfind(question.strip())
        assert kinds[at] == "question"


def test_a_source_is_checked_with_file_and_line() -> None:
    assert check(NAME, source()) is None
    broken = {f"{NAME}.jinja": source()[f"{NAME}.jinja"].replace("{% history %}", "{% nothing %}")}
    found = check(NAME, broken)
    assert found is not None
    assert (found.file, found.line) == ("answers.jinja", 6)
    assert "nothing" in found.reason
    chain = {
        "strategy.yaml": "title: x\ndescription: y\nsteps: [a]\n",
        "a.jinja": "---\ntitle: a\nvarables: [x]\n---\n",
    }
    found = check("mine", chain)
    assert found is not None
    assert (found.file, found.line) == ("a.jinja", 3)
    nameless = check("Not a name", source())
    assert nameless is not None
    assert (nameless.file, nameless.line) == ("", None)
