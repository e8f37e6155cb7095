"""The search: what it finds, what it never sees, what it spends, and what a stop and a second run do."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.errors import HoneError
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import How
from prompts.evaluation.datasets import load, source
from prompts.evaluation.items import Dataset, Item
from prompts.evaluation.metrics import Choice
from prompts.evaluation.model import CancelledError
from prompts.plain import shipped
from prompts.search import evidence, writing
from prompts.search.candidates import Start
from prompts.search.optimise import Budget, Material, Search, parted
from prompts.strategy import parse
from tests.evaluation_ground import RuledModel, reviews, sums

FEW = Start("few-shot", shipped()["few-shot"])
OPTIONS = "Answer with one of these and nothing else"


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path / "evaluations.db")


def data(folder: Path, asked: int = 60, shown: int = 120) -> Dataset:
    train = reviews(folder / "train.jsonl", asked + shown)
    dev = reviews(folder / "dev.jsonl", asked)  # its rows are in train too, and left out there
    return load(source(f"sst2:{dev}"), source(f"sst2:{train}"))


def right_when(mark: str) -> RuledModel:
    """A model that tells good from bad only under a prompt with `mark` in it; else all is positive."""

    def finds(prompt: str, answer: str) -> float:
        asked = prompt.rpartition("Review:")[2]
        wanted = "negative" if mark in prompt and "bad" in asked else "positive"
        return -0.1 if answer == wanted else -2.0

    return RuledModel(
        says=lambda prompt, sampling: f'Instruction: "Say number {sampling.seed}."', finds=finds
    )


def searched(
    calls: Calls, model: RuledModel, material: Material, questions: int = 1500, seed: int = 0
) -> Search:
    return Search([FEW], material, How(), model, calls, Budget(questions, 600.0), seed)


def test_a_better_instruction_is_found_and_proven_on_items_the_search_never_asked(
    tmp_path: Path, calls: Calls
) -> None:
    model = right_when(OPTIONS)
    material = parted(data(tmp_path))
    search = searched(calls, model, material)
    found = search.run()
    asked = "\n".join(prompt for prompt, _ in model.scored)
    assert not any(f"{item.question}<|im_end|>" in asked for item in material.held.items)
    assert OPTIONS in found.best.instruction
    proof = evidence.prove(search, found)
    assert proof.verdict == "better"
    assert proof.found.score is not None
    assert proof.found.score.value == 1.0
    assert len(proof.found.outcomes) == 60
    assert (
        "1.000 against 0.500 of few-shot on 60 held-out items of sst2:dev.jsonl (+50.0 points" in proof.note
    )


def test_what_was_lucky_on_the_items_of_the_search_is_no_better_on_others(
    tmp_path: Path, calls: Calls
) -> None:
    material, knows = parted(data(tmp_path)), right_when(OPTIONS)
    held = {item.question.rpartition("Review:")[2] for item in material.held.items}
    plain = right_when("words that no prompt has")

    def finds(prompt: str, answer: str) -> float:
        new = any(question in prompt.rpartition("Review:")[2] for question in held)
        return (plain if new else knows).finds(prompt, answer)

    search = searched(calls, RuledModel(says=knows.says, finds=finds), material)
    found = search.run()
    assert OPTIONS in found.best.instruction
    assert evidence.prove(search, found).verdict == "no better"


def test_better_examples_are_found(tmp_path: Path, calls: Calls) -> None:
    start = Start("bare", parse("bare", {"bare.jinja": BARE}))
    material = parted(data(tmp_path))
    lucky = {item.question for item in material.pool[:40]}
    model = RuledModel(finds=lambda prompt, answer: _by_examples(prompt, answer, lucky))
    search = replace(searched(calls, model, material), starts=[start])
    found = search.run()
    shown = [one.question for one in found.best.examples]
    assert any(one in lucky for one in shown)
    assert evidence.prove(search, found).verdict == "better"


BARE = """---
title: Bare
variables: [examples, question]
examples: [{question: nothing, answer: positive}]
---
{% for one in examples %}{% message "user" %}{{ one.question }}{% endmessage %}
{% message "assistant" %}{{ one.answer }}{% endmessage %}{% endfor %}
{% message "user" %}{{ question }}{% endmessage %}
"""


def _by_examples(prompt: str, answer: str, lucky: set[str]) -> float:
    before, _, asked = prompt.rpartition("Review:")
    knows = any(one.partition("Review:")[2] in before for one in lucky)
    wanted = "negative" if knows and "bad" in asked else "positive"
    return -0.1 if answer == wanted else -2.0


def test_where_nothing_is_better_the_start_stays(tmp_path: Path, calls: Calls) -> None:
    search = searched(calls, right_when("Sunlight holds every colour"), parted(data(tmp_path)))
    assert evidence.prove(search, search.run()).verdict == "the start"


@pytest.mark.parametrize("questions", [100, 333, 900])
def test_no_more_is_asked_than_may_be_spent(tmp_path: Path, calls: Calls, questions: int) -> None:
    model = right_when(OPTIONS)
    found = searched(calls, model, parted(data(tmp_path)), questions).run()
    assert found.questions <= questions
    assert len(model.scored) <= 2 * questions
    assert sum(one.items for one in found.placed) == found.questions
    assert found.ended_by == "the questions were spent"
    assert found.best == found.placed[0].runner
    assert found.placed[0].items == max(one.items for one in found.placed)


def test_time_that_is_spent_ends_a_search_with_what_it_has(tmp_path: Path, calls: Calls) -> None:
    told: list[tuple[int, int]] = []
    search = replace(
        searched(calls, right_when(OPTIONS), parted(data(tmp_path))),
        budget=Budget(4000, 0.05),
        tell=lambda _, done, whole: told.append((done, whole)),
    )
    found = search.run()
    assert told[-1][0] <= told[-1][1] < 4000  # progress counts what the time allows
    assert found.ended_by == "the time was spent"
    assert found.placed[0].runner == found.best


def test_the_same_search_asks_nothing_twice_and_finds_the_same(tmp_path: Path, calls: Calls) -> None:
    material = parted(data(tmp_path))
    first = searched(calls, right_when(OPTIONS), material).run()
    silent = right_when(OPTIONS)
    again = searched(calls, silent, material).run()
    assert (silent.scored, silent.written) == ([], [])
    assert [(one.runner.key, one.score) for one in again.placed] == [
        (one.runner.key, one.score) for one in first.placed
    ]
    other = searched(calls, right_when(OPTIONS), material, seed=1).run()
    assert {one.runner.key for one in other.placed} != {one.runner.key for one in first.placed}


def test_a_stop_ends_it_and_the_next_search_goes_on(tmp_path: Path, calls: Calls) -> None:
    material, stop = parted(data(tmp_path)), threading.Event()

    def tell(what: str, done: int, total: int) -> None:
        if done > 200:
            stop.set()

    search = replace(searched(calls, right_when(OPTIONS), material), tell=tell, stop=stop)
    with pytest.raises(CancelledError):
        search.run()
    kept = len(calls)
    assert kept >= 200
    model = right_when(OPTIONS)
    found = searched(calls, model, material).run()
    assert len(model.scored) + len(model.written) == len(calls) - kept
    assert OPTIONS in found.best.instruction


def test_thinking_strategies_are_shown_worked_examples(tmp_path: Path, calls: Calls) -> None:
    dev, train = sums(tmp_path / "d.jsonl", 20, 500), sums(tmp_path / "t.jsonl", 60)
    dataset = load(source(f"gsm8k:{dev}"), source(f"gsm8k:{train}"))
    start = Start("chain-of-thought", shipped()["chain-of-thought"])
    model = RuledModel(says=lambda prompt, sampling: "Answer: 6")
    search = replace(searched(calls, model, parted(dataset), 300), starts=[start])
    drawn = [one.runner for one in search.run().placed if "drawn" in one.runner.how]
    assert drawn
    assert all("She has" in shown.answer and "Answer:" in shown.answer for shown in drawn[0].examples)


items = st.lists(st.integers(0, 10_000), min_size=64, max_size=300, unique=True)


@settings(max_examples=40, deadline=None)
@given(items, st.integers(0, 200))
def test_parts_never_share_an_item_whatever_their_order(numbers: list[int], training: int) -> None:
    made = [Item(f"i{n}", f"Question {n}?", "yes", ("yes", "no")) for n in numbers]
    cut = 0 if training < 64 else len(made) - min(training, len(made) - 1)
    asked, train = (made[cut:], made[:cut]) if cut >= 64 else (made, [])
    whole = Dataset("made", tuple(asked), Choice, tuple(train))
    material = parted(whole)
    parts = [{one.id for one in part} for part in (material.pool, material.scored.items, material.held.items)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    turned = parted(replace(whole, items=whole.items[::-1], train=whole.train[::-1]))
    assert {one.id for one in turned.scored.items} == parts[1]
    assert {one.id for one in turned.held.items} == parts[2]


def test_too_little_to_search_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="too little to search on"):
        parted(load(source(f"sst2:{reviews(tmp_path / 'd.jsonl', 30)}")))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('Instruction: "Say yes."\n\nThis is because', "Say yes."),
        ("**New instruction**: Say\n  yes.", "Say yes."),
        ("", ""),
        ("The instructions: Say yes.", "Say yes."),
        ("Output:", ""),
        ("Answer like this:\n\nYes.", ""),
        ("One. " * 100, ("One. " * 80).strip()),
        ("x" * 500, ""),
    ],
)
def test_what_a_model_writes_becomes_one_plain_instruction(written: str, kept: str) -> None:
    assert writing.cleaned(written) == kept
