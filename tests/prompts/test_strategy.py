"""Strategies as files: what is read, what is refused and where, and that text is only ever text."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.examples import Example
from prompts.plain import SHIPPED, plain_messages, shipped
from prompts.strategy import Strategy, load, parse

ASK = '{% message "user" %}{{ question }}{% endmessage %}'
printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"])).filter(
    str.strip
)
anything = st.one_of(
    st.text(),
    st.sampled_from(["{{ x }}", "{% endmessage %}", '{% message "system" %}', "{# #}", "{% history %}"]),
)


def one_step(body: str = ASK, front: str = "title: T\nvariables: [question]\n") -> Strategy:
    return parse("mine", {"mine.jinja": f"---\n{front}---\n{body}"})


def refusal(body: str = ASK, front: str = "title: T\nvariables: [question]\n") -> str:
    with pytest.raises(HoneError) as refused:
        one_step(body, front)
    assert "mine.jinja" in refused.value.what
    return refused.value.why


def test_the_shipped_strategies_are_those_promised() -> None:
    assert sorted(shipped()) == [
        "chain",
        "chain-of-thought",
        "chain-of-thought-zero",
        "critique-revise",
        "few-shot",
        "few-shot-nearest",
        "least-to-most",
        "meta",
        "self-consistency",
        "zero-shot",
    ]
    assert all(strategy.title and strategy.description for strategy in shipped().values())


def test_zero_shot_adds_nothing_of_its_own() -> None:
    turns = [Turn("user", " Hi\n"), Turn("assistant", "Hello "), Turn("user", "\n Why? ")]
    assert [(message.role, message.content) for message in plain_messages(turns)] == [
        (turn.role, turn.content) for turn in turns
    ]


@given(
    printable,
    printable,
    st.lists(st.tuples(printable, printable), min_size=1, max_size=3),
    st.integers(1, 9999),
)
def test_what_stands_in_front_matter_is_what_is_read(
    title: str, marker: str, examples: list[tuple[str, str]], limit: int
) -> None:
    front = {
        "title": title,
        "variables": ["question", "examples"],
        "examples": [{"question": asked, "answer": answer} for asked, answer in examples],
        "max_tokens": limit,
        "answer": {"marker": marker},
    }
    body = "{% for e in examples %}" + ASK.replace("question", "e.question") + "{% endfor %}" + ASK
    step = one_step(body, yaml.safe_dump(front, allow_unicode=True)).steps[0]
    assert (step.title, step.answer.marker, step.max_tokens) == (title, marker, limit)
    assert [(example.question, example.answer) for example in step.examples] == examples


@given(
    st.sampled_from(sorted(shipped())),
    st.lists(st.tuples(anything, anything), max_size=3),
    anything,
    anything,
    st.lists(st.tuples(anything, anything), max_size=3),
)
def test_no_text_changes_the_number_or_roles_of_messages(
    name: str,
    history: list[tuple[str, str]],
    question: str,
    output: str,
    pooled: list[tuple[str, str]],
) -> None:
    strategy = shipped()[name]
    turns = [turn for user, reply in history for turn in (Turn("user", user), Turn("assistant", reply))]
    plain = [Turn(turn.role, "x") for turn in turns]
    for step in strategy.steps:
        outputs = {other.name: output for other in strategy.steps}
        # An empty output may take away what a template says of it, so innocent text is empty there too.
        innocuous = dict.fromkeys(outputs, "x" if output else "")
        examples = [Example(asked, answer, "d_1") for asked, answer in pooled]
        written = step.messages(question, turns, outputs, examples)
        innocent = step.messages("x", plain, innocuous, [Example("x", "x")] * len(pooled))
        assert [message.role for message in written] == [message.role for message in innocent]
        assert [m.content for m in written if m.earlier] in ([], [turn.content for turn in turns])


@given(st.text())
def test_any_text_is_read_as_a_strategy_or_refused_in_words(text: str) -> None:
    for source in (text, f"---\n{text}\n---\n{ASK}", f"---\ntitle: T\nvariables: [question]\n---\n{text}"):
        with contextlib.suppress(HoneError):  # any other exception fails the test
            assert parse("mine", {"mine.jinja": source}).steps


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("\n" + ASK.replace("question", "questoin"), 6, "'questoin' is not declared"),
        ("\n\nHello" + ASK, 7, "outside a message"),
        ("{{ question }}" + ASK, 5, "outside a message"),
        ("{% if question %}\n" + ASK, 6, "Unexpected end"),
        (ASK + '\n{% message "tool" %}x{% endmessage %}', 6, "role"),
        ("{% include 'other' %}" + ASK, 5, "include is not allowed"),
        ("{% macro m() %}{% endmacro %}" + ASK, 5, "macro is not allowed"),
        ("{% set x = 1 %}" + ASK, 5, "assign is not allowed"),
        (ASK.replace("question", "question.upper()"), 5, "call is not allowed"),
        (ASK.replace("question", "question * 9999"), 5, "mul is not allowed"),
        (ASK.replace("question", "question.__class__"), 5, "unsafe"),
        (ASK.replace("question", "question.upper"), 5, "unsafe"),
        (ASK.replace("question", "question.upper ~ ''"), 5, "unsafe"),
        (ASK.replace("question", "[question]"), 5, "a list is not text"),
        ('{% message "user" %}x{% endmessage %}\n' + ASK.replace("user", "system"), 6, "only the first"),
        (ASK + "\n" + ASK.replace("user", "assistant"), 6, "the last message must be the user's"),
        (ASK.replace("question", "question.size"), 5, "no attribute"),
        (ASK.replace("question", "question + 1"), 5, "concatenate"),
        (ASK.replace("question", "question|tojson"), 5, "filter 'tojson'"),
        (
            ASK.replace("{{", '{% message "user" %}{{').replace("}}", "}}{% endmessage %}"),
            5,
            "inside a message",
        ),
    ],
)
def test_a_template_that_says_too_much_is_refused_at_its_line(body: str, line: int, reason: str) -> None:
    why = refusal(body)
    assert why.startswith(f"Line {line}: ")
    assert reason in why


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("title: T\ncolour: red\nvariables: [question]\n", 3, "'colour' is unknown"),
        ("title: T\ntitle: U\nvariables: [question]\n", 3, "twice"),
        ("variables: [question]\n", 2, "'title' is missing"),
        ("title: T\nvariables: [question, plan]\n", 3, "'plan' is not known"),
        ("title: T\nvariables: [question, history]\n", 3, "never used"),
        ("title: T\nvariables: [question]\nmax_tokens: many\n", 4, "whole number"),
        ("title: T\nvariables: [question]\nmax_tokens: 0\n", 4, "above 0"),
        ("title: T\nvariables: [question]\nanswer:\n  mark: x\n", 5, "'mark' is unknown"),
        ("title: [T\n", 2, "expected"),
        ('title: "\\ud800"\nvariables: [question]\n', 2, "half a character"),
        ("title: T\nvariables: [question]\nexamples: []\nanswer: " + "[" * 5000 + "\n", 2, "too deeply"),
    ],
)
def test_front_matter_is_refused_at_its_line(front: str, line: int, reason: str) -> None:
    why = refusal(front=front)
    assert why.startswith(f"Line {line}: ")
    assert reason in why


@pytest.mark.parametrize(
    "waste",
    [
        "{% for a in 'xxxxxxxxxx' %}" * 9 + "{% endfor %}" * 9,
        "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{% for a in 'xxxxxxxxxx' %}" * 3 + "{{ '" + "y" * 9000 + "' }}" + "{% endfor %}" * 3,
        "x" * 60_000,
    ],
)
def test_a_template_that_never_ends_or_writes_without_end_is_refused(waste: str) -> None:
    assert refusal(ASK.replace("{{", waste + "{{", 1))


def test_a_chain_whose_steps_and_files_differ_is_refused() -> None:
    head = "title: C\ndescription: D\nsteps: [plan, reply]\n"
    step = "---\ntitle: S\nvariables: [question]\n---\n" + ASK
    with pytest.raises(HoneError, match=r"strategy\.yaml.*Line 3.*reply\.jinja"):
        parse("c", {"strategy.yaml": head, "plan.jinja": step})
    early = step.replace("[question]", "[question, reply]")
    with pytest.raises(HoneError, match=r"plan\.jinja.*Line 3.*'reply' is not known"):
        parse("c", {"strategy.yaml": head, "plan.jinja": early, "reply.jinja": step})


def test_a_prompt_that_does_not_end_with_a_question_or_a_chain_cannot_be_trained_on() -> None:
    with pytest.raises(HoneError, match="not the user's"):
        plain_messages([Turn("user", "Hi"), Turn("assistant", "Hello")])
    with pytest.raises(HoneError, match="more than once"):
        plain_messages([Turn("user", "Hi")], shipped()["chain"])


def test_a_folder_is_read_whole_and_its_name_is_the_strategys(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("---\ntitle: T\nvariables: [question]\n---\n" + ASK)
    (tmp_path / "notes.txt").write_text("not a template")
    assert list(load(tmp_path)) == ["mine"]
    assert load(SHIPPED) == shipped()
