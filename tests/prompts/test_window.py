"""The window: what does not fit goes oldest first, in whole exchanges; the question always stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.chat import ChatMessage
from prompts.plain import plain_messages, shipped
from prompts.window import Fitted, fit
from tests.build import chatml

exchanges = st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=12)


def asked(pairs: list[tuple[str, str]], question: str) -> list[ChatMessage]:
    turns = [turn for user, reply in pairs for turn in (Turn("user", user), Turn("assistant", reply))]
    return plain_messages([*turns, Turn("user", question)])


def fitted(messages: list[ChatMessage], budget: int) -> Fitted:
    return fit(messages, chatml(), len, budget)


@given(exchanges, st.text(max_size=30), st.integers(100, 900))
def test_a_fitted_prompt_is_within_budget_and_ends_with_the_question(
    pairs: list[tuple[str, str]], question: str, budget: int
) -> None:
    result = fitted(asked(pairs, question), budget)
    assert result.prompt_tokens == len(result.text) <= budget
    assert result.text == chatml().text(asked(pairs[result.dropped_turns // 2 :], question))


@given(exchanges, st.integers(100, 900), st.integers(0, 300))
def test_a_larger_window_never_drops_more(pairs: list[tuple[str, str]], budget: int, more: int) -> None:
    messages = asked(pairs, "And now?")
    assert fitted(messages, budget + more).dropped_turns <= fitted(messages, budget).dropped_turns


@given(exchanges, st.integers(100, 900))
def test_no_exchange_is_dropped_that_would_have_fitted(pairs: list[tuple[str, str]], budget: int) -> None:
    dropped = fitted(asked(pairs, "And now?"), budget).dropped_turns // 2
    if dropped:
        assert len(chatml().text(asked(pairs[dropped - 1 :], "And now?"))) > budget


def test_nothing_but_turns_is_dropped_from_messages() -> None:
    step = shipped()["chain-of-thought"].steps[0]
    alone = step.messages("Why?")
    history = (Turn("user", "x" * 500), Turn("assistant", "y" * 500))
    result = fitted(step.messages("Why?", history), len(chatml().text(alone)))
    assert result.text == chatml().text(alone)
    assert result.dropped_turns == 2


def test_a_question_that_does_not_fit_alone_is_refused_with_what_to_do() -> None:
    with pytest.raises(HoneError) as refusal:
        fitted(asked([("a", "b")], "x" * 500), 100)
    assert "too long" in refusal.value.what
    assert "100" in refusal.value.why
    assert "Shorten" in refusal.value.todo


def test_a_long_conversation_is_fitted_with_few_counts() -> None:
    counts = []

    def count(text: str) -> int:
        counts.append(text)
        return len(text)

    fit(asked([("hello", "hello")] * 500, "And now?"), chatml(), count, 5000)
    assert len(counts) <= 11
