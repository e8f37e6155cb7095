"""Votes to search on: what is right, whose words are shown, and that the held-out side only proves."""

from pathlib import Path

import pytest

from feedback import splits
from feedback.errors import HoneError
from feedback.message import Turn
from feedback.store import Store
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import How
from prompts.plain import shipped
from prompts.search import evidence, votes
from prompts.search.candidates import Start
from prompts.search.optimise import Budget, Search
from tests.build import asked, drawn, store, voted
from tests.evaluation_ground import RuledModel

LONG = "It is so because of many things, of which this is one and that another. "


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return store(tmp_path)


def fill(home: Store, count: int = 160) -> None:
    """People like short answers. Every other question was drawn, the others are somebody's."""
    for number in range(count):
        make = drawn if number % 2 else asked
        voted(home, make(home, f"Why is thing {number} so?", f"It is thing {number}.", LONG * 3), (1, 2))


def test_pairs_keep_their_side_and_examples_are_nobodys(home: Store) -> None:
    fill(home)
    found = votes.material(home)
    keys = [
        {splits.split_key([Turn("user", item.question)]) for item in part.items}
        for part in (found.scored, found.held)
    ]
    assert all(not splits.is_held_out(key) for key in keys[0])
    assert all(splits.is_held_out(key) for key in keys[1])
    assert found.pool
    for item in found.pool:
        assert int(item.question.split()[3]) % 2 == 1
        assert item.answer.startswith("It is thing")
    asked_of = {item.question for item in (*found.scored.items, *found.held.items)}
    assert not asked_of & {item.question for item in found.pool}
    assert all(item.answer in item.options and len(item.options) == 2 for item in found.scored.items)


def test_a_strategy_is_right_when_it_favours_the_chosen_more_than_the_plain_question_does(
    home: Store, tmp_path: Path
) -> None:
    """This model always finds the long reply more probable; told to be brief, less so."""
    fill(home)

    def finds(prompt: str, answer: str) -> float:
        return (-9.0 if "Say number" in prompt else -5.0) if answer.startswith(LONG[:10]) else -10.0

    model = RuledModel(says=lambda prompt, sampling: f"Say number {sampling.seed}.", finds=finds)
    material = votes.material(home)
    how = How("likelihood", "plain")
    calls = Calls(tmp_path / "evaluations.db")
    search = Search([Start("few", shipped()["few-shot"])], material, how, model, calls, Budget(1200, 600.0))
    found = search.run()
    assert "Say number" in found.best.instruction
    proof = evidence.prove(search, found)
    assert proof.verdict == "better"
    assert proof.found.score is not None
    assert proof.found.score.value == 1.0


def test_too_few_votes_are_refused(home: Store) -> None:
    fill(home, 20)
    with pytest.raises(HoneError, match="too few votes"):
        votes.material(home)
