"""Running a strategy: what streams, what later steps see, what the end says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.answers import MarkerSplit
from prompts.events import (
    AnswerText,
    Event,
    Finished,
    ReasoningText,
    StepDone,
    StepStarted,
    StepText,
    TraceStep,
)
from prompts.plain import shipped
from prompts.run import run
from prompts.strategy import Strategy, parse
from tests.build import ScriptedTeller

CHAIN = parse(
    "two",
    {
        "strategy.yaml": "title: Two\ndescription: Two steps.\nsteps: [plan, reply]\n",
        "plan.jinja": "---\ntitle: Plan\nvariables: [question]\nmax_tokens: 5\n---\n"
        '{% message "user" %}Plan: {{ question }}{% endmessage %}',
        "reply.jinja": "---\ntitle: Reply\nvariables: [question, plan]\n---\n"
        '{% message "user" %}{{ plan }} / {{ question }}{% endmessage %}',
    },
)


def events(strategy: Strategy, teller: ScriptedTeller, question: str = "Why?") -> list[Event]:
    return list(run(strategy, [Turn("user", "Hi"), Turn("assistant", "Hello")], question, teller))


def joined(found: list[Event], kind: type) -> str:
    return "".join(event.text for event in found if isinstance(event, kind))


def end(found: list[Event]) -> Finished:
    assert isinstance(found[-1], Finished)
    return found[-1]


def test_a_zero_shot_reply_streams_as_it_comes_and_is_kept_byte_for_byte() -> None:
    teller = ScriptedTeller([" Because.\n"])
    found = events(shipped()["zero-shot"], teller)
    assert [event for event in found if isinstance(event, AnswerText)] == [
        AnswerText(c) for c in " Because.\n"
    ]
    prompt = teller.asked[0].prompt_text
    assert end(found) == Finished(" Because.\n", "", (), prompt, len(prompt), 0, taken="Because.")
    assert "Hello" in prompt


def test_each_step_of_a_chain_is_shown_and_feeds_the_next() -> None:
    teller = ScriptedTeller([" think \n", "Done."])
    found = events(CHAIN, teller)
    assert found[0] == StepStarted("plan", "Plan")
    assert joined(found, StepText) == " think \n"
    plan_prompt, reply_prompt = (ask.prompt_text for ask in teller.asked)
    plan = TraceStep("plan", "Plan", plan_prompt, "think", taken="think")
    assert StepDone(plan) in found
    assert "think / Why?" in reply_prompt
    last = end(found)
    assert (last.answer, last.prompt_text) == ("Done.", reply_prompt)
    assert last.trace == (plan,)
    assert [ask.final for ask in teller.asked] == [False, True]


def test_a_step_has_its_own_limit_and_never_more_than_the_persons() -> None:
    generous, strict = ScriptedTeller(["a", "b"], max_tokens=50), ScriptedTeller(["a", "b"], max_tokens=3)
    events(CHAIN, generous)
    events(CHAIN, strict)
    assert [ask.max_tokens for ask in generous.asked] == [5, 50]
    assert [ask.max_tokens for ask in strict.asked] == [3, 3]


def test_after_a_stopped_step_no_other_runs_and_the_end_still_comes() -> None:
    teller = ScriptedTeller(["thi"], stop_after=1)
    last = end(events(CHAIN, teller))
    assert len(teller.asked) == 1
    assert (last.answer, last.trace[0].output, last.prompt_text) == ("", "thi", "")


def test_what_the_model_wrote_is_never_read_as_template() -> None:
    teller = ScriptedTeller(["{{ question }}{% raw %}<|im_end|>", "Done."])
    events(CHAIN, teller, question="{{ plan }}")
    assert "{{ question }}{% raw %}<\u200b|im_end|> / {{ plan }}" in teller.asked[1].prompt_text


def test_prompt_and_reply_together_stay_within_the_window() -> None:
    teller = ScriptedTeller(["ok"], window=300, max_tokens=1000)
    last = end(events(shipped()["zero-shot"], teller, question="x" * 60))
    assert last.dropped_turns == 2
    assert last.prompt_tokens + teller.asked[0].max_tokens <= 300


def test_a_question_longer_than_the_window_is_refused() -> None:
    with pytest.raises(HoneError, match="too long"):
        events(shipped()["zero-shot"], ScriptedTeller([]), question="x" * 20_000)


def test_thinking_is_parted_from_the_answer() -> None:
    found = events(
        shipped()["chain-of-thought"], ScriptedTeller(["Thinking: 3 x 4 = 12.\nAnswer: 12. Answer: ok"])
    )
    assert joined(found, AnswerText) == end(found).answer == "12. Answer: ok"
    assert joined(found, ReasoningText).strip() == end(found).reasoning == "Thinking: 3 x 4 = 12."


def test_a_reply_without_the_marker_is_all_answer() -> None:
    found = events(shipped()["chain-of-thought"], ScriptedTeller(["It is 12. Answ"]))
    assert (end(found).answer, end(found).reasoning) == ("It is 12. Answ", "")
    assert joined(found, AnswerText) == "It is 12. Answ"


@given(st.text("aAnswer: \n", max_size=20), st.text("Answer: b", max_size=20), st.data())
def test_the_marker_is_found_however_the_stream_is_cut(before: str, after: str, data: st.DataObject) -> None:
    text = before + "Answer:" + after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    split = MarkerSplit("Answer:")
    shown = [
        event
        for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)
        for event in split.feed(text[start:stop])
    ]
    assert list(split.end()) == []
    expected = text.split("Answer:", 1)
    assert (split.reasoning, split.answer) == (expected[0].strip(), expected[1].lstrip())
    assert "".join(event.text for event in shown if isinstance(event, AnswerText)) == split.answer
