"""The column `auto`: each kind of question in the way that won on other items, and what is kept for it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.ids import ModelVersionId, PromptVersionId
from prompts.evaluation import matrix, report, report_page
from prompts.evaluation.by_kind import AutoColumn
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import Cell, Column, How
from prompts.evaluation.datasets import load, source
from prompts.evaluation.items import ByRule, Dataset, Item, Reply, Score
from prompts.evaluation.keeping import measurings
from prompts.evaluation.units import NATS
from prompts.library import PromptVersion
from prompts.measures import Measuring
from prompts.plain import shipped
from prompts.strategy import parse
from tests.evaluation_ground import RuledModel, reviews, sums
from tests.prompts.evaluation.test_matrix import doubled, good_is_positive

THINK = parse(
    "think",
    {"think.jinja": "---\ntitle: Think\nvariables: [question]\n---\n"
                    '{% message "user" %}Think. {{ question }}{% endmessage %}'},
)  # fmt: skip
SERVING = [
    PromptVersion(PromptVersionId(f"pv_{name}"), name, strategy)
    for name, strategy in {**shipped(), "think": THINK}.items()
]
HOW = How()


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path / "evaluations.db")


def thinking_helps(prompt: str, sampling: Sampling) -> str:
    """Right about sums where it is told to think, and about all else where it is not."""
    told, a_sum = "Think. " in prompt, "Ann has" in prompt
    if a_sum:
        return doubled(prompt, sampling) if told else "No idea."
    return "No idea." if told else "blue"


def measured(calls: Calls, dataset: Dataset, model: RuledModel, *named: str) -> list[Measuring]:
    """What is kept of columns such as few-shot:shots=2."""
    columns = []
    for written in named:
        name, _, settings = written.partition(":")
        version = next(one for one in SERVING if one.name == name)
        columns.append(Column(written, version.id, version.strategy, HOW.changed(settings), model))
    works = matrix.plan(columns, [dataset])
    return measurings(works, matrix.run(works, calls), {model.name: ModelVersionId("mv_one")})


def by_auto(
    calls: Calls, dataset: Dataset, model: RuledModel, found: Sequence[Measuring], how: How = HOW
) -> Cell:
    (cell,) = matrix.run(matrix.plan([AutoColumn("auto", how, model, SERVING, found)], [dataset]), calls)
    return cell


def mixed(tmp_path: Path, first: int) -> Dataset:
    """Twenty sums, and twenty questions that are none."""
    data = load(source(f"gsm8k:{sums(tmp_path / f'{first}.jsonl', 20, first)}"))
    open_ones = [Item(f"o{n}", f"Of which colour is the sky, {n}?", "blue") for n in range(first, first + 20)]
    return Dataset("mixed", (*data.items, *open_ones), ContainsGold)


class ContainsGold(ByRule):
    name, rule = "contains", "The answer holds the gold answer."

    def score(self, said: str, item: Item) -> Score:
        return Score(float(item.answer in said), said)


class Rewarding:
    name, rule, unit = "reward:one", "The longer, the better.", NATS

    def judge(self, replies: Sequence[Reply]) -> list[Score | HoneError]:
        return [Score(float(len(reply.text)), "") for reply in replies]


def test_rewards_are_not_kept_for_auto(tmp_path: Path, calls: Calls) -> None:
    rewarded = replace(mixed(tmp_path, 100), judge=Rewarding)
    assert measured(calls, rewarded, RuledModel(says=thinking_helps), "zero-shot", "think") == []


def test_each_kind_is_asked_in_the_way_that_won_on_other_items(tmp_path: Path, calls: Calls) -> None:
    model = RuledModel(says=thinking_helps)
    found = measured(calls, mixed(tmp_path, 100), model, "zero-shot", "think")
    cell = by_auto(calls, mixed(tmp_path, 200), model, found)
    assert cell.score is not None
    assert (cell.score.value, cell.column, cell.version) == (1.0, "auto", "auto")
    assert cell.chosen == (
        "20 sums: think, because of 20 measured sums it got 20 more right than zero-shot"
        " (+100 points, 100 to 100).",
        "20 open questions: zero-shot, because for open questions, the one strategy measured is not surely"
        " better.",
    )
    assert [outcome.item_id for outcome in cell.outcomes] == [i.id for i in mixed(tmp_path, 200).items]


def test_what_is_asked_now_never_decides_how(tmp_path: Path, calls: Calls) -> None:
    model = RuledModel(says=thinking_helps)
    data = mixed(tmp_path, 100)
    found = measured(calls, data, model, "zero-shot", "think")
    cell = by_auto(calls, data, model, found)
    assert "20 sums: zero-shot, because nothing is measured yet of sums on this model" in cell.chosen[0]
    part = replace(data, items=data.items[:10])
    assert "of 10 measured sums" in by_auto(calls, part, model, found).chosen[0]


def test_it_asks_nothing_that_was_asked_before(tmp_path: Path, calls: Calls) -> None:
    model = RuledModel(says=thinking_helps)
    found = measured(calls, mixed(tmp_path, 100), model, "zero-shot", "think")
    measured(calls, mixed(tmp_path, 200), model, "zero-shot", "think")
    silent = RuledModel(says=lambda prompt, sampling: "never asked")
    assert by_auto(calls, mixed(tmp_path, 200), silent, found).score == pytest.approx(
        by_auto(calls, mixed(tmp_path, 200), model, found).score
    )
    assert silent.written == []


def leaning(prompt: str, answer: str) -> float:
    """Knows good from bad only where it was shown examples."""
    if "Review:" not in prompt.partition("film")[2]:
        return -0.1 if answer == "negative" else -2.0
    return good_is_positive(prompt, answer)


def test_ways_with_settings_are_chosen_where_they_can_be_asked(tmp_path: Path, calls: Calls) -> None:
    model, train = RuledModel(finds=leaning), source(f"sst2:{reviews(tmp_path / 't.jsonl', 40)}")
    texts = (tmp_path / "t.jsonl").read_text().splitlines()
    (tmp_path / "seen.jsonl").write_text("\n".join(texts[:30]).replace("film", "play"))
    (tmp_path / "new.jsonl").write_text("\n".join(texts[:10]).replace("film", "opera"))
    seen, new = source(f"sst2:{tmp_path / 'seen.jsonl'}"), source(f"sst2:{tmp_path / 'new.jsonl'}")
    found = measured(
        calls, load(seen, train), model, "zero-shot", "few-shot:shots=2", "zero-shot:calibrate=training"
    )
    cell = by_auto(calls, load(new, train), model, found)
    assert cell.by == "likelihood"
    assert "10 questions with options: few-shot:shots=2, because of 30 measured" in cell.chosen[0]
    assert cell.examples == "2 of the dataset, balanced"
    assert cell.score is not None
    assert cell.score.value == 1.0
    bare = by_auto(calls, load(new), model, found)
    assert "few-shot:shots=2 has won on other items, and cannot be asked so here" in bare.chosen[0]
    by_words = by_auto(calls, load(new, train), model, found, HOW.changed("by=generation"))
    assert "nothing is measured yet" in by_words.chosen[0]


def test_the_reports_say_what_was_chosen_and_why(tmp_path: Path, calls: Calls) -> None:
    model = RuledModel(says=thinking_helps)
    found = measured(calls, mixed(tmp_path, 100), model, "zero-shot", "think")
    told = report.report([by_auto(calls, mixed(tmp_path, 200), model, found)], "2026-01-01T00:00:00Z")
    for text in (report.table(told), report.as_json(told), report_page.page(told)):
        assert "20 sums: think, because of 20 measured sums" in text
