"""A reward model as the metric of an evaluation: whole commands on the tiny base, after a run made one."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app import cli
from assistant import base as bases
from assistant.base import Base, BaseChoice
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from prompts.evaluation.items import Item, Reply, Score
from tests import tiny_models, training_ground
from tests.evaluation_ground import jsonl, reviews
from tests.training_ground import Ground
from training import heads, reward_metric, runs, worker
from training.reward_model import RewardModel

CLOSE = 0.02
"""In 16 bits a reward differs a little with what else is computed beside it."""


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


@pytest.fixture
def rewarded(on: Ground) -> Ground:
    """The same ground with `reward-1`."""
    assert finished(on, method="reward", max_steps=4, learning_rate=3e-3).state == "done"
    return on


def finished(on: Ground, **changes: Any) -> runs.Run:
    """A whole run with these settings, here and not in a process of its own."""
    run = runs.create(on.store, LOCAL_USER, dataclasses.replace(on.recipe, **changes), on.snapshot.id)
    assert worker.claim(on.store, run.id)
    worker.run_to_end(worker.Seat(on.store, on.home, run.id))
    return runs.get(on.store, run.id)


def prompts(on: Ground, *words: str) -> Result:
    named = ("--base", str(on.base.folder), "--quantize", "none", "--engine", "transformers")
    return CliRunner().invoke(cli, ["prompts", *words, *named, "--home", str(on.home.path)])


def evaluate(on: Ground, data: str, *words: str, metric: str = "reward:reward-1") -> Result:
    return prompts(
        on, "evaluate", "--data", data, "--metric", metric, "--question", "{{ q }}", "--max-tokens", "6",
        *words,
    )  # fmt: skip


@pytest.fixture
def questions(tmp_path: Path) -> str:
    """Without gold answers."""
    return f"jsonl:{jsonl(tmp_path / 'q.jsonl', [{'q': f'{one}?'} for one in ('Who', 'What is tea', 'Why')])}"


def by_hand(on: Ground, answered: list[tuple[str, str]]) -> list[float]:
    """The rewards of answers that were cut off, given to exact prompts."""
    tokenizer = bases.load_tokenizer(on.base)
    folder = on.home.path / heads.get(on.store, "reward-1").folder
    model = RewardModel(bases.load_model(on.base), tokenizer, folder)
    ids = [tuple(tuple(tokenizer(text)["input_ids"]) for text in one) for one in answered]
    return model.score([(prompt, answer) for prompt, answer in ids])


def test_replies_are_scored_as_answers_to_the_plain_question_whatever_was_asked(
    rewarded: Ground, questions: str, tmp_path: Path
) -> None:
    reports = [tmp_path / f"report.{kind}" for kind in ("json", "html")]
    found = evaluate(
        rewarded, questions, "--strategy", "zero-shot", "--strategy", "few-shot", "--strategy", "chain",
        *(word for file in reports for word in ("--out", str(file))),
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    cells = json.loads(reports[0].read_text("utf-8"))["cells"]
    assert [cell["column"] for cell in cells] == ["zero-shot", "few-shot", "chain"]
    assert {(cell["metric"], cell["unit"]) for cell in cells} == {("reward:reward-1", "nats")}
    plain = [outcome["prompt"] for outcome in cells[0]["outcomes"]]
    for cell in cells:
        outcomes = cell["outcomes"]
        assert not any(outcome["ended"] for outcome in outcomes)
        said = [one["said"] for one in outcomes]
        wanted = by_hand(rewarded, list(zip(plain, said, strict=True)))
        assert [one["value"] for one in outcomes] == pytest.approx(wanted, abs=CLOSE)
    others = by_hand(rewarded, [(one["prompt"], one["said"]) for one in cells[1]["outcomes"]])
    assert [one["value"] for one in cells[1]["outcomes"]] != pytest.approx(others, abs=CLOSE)
    assert "reward" in found.stdout.splitlines()[0]
    assert "few-shot cannot be told from zero-shot" in found.stdout
    assert " nats (" in found.stdout
    assert "Not kept for auto, which counts right answers: these are rewards." in found.stdout
    html = reports[1].read_text("utf-8")
    assert "The reward that reward-1 gives, in nats" in html
    assert "held-out pairs as people did" in html


def test_an_answer_that_came_to_its_end_is_scored_with_its_end_token(rewarded: Ground) -> None:
    choice = BaseChoice(str(rewarded.base.folder), "none")
    metric = reward_metric.opener(rewarded.home, choice)("latest")
    item = Item("i", "Who?", "")
    replies = [Reply(item, "I am.", "am", True), Reply(item, "I am.", "am", False)]
    ended, cut = (found for found in metric.judge(replies) if isinstance(found, Score))
    prompt = "<|start|>user\nWho?<|end|>\n<|start|>assistant\n"
    wanted = by_hand(rewarded, [(prompt, "I am.<|end|>"), (prompt, "I am.")])
    assert [ended.value, cut.value] == pytest.approx(wanted, abs=CLOSE)
    assert abs(ended.value - cut.value) > 2 * CLOSE
    assert (ended.read.partition(",")[2], cut.read.partition(",")[2]) == ("", " cut off")


def test_what_does_not_fit_the_reward_models_window_has_no_score(rewarded: Ground) -> None:
    metric = reward_metric.opener(rewarded.home, BaseChoice(str(rewarded.base.folder), "none"))("reward-1")
    replies = [Reply(Item("i", "Who?", ""), text, text, True) for text in ("word " * 600, "I am.")]
    long, short = metric.judge(replies)
    assert isinstance(long, HoneError)
    assert "where its window has 512" in str(long)
    assert isinstance(short, Score)


def test_questions_with_options_are_answered_in_words_for_a_reward(rewarded: Ground, tmp_path: Path) -> None:
    data = f"sst2:{reviews(tmp_path / 'd.jsonl', 2)}"
    words = ("--strategy", "zero-shot", "--metric", "reward:reward-1", "--max-tokens", "4", "--json")
    found = prompts(rewarded, "evaluate", "--data", data, *words)
    assert found.exit_code == 0, found.output
    (cell,) = json.loads(found.stdout)["cells"]
    assert (cell["by"], cell["unit"]) == ("generation", "nats")


@pytest.mark.parametrize(("bar", "code"), [("-1000", 0), ("1000", 1)])
def test_a_bar_can_be_a_reward(rewarded: Ground, questions: str, tmp_path: Path, bar: str, code: int) -> None:
    file = tmp_path / "bars.yaml"
    file.write_text(
        f"tests:\n  - strategy: zero-shot\n    data: {questions}\n    question: '{{{{ q }}}}'\n"
        f"    metric: reward:reward-1\n    max_tokens: 4\n    bar: {bar}\n"
    )
    found = prompts(rewarded, "test", str(file))
    assert found.exit_code == code, found.output
    assert f"the bar {bar}; the interval lies {'above' if not code else 'below'} it" in found.stdout


def test_what_cannot_judge_is_said_in_one_sentence_before_anything_is_asked(
    on: Ground, questions: str
) -> None:
    none = evaluate(on, questions, metric="reward:latest")
    other = finished(on, max_steps=1)
    named = [evaluate(on, questions, metric=f"reward:{name}") for name in ("reward-7", other.id)]
    finished(on, method="reward", max_steps=1)
    head = heads.get(on.store, "reward-1")
    found = evaluate(on, questions, metric=f"reward:{head.run_id}")
    assert found.exit_code == 0, found.output
    weights = on.home.path / head.folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    refused = [none, *named, evaluate(on, questions)]
    said = [
        "There is no reward model yet.",
        "There is no reward model reward-7.",
        f"The run {other.id} cannot judge answers. It is no run of a reward model: its method is dpo",
        "reward-1 is damaged.",
    ]
    for result, words in zip(refused, said, strict=True):
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert "Traceback" not in result.output


def test_a_reward_model_of_another_base_says_which_it_reads(rewarded: Ground, tmp_path: Path) -> None:
    tiny_models.save_llama(tmp_path / "elsewhere", seed=1)
    rewards = reward_metric.opener(rewarded.home, BaseChoice(str(tmp_path / "elsewhere"), "none"))
    with pytest.raises(HoneError, match=f"reward-1 cannot judge.*It reads {rewarded.base.id} by") as refused:
        rewards("reward-1")
    assert "Choose the base that it stands on, or train a reward model on this one" in str(refused.value)


def test_a_search_does_not_go_by_the_model_that_would_prove_it(on: Ground, questions: str) -> None:
    found = prompts(
        on, "optimise", "--data", questions, "--question", "{{ q }}", "--metric", "reward:reward-1"
    )
    assert found.exit_code == 2
    assert "A search cannot go by a reward model." in found.stderr
