"""The token budget with examples: they go before any turn, the last chosen first, as few as must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.chat import ChatMessage
from prompts.plain import shipped
from prompts.window import Fitted, fit_examples
from tests.build import chatml

texts = st.text(max_size=30)


def messages(examples: int, turns: int, question: str = "Why?", size: int = 20) -> list[ChatMessage]:
    shown = [ChatMessage(role, "e" * size) for _ in range(examples) for role in ("user", "assistant")]
    earlier = [ChatMessage(role, "t" * size, True) for _ in range(turns) for role in ("user", "assistant")]
    return [*shown, *earlier, ChatMessage("user", question)]


def fitted(most: int, turns: int, budget: int, size: int = 20) -> tuple[int, Fitted]:
    return fit_examples(lambda count: messages(count, turns, size=size), most, chatml(), len, budget)


@given(st.integers(0, 12), st.integers(0, 6), st.integers(60, 3000), st.integers(0, 60))
def test_what_is_left_fits_and_no_example_went_that_had_room(
    most: int, turns: int, budget: int, size: int
) -> None:
    kept, prompt = fitted(most, turns, budget, size)
    assert prompt.prompt_tokens == len(prompt.text) <= budget
    assert prompt.text == chatml().text(messages(kept, turns - prompt.dropped_turns // 2, size=size))
    if kept < most and not prompt.dropped_turns:
        assert len(chatml().text(messages(kept + 1, turns, size=size))) > budget


@given(st.integers(1, 12), st.integers(1, 6), st.integers(60, 3000))
def test_no_turn_goes_while_there_is_an_example_left(most: int, turns: int, budget: int) -> None:
    kept, prompt = fitted(most, turns, budget)
    assert not prompt.dropped_turns or not kept


def test_a_question_that_fits_without_any_example_is_asked_so() -> None:
    step = shipped()["few-shot"].steps[0]
    alone = chatml().text(step.messages("Why?", (), {}, ()))
    kept, prompt = fit_examples(
        lambda count: step.messages(
            "Why?", (Turn("user", "x"), Turn("assistant", "y")), {}, step.examples[:count]
        ),
        len(step.examples),
        chatml(),
        len,
        len(alone),
    )
    assert (kept, prompt.text, prompt.dropped_turns) == (0, alone, 2)


def test_a_question_that_does_not_fit_alone_is_refused() -> None:
    with pytest.raises(HoneError, match="too long"):
        fitted(3, 1, 10)
