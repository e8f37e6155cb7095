"""`auto`: what it chooses by votes and by measures, what it says of it, and what it is called."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from feedback import votes
from feedback.duels import Duel, Maker
from feedback.errors import HoneError, NotFoundError
from feedback.ids import ModelVersionId, PromptVersionId, UserId
from feedback.store import Store
from prompts import auto, library, measures, own, service
from prompts.auto import ENOUGH_VOTES, Auto
from prompts.kinds import Kind
from prompts.library import NewVersion, PromptVersion
from prompts.measures import Measure, Measuring, Way, item_sha256
from prompts.plain import shipped
from tests.prompts.ground import answered, asked, model, source

CHAT = Way(max_tokens=256, seed=0)
SERVING = [
    PromptVersion(PromptVersionId(f"pv_{short}"), name, shipped()[name])
    for short, name in (("zero-shot", "zero-shot"), ("cot", "chain-of-thought"), ("few", "few-shot"))
]
MODEL = ModelVersionId("mv_one")


def scored(
    name: str, scores: Sequence[float], way: Way = CHAT, kind: Kind = "sum", rule: str = "r"
) -> Measuring:
    """Items 0, 1, ... of one strategy."""
    items = [Measure(item_sha256(f"item {n}"), "gsm8k:x", kind, score) for n, score in enumerate(scores)]
    return Measuring(MODEL, PromptVersionId(f"pv_{name}"), way, rule, items)


def right(count: int, of: int, first: int = 0) -> list[float]:
    return [float(first <= n < first + count) for n in range(of)]


def chosen(*found: Measuring, votes: Sequence[Duel] = (), kind: Kind = "sum") -> auto.Choice:
    return auto.choose(kind, SERVING, votes, found)


def test_the_best_win_on_the_same_items_is_taken_with_its_figures() -> None:
    choice = chosen(
        scored("zero-shot", right(20, 100)), scored("cot", right(32, 100)), scored("few", right(28, 100))
    )
    assert choice.name == "chain-of-thought"
    assert choice.because.startswith(
        "Auto chose Chain of thought: of 100 measured sums it got 12 more right than zero-shot (+12 points,"
    )


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "nothing is measured yet of sums on this model"),
        ([scored("cot", right(9, 10))], "nothing is measured yet of sums on this model"),
        (
            [scored("zero-shot", right(5, 20)), scored("cot", right(6, 20))],
            "for sums, the one strategy measured is not surely better",
        ),
        (
            [scored("zero-shot", right(9, 20)), scored("cot", right(0, 20)), scored("few", right(9, 20))],
            "for sums, none of the 2 strategies measured is surely better",
        ),
        # Three of three is an interval without width, and chance all the same.
        ([scored("zero-shot", right(0, 3)), scored("cot", right(3, 3))], "not surely better"),
    ],
)
def test_without_a_sure_win_it_is_zero_shot_and_says_why(found: list[Measuring], why: str) -> None:
    choice = chosen(*found)
    assert choice.name == "zero-shot"
    assert why in choice.because


BETTER = [scored("zero-shot", right(20, 100)), scored("cot", right(40, 100))]


@pytest.mark.parametrize(
    "other",
    [
        [scored("zero-shot", right(20, 100), kind="list"), scored("cot", right(40, 100), kind="list")],
        [BETTER[0], scored("cot", right(40, 100), rule="another rule")],
        [BETTER[0], scored("cot", right(40, 100), Way(max_tokens=512, seed=0))],
        [scored(one, right(n, 100), Way("likelihood")) for one, n in (("zero-shot", 20), ("cot", 40))],
        [scored(one, right(n, 100), Way(examples="dataset")) for one, n in (("zero-shot", 20), ("cot", 40))],
        [BETTER[0], scored("draft", right(40, 100))],
    ],
    ids=["kind", "rule", "settings", "likelihood", "examples", "not in production"],
)
def test_only_what_a_chat_would_do_on_such_questions_counts(other: list[Measuring]) -> None:
    assert chosen(*BETTER).name == "chain-of-thought"
    assert chosen(*other).name == "zero-shot"


def test_many_compared_need_more_to_be_sure() -> None:
    plain, lucky = scored("zero-shot", right(0, 60)), scored("few", right(6, 60))
    level = [scored("cot", right(0, 60), Way(max_tokens=n, seed=0)) for n in range(9)]
    same = [scored("zero-shot", right(0, 60), one.way) for one in level]
    assert chosen(plain, lucky).name == "few-shot"
    assert chosen(plain, lucky, *level, *same).name == "zero-shot"


def duels(name: str, won: int, lost: int) -> list[Duel]:
    makers = [Maker(PromptVersionId(f"pv_{one}"), MODEL) for one in (name, "zero-shot")]
    scores = [1.0] * won + [0.0] * lost
    return [Duel(UserId(f"u_{n % 5}"), f"prompt {n}", *makers, score) for n, score in enumerate(scores)]


def test_votes_go_before_measures_where_there_are_enough() -> None:
    few = duels("few", ENOUGH_VOTES, 0)
    choice = chosen(*BETTER, votes=few)
    assert choice.name == "few-shot"
    assert "people prefer it to zero-shot in 98% of votes on sums" in choice.because
    assert f"{ENOUGH_VOTES} votes" in choice.because
    assert chosen(*BETTER, votes=few[1:]).name == "chain-of-thought"
    assert chosen(*BETTER, votes=duels("few", 12, 10)).name == "chain-of-thought"


def test_what_votes_tell_to_be_worse_is_not_chosen_for_its_measures() -> None:
    assert chosen(*BETTER, votes=duels("cot", 2, 30)).name == "zero-shot"


@pytest.fixture
def known(store: Store) -> Store:
    library.register_shipped(store)
    return store


def measured(store: Store, name: str, scores: Sequence[float], model_id: ModelVersionId) -> int:
    one = scored(name, scores)
    version_id = library.production(store, name).id if name in library.names(store) else one.prompt_version_id
    return measures.record(store, [Measuring(model_id, version_id, one.way, one.rule, one.measures)])


def test_what_is_measured_changes_the_choice_at_once_and_only_on_its_model(known: Store) -> None:
    one, other, chooses = model(known, "one"), model(known, "other"), Auto(known)
    question = "Ann has 3 pens and buys 2 more. How many has she?"
    assert "nothing is measured yet" in chooses.choose(question, one).because
    measured(known, "zero-shot", right(20, 100), one)
    measured(known, "chain-of-thought", right(40, 100), one)
    assert chooses.choose(question, one).name == "chain-of-thought"
    assert chooses.choose(question, other).name == "zero-shot"
    assert chooses.choose("Why is the sky blue?", one).name == "zero-shot"


def test_a_measure_replaces_the_one_before_and_versions_nobody_knows_are_left_out(known: Store) -> None:
    one = model(known, "one")
    assert measured(known, "chain", right(3, 5), one) == 5
    before = measures.changes(known)
    assert measured(known, "chain", right(1, 5), one) == 5
    assert measured(known, "unheard-of", right(1, 5), one) == 0
    (kept,) = measures.read(known, one)
    assert sum(measure.score for measure in kept.measures) == 1
    assert kept.way == CHAT
    assert measures.changes(known) != before


def test_another_version_in_production_starts_anew(known: Store) -> None:
    one, chooses = model(known, "one"), Auto(known)
    measured(known, "zero-shot", right(20, 100), one)
    measured(known, "chain-of-thought", right(40, 100), one)
    assert chooses.of_kind("sum", one).name == "chain-of-thought"
    files = dict(library.production(known, "chain-of-thought").strategy.files)
    file = "chain-of-thought.jinja"
    changed = {file: files[file].replace("title: Chain of thought", "title: Chain of thoughts")}
    mine = library.add(known, UserId("u_local"), NewVersion("chain-of-thought", changed))
    service.put(known, UserId("u_local"), mine.id)
    assert chooses.of_kind("sum", one).name == "zero-shot"


def test_votes_on_such_questions_are_read_from_the_store(known: Store) -> None:
    one, chooses = model(known, "one"), Auto(known)
    by = [Maker(library.production(known, name).id, one) for name in ("chain", "zero-shot")]
    for n in range(ENOUGH_VOTES):
        assert chooses.of_kind("writing", one).name == "zero-shot"
        prompt_id = asked(known, f"Write a poem about {n} trees.")
        shown = tuple(answered(known, prompt_id, maker, f"{maker.prompt_version_id} {n}") for maker in by)
        votes.record(known, votes.NewVote(UserId("u_local"), prompt_id, shown, (1, 2), "compare"))
    assert chooses.of_kind("writing", one).name == "chain"
    assert chooses.of_kind("question", one).name == "zero-shot"
    assert chooses.of_kind("writing", model(known, "other")).name == "zero-shot"


def test_auto_is_offered_to_chats_after_the_default_and_is_no_template(known: Store) -> None:
    assert [one.name for one in service.offered(known)][:2] == ["zero-shot", "auto"]
    assert "auto" not in library.names(known)
    with pytest.raises(NotFoundError, match="It has no text"):
        library.find(known, "auto")


def test_no_strategy_can_take_its_name(known: Store, tmp_path: Path) -> None:
    text = source()["answers.jinja"]
    with pytest.raises(HoneError, match="cannot be called auto"):
        library.add(known, UserId("u_local"), NewVersion("auto", {"auto.jinja": text}))
    (tmp_path / "auto.jinja").write_text(text)
    with pytest.raises(HoneError, match="has the name of one that comes with Hone"):
        own.register_own(known, tmp_path)
