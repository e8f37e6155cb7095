"""How versions do with people, from votes in a store; and whether to prompt or to retrain."""

import pytest

from feedback import conversations, votes
from feedback.duels import Maker
from feedback.ids import LOCAL_USER
from feedback.store import Store
from prompts import retrain, standings
from prompts.retrain import Contest
from tests import build
from tests.prompts.ground import add, model, rate, vote


@pytest.fixture
def makers(store: Store) -> tuple[Maker, Maker]:
    """Two versions of a prompt on one model."""
    one = model(store, "one")
    return Maker(add(store, "Be brief.").id, one), Maker(add(store, "Be kind.").id, one)


def test_a_version_that_people_prefer_wins_against_production(
    store: Store, makers: tuple[Maker, Maker]
) -> None:
    plain, better = makers
    for number in range(30):
        vote(store, number, better, plain) if number % 5 else vote(store, number, plain, better)
    for number in range(4):
        rate(store, number, better, 1 if number else -1)
    first, second = standings.standings(
        standings.read(store), [plain.prompt_version_id, better.prompt_version_id], plain.prompt_version_id
    )
    assert (first.win_rate, first.votes_to_go, first.votes) == (None, 0, 30)
    assert second.win_rate is not None
    assert second.win_rate.value == pytest.approx(24.5 / 31)
    assert second.told
    assert (second.votes, second.votes_against, second.votes_to_go) == (30, 30, 194 - 30)
    assert (second.thumbs.up, second.thumbs.down) == (3, 1)
    assert second.liked is not None
    assert second.liked.low < 0.75 < second.liked.high


def test_without_votes_nothing_is_claimed(store: Store, makers: tuple[Maker, Maker]) -> None:
    plain, better = makers
    _, second = standings.standings(
        standings.read(store), [plain.prompt_version_id, better.prompt_version_id], plain.prompt_version_id
    )
    assert (second.win_rate, second.liked, second.votes, second.told) == (None, None, 0, False)


def test_votes_across_models_tell_nothing_of_prompts(store: Store, makers: tuple[Maker, Maker]) -> None:
    plain, better = makers
    elsewhere = Maker(better.prompt_version_id, model(store, "two"))
    for number in range(10):
        vote(store, number, elsewhere, plain)
    (found,) = standings.standings(standings.read(store), [better.prompt_version_id], plain.prompt_version_id)
    assert (found.win_rate, found.votes) == (None, 0)


def test_a_withdrawn_a_simulated_and_a_private_vote_count_for_nothing(
    store: Store, makers: tuple[Maker, Maker]
) -> None:
    plain, better = makers
    votes.withdraw(store, LOCAL_USER, vote(store, 1, better, plain))
    vote(store, 2, better, plain, by="simulated")
    vote(store, 3, better, plain)
    conversation = store.rows("SELECT id FROM conversations ORDER BY rowid DESC LIMIT 1")[0]["id"]
    conversations.delete(store, LOCAL_USER, conversation)
    (found,) = standings.standings(standings.read(store), [better.prompt_version_id], plain.prompt_version_id)
    assert found.votes == 0


def test_one_loud_person_does_not_outvote_the_others(store: Store, makers: tuple[Maker, Maker]) -> None:
    plain, better = makers
    others = [build.person(store, name) for name in ("ann", "bob", "cyd")]
    for number in range(60):
        vote(store, number, better, plain)
    for number, person in enumerate(others * 4, 100):
        vote(store, number, plain, better, user_id=person)
    (found,) = standings.standings(standings.read(store), [better.prompt_version_id], plain.prompt_version_id)
    assert found.win_rate is not None
    # 60 votes count as twice 4: 8 wins against 12 losses.
    assert found.win_rate.value == pytest.approx(8.5 / 21)


@pytest.fixture
def four(store: Store, makers: tuple[Maker, Maker]) -> dict[str, Maker]:
    plain, better = makers
    new = model(store, "two")
    return {
        "today": plain,
        "prompted": better,
        "retrained": Maker(plain.prompt_version_id, new),
        "both": Maker(better.prompt_version_id, new),
    }


def choice(four: dict[str, Maker]) -> Contest:
    return Contest(
        four["today"].model_version_id,
        four["both"].model_version_id,
        four["today"].prompt_version_id,
        four["prompted"].prompt_version_id,
    )


def test_cells_with_few_votes_are_not_judged(store: Store, four: dict[str, Maker]) -> None:
    for number in range(5):
        vote(store, number, four["prompted"], four["today"])
    found = retrain.report(standings.read(store), choice(four))
    assert found.prompted is not None
    assert found.prompted.too_few
    assert found.retrained.votes == 0
    said = retrain.verdict(found)
    assert said.startswith("There is too little data.")
    assert "the better prompt (5 of 10)" in said
    assert found.votes_to_go == 194


def test_a_clear_winner_is_named_with_its_interval(store: Store, four: dict[str, Maker]) -> None:
    number = iter(range(10_000))
    for _ in range(40):
        vote(store, next(number), four["prompted"], four["retrained"])
        vote(store, next(number), four["both"], four["today"])
    for _ in range(10):
        vote(store, next(number), four["retrained"], four["prompted"])
        vote(store, next(number), four["retrained"], four["today"])
        vote(store, next(number), four["both"], four["prompted"])
    people = standings.read(store)
    found = retrain.report(people, choice(four))
    assert found.prompt_over_retrain is not None
    assert found.prompt_over_retrain.low > 0.5
    said = retrain.verdict(found)
    assert said.startswith("Prompt: the better prompt wins over the retrained model with")
    assert "beat either alone" in said
    assert {cell.votes for cell in found.cells} == {50, 60}


def test_an_even_split_cannot_be_told(store: Store, four: dict[str, Maker]) -> None:
    number = iter(range(10_000))
    for _ in range(15):
        for one, other in (("prompted", "retrained"), ("both", "today"), ("both", "prompted")):
            vote(store, next(number), four[one], four[other])
            vote(store, next(number), four[other], four[one])
    said = retrain.verdict(retrain.report(standings.read(store), choice(four)))
    assert said.startswith("It cannot be told yet")
    assert "not known to beat either" in said


def test_the_best_prompt_is_the_one_that_most_surely_wins(store: Store, makers: tuple[Maker, Maker]) -> None:
    plain, better = makers
    lucky = Maker(add(store, "Be lucky.").id, plain.model_version_id)
    for number in range(40):
        vote(store, number, better, plain) if number % 4 else vote(store, number, plain, better)
    vote(store, 100, lucky, plain)
    vote(store, 101, lucky, plain)
    people = standings.read(store)
    assert (
        retrain.best_prompt(people, plain.model_version_id, plain.prompt_version_id)
        == better.prompt_version_id
    )
    assert retrain.best_prompt(people, model(store, "two"), plain.prompt_version_id) is None


def test_without_any_other_prompt_prompting_is_not_judged(store: Store, four: dict[str, Maker]) -> None:
    asked = choice(four)
    found = retrain.report(standings.read(store), Contest(asked.old, asked.new, asked.plain, None))
    assert (found.prompted, found.both) == (None, None)
    assert "Nobody has voted on any other prompt" in retrain.verdict(found)
