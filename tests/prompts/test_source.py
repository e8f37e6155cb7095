"""The settings of a step in its front matter: read as written, refused at their line."""

import pytest

from feedback.errors import HoneError
from prompts.answers import AnswerRule
from prompts.checks import Check
from prompts.examples import Example
from prompts.step import FromPool, Step
from prompts.strategy import Strategy, parse

ASK = '{% message "user" %}{{ question }}{% endmessage %}'
HEAD = "title: T\nvariables: [question]\n"
POOL = "title: T\nvariables: [question, examples]\nexamples:\n  from: pool\n  count: 8\n  choose: nearest\n"


def one_step(front: str, body: str = ASK) -> Step:
    return parse("mine", {"mine.jinja": f"---\n{front}---\n{body}"}).steps[0]


def with_examples(front: str) -> Step:
    return one_step(
        front, "{% for e in examples %}" + ASK.replace("question", "e.question") + "{% endfor %}" + ASK
    )


def chain(first: str, second: str = "", third: str = "") -> Strategy:
    """Three steps, a, b and c, each with more front matter."""
    steps = {
        f"{name}.jinja": f"---\n{HEAD}{front}---\n{ASK}"
        for name, front in zip("abc", (first, second, third), strict=True)
    }
    return parse("mine", {"strategy.yaml": "title: C\ndescription: D\nsteps: [a, b, c]\n", **steps})


def test_all_settings_of_a_step_are_read() -> None:
    step = one_step(
        HEAD + "max_tokens: 9\ntemperature: 0.5\nanswer:\n  marker: 'So:'\n  take: choice\n"
        "  options: [yes, no]\ncheck:\n  pattern: ^y\n  contains: [y]\n  one_of: [yes, no]\n"
        "  max_words: 3\n  min_words: 1\n  not_empty: true\nretries: 2\n"
    )
    assert (step.max_tokens, step.temperature, step.retries) == (9, 0.5, 2)
    assert step.answer == AnswerRule("So:", "choice", ("yes", "no"))
    assert step.check == Check("^y", ("y",), ("yes", "no"), 3, 1, True)


def test_samples_and_branches_are_read() -> None:
    assert one_step(HEAD + "temperature: 1\nsamples: 9\n").samples == 9
    first = chain("check: {not_empty: true}\notherwise: c\ngo_on: b\n").steps[0]
    assert (first.otherwise, first.go_on) == ("c", "b")
    assert chain("", "go_on: c\n").steps[1].go_on == "c"


def test_examples_come_from_a_list_or_a_pool_with_a_list_for_when_it_is_empty() -> None:
    step = with_examples(POOL + "  fallback:\n    - {question: Q, answer: A}\n")
    assert step.pool == FromPool(8, "nearest")
    assert step.examples == (Example("Q", "A"),)
    assert with_examples(POOL).examples == ()


@pytest.mark.parametrize(
    ("front", "line", "reason"),
    [
        ("temperature: warm\n", 4, "a number such as 0.7"),
        ("temperature: 2.1\n", 4, "2 at most"),
        ("temperature: -1\n", 4, "may be 0 at least"),
        ("max_tokens: " + "9" * 5000 + "\n", 4, "at most"),
        ("temperature: 1\nsamples: 99\n", 5, "32 at most"),
        ("samples: 3\n", 4, "needs a `temperature` above 0"),
        ("temperature: 0\nsamples: 3\n", 5, "needs a `temperature` above 0"),
        ("temperature: 1\nsamples: 3\ncheck: {not_empty: true}\n", 5, "exclude each other"),
        ("answer: {}\n", 4, "has a `marker`, a `take`, or both"),
        ("answer:\n  take: last word\n", 5, "must be one of whole, first line, last number, choice"),
        ("answer:\n  take: choice\n", 5, "`options` belongs to `take: choice`"),
        ("answer:\n  take: whole\n  options: [a, b]\n", 6, "`options` belongs to `take: choice`"),
        ("answer:\n  take: choice\n  options: [a]\n", 6, "two `options` at least"),
        ("answer:\n  take: choice\n  options: a\n", 6, "a list of texts"),
        ("answer:\n  take: choice\n  options:\n    - a\n    - [b]\n", 8, "must be a text"),
        ("check: {}\n", 4, "one or several of"),
        ("check:\n  patern: x\n", 5, "'patern' is unknown"),
        ("check:\n  pattern: (\n", 5, "the pattern cannot be read"),
        ("check:\n  max_words: 1\n  min_words: 2\n", 6, "more than `max_words`"),
        ("check:\n  not_empty: false\n", 5, "can only be true"),
        ("temperature: 1\nretries: 1\n", 5, "needs a `check`"),
        ("check: {not_empty: true}\nretries: 1\n", 5, "needs a `temperature` above 0"),
        ("temperature: 1\ncheck: {not_empty: true}\nretries: 6\n", 6, "5 at most"),
        ("go_on: mine\n", 4, "this is the last"),
        ("colour: red\n", 4, "'colour' is unknown"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_at_its_line(front: str, line: int, reason: str) -> None:
    with pytest.raises(HoneError) as refused:
        one_step(HEAD + front)
    assert "mine.jinja" in refused.value.what
    assert refused.value.why.startswith(f"Line {line}: ")
    assert reason in refused.value.why


@pytest.mark.parametrize(
    ("pool", "line", "reason"),
    [
        (POOL.replace("pool", "web"), 5, "must be one of pool"),
        (POOL.replace("count: 8", "count: 65"), 6, "64 at most"),
        (POOL.replace("  count: 8\n", ""), 5, "'count' is missing"),
        (POOL.replace("nearest", "best"), 7, "must be one of nearest, first"),
        (POOL + "  fallback: [x]\n", 8, "here must stand question, answer"),
        (POOL.replace(", examples", ""), 3, "both given and declared"),
    ],
)
def test_a_pool_that_is_wrong_is_refused_at_its_line(pool: str, line: int, reason: str) -> None:
    with pytest.raises(HoneError) as refused:
        with_examples(pool)
    assert refused.value.why.startswith(f"Line {line}: ")
    assert reason in refused.value.why


@pytest.mark.parametrize(
    ("fronts", "line", "reason"),
    [
        (("otherwise: b\n",), 4, "needs a `check`"),
        (("", "go_on: a\n"), 4, "must be one of c"),
        (("", "go_on: b\n"), 4, "must be one of c"),
        (("temperature: 1\nsamples: 3\n",), 5, "only the last step"),
        (("", "", "check: {not_empty: true}\notherwise: a\n"), 5, "this is the last"),
    ],
)
def test_a_branch_leads_only_forwards_so_no_chain_goes_round(
    fronts: tuple[str, ...], line: int, reason: str
) -> None:
    with pytest.raises(HoneError) as refused:
        chain(*fronts)
    assert refused.value.why.startswith(f"Line {line}: ")
    assert reason in refused.value.why
