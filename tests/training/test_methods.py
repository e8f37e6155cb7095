"""KTO, reward models and RLHF: whole runs on the tiny base, through the doors that an operator uses."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from assistant import base as bases
from assistant import registry
from assistant.base import Base
from assistant.version_files import WEIGHTS
from feedback import ratings, snapshots
from feedback.canonical import canonical_json
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import build, training_ground
from tests.training_ground import Ground
from training import heads, judge, recipes, reward_report, rules, runs, worker
from training.data import Row
from training.judge import Judgement
from training.order import GroupOrder
from training.reward_report import Scored
from training.run_commands import runs_group


@pytest.fixture
def on(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


def finished(on: Ground, **changes: Any) -> runs.Run:
    """A whole run with these settings, as its process does it, but here: test_runs starts processes."""
    recipe = dataclasses.replace(on.recipe, **changes)
    run = runs.create(on.store, LOCAL_USER, recipe, on.snapshot.id)
    assert worker.claim(on.store, run.id)
    worker.run_to_end(worker.Seat(on.store, on.home, run.id))
    return runs.get(on.store, run.id)


def rated(on: Ground) -> Ground:
    """The same ground with a thumb on every reply: up for the short one, down for the other."""
    for row in on.store.rows("SELECT id, content FROM messages WHERE role = 'assistant'"):
        ratings.record(on.store, LOCAL_USER, row["id"], 1 if row["content"].startswith("I am") else -1)
    return dataclasses.replace(on, snapshot=training_ground.freeze(on.store))


def test_kto_learns_from_thumbs_alone_which_answers_are_liked(on: Ground) -> None:
    on = rated(on)
    run = finished(on, method="kto", epochs=3, batch=4, accumulation=1)
    assert (run.state, run.error) == ("done", None)
    assert registry.get(on.store, run.candidate_id or "").name == "kto-1"
    margins = [p.value for p in runs.metrics(on.store, run.id) if p.name == "margin"]
    assert margins[-1] > margins[0]
    assert {"kl", "loss", "chosen_reward"} <= {p.name for p in runs.metrics(on.store, run.id)}


def test_kto_without_thumbs_says_how_pairs_can_stand_in_for_them(on: Ground) -> None:
    with pytest.raises(HoneError, match="no thumbs") as refused:
        runs.create(on.store, LOCAL_USER, training_ground.recipe(on.base, method="kto"), on.snapshot.id)
    assert "unpair=true" in str(refused.value)
    run = finished(on, method="kto", unpair=True, max_steps=2)
    assert (run.state, run.error) == ("done", None)


@pytest.mark.parametrize(("liked", "said"), [(1, "No answer was disliked"), (-1, "No answer was liked")])
def test_kto_on_thumbs_that_all_point_one_way_warns_of_it(on: Ground, liked: int, said: str) -> None:
    for row in on.store.rows("SELECT id FROM messages WHERE role = 'assistant' LIMIT 20"):
        ratings.record(on.store, LOCAL_USER, row["id"], liked)
    run = finished(
        dataclasses.replace(on, snapshot=training_ground.freeze(on.store)), method="kto", max_steps=1
    )
    assert run.state == "done"
    assert said in str(run.warning)
    both = finished(rated(on), method="kto", max_steps=1)
    assert (both.state, both.warning) == ("done", None)


def test_a_reward_model_is_a_head_with_a_report_and_no_candidate(on: Ground) -> None:
    run = finished(on, method="reward", epochs=6, learning_rate=3e-3)
    assert (run.state, run.error) == ("done", None)
    assert run.candidate_id is None
    head = heads.of_run(on.store, run.id)
    assert head is not None
    assert (head.name, head.kind) == ("reward-1", "reward")
    heads.check_files(on.home, head)
    assert head.report is not None
    assert head.report.pairs == on.snapshot.held_out_pairs
    assert head.report.accuracy.value > 0.8
    assert heads.get(on.store, "latest") == head
    told = CliRunner().invoke(runs_group, ["show", run.id, "--home", str(on.home.path)]).stdout
    assert all(sentence in told for sentence in head.report.sentences())


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_rlhf_answers_is_scored_by_a_rule_and_makes_a_candidate(on: Ground, algorithm: str) -> None:
    run = finished(
        on, method="rlhf", algorithm=algorithm, reward="rule:concise", batch=4, answers=2, answer_tokens=6,
        max_steps=3, judge_every=2,
    )  # fmt: skip
    assert (run.state, run.error) == ("done", None)
    assert run.candidate_id
    points = runs.metrics(on.store, run.id)
    assert {"reward", "kl", "answer_tokens", "judge", "unseen_gain"} <= {p.name for p in points}
    low, gain, high = (
        next(p.value for p in points if p.name == name)
        for name in ("unseen_gain_low", "unseen_gain", "unseen_gain_high")
    )
    assert low <= gain <= high


def test_rlhf_on_a_reward_model_needs_one_and_then_uses_it(
    on: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "method": "rlhf", "batch": 4, "answers": 2, "answer_tokens": 4, "max_steps": 1, "judge_every": 1,
    }  # fmt: skip
    with pytest.raises(HoneError, match=r"no reward model yet.*hone train reward"):
        finished(on, **settings)
    waiting = runs.create(
        on.store, LOCAL_USER, dataclasses.replace(on.recipe, method="reward"), on.snapshot.id
    )
    runs.create(on.store, LOCAL_USER, dataclasses.replace(on.recipe, **settings), on.snapshot.id)
    runs.cancel(on.store, LOCAL_USER, waiting.id)
    finished(on, method="reward", max_steps=1)
    with pytest.raises(HoneError, match=r"no reward model reward-9. There are: reward-1\."):
        finished(on, **settings | {"reward": "reward-9"})
    with pytest.raises(HoneError, match="no rule 'wit'"):
        finished(on, **settings | {"reward": "rule:wit"})
    folder, template = on.home.path / heads.get(on.store, "reward-1").folder, on.champion.chat_template_sha256
    other = dataclasses.replace(on.base, id="another")
    heads.add(on.store, on.home, other, heads.Made(folder, None), waiting.id, template)
    with pytest.raises(HoneError, match="reward-2 cannot judge these answers"):
        finished(on, **settings)
    settings["reward"] = "reward-1"
    run = finished(on, **settings)
    assert (run.state, run.error) == ("done", None)
    assert "The reward is reward-1." in capsys.readouterr().out
    shutil.rmtree(folder)
    removed = finished(on, **settings)
    assert removed.state == "failed"
    assert "reward-1 is damaged" in str(removed.error)


def test_a_policy_that_exploits_its_reward_is_stopped_said_so_and_the_best_one_kept(
    home: Home, tiny_base: Base
) -> None:
    store = build.shipped_store(home.store_file)
    base = bases.resolve(home, bases.BaseChoice(str(tiny_base.folder), "none"))
    champion = registry.ensure_base(store, base, bases.chat_template(base))
    for number in range(90):  # people want long answers; the rule will want short ones
        training_ground.vote(store, champion, f"q{number}?", "no no " * (2 + number % 4), "no")
    recipe = training_ground.recipe(base, method="sft", batch=8, accumulation=1, save_every=500)
    on = Ground(home, store, base, champion, training_ground.freeze(store), recipe)
    taught = finished(on, epochs=10, learning_rate=1e-2)
    registry.move_champion(
        store, home, LOCAL_USER, registry.get(store, taught.candidate_id or "").id, "promote"
    )
    run = finished(
        on, method="rlhf", reward="rule:concise", batch=16, answers=4, answer_tokens=40, max_steps=40,
        judge_every=2, learning_rate=5e-3, beta=0.01, schedule="constant",
    )  # fmt: skip
    assert (run.state, run.error) == ("done", None)
    assert run.step < 40
    assert "by the votes kept for the judge the policy is worse than" in str(run.warning)
    assert "The run was stopped, and that policy is kept. Raise beta" in str(run.warning)
    told = CliRunner().invoke(runs_group, ["show", run.id, "--home", str(home.path)]).stdout
    assert str(run.warning) in told
    assert "worse than at the start" in str(run.warning)
    kept, begun = (
        (home.path / str(registry.get(store, str(one.candidate_id)).adapter_dir)) for one in (run, taught)
    )
    assert (kept / WEIGHTS).read_bytes() == (begun / WEIGHTS).read_bytes()


def test_a_judge_with_too_few_pairs_says_that_it_does_not_judge(home: Home, tiny_base: Base) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    run = finished(
        on, method="rlhf", reward="rule:question", batch=4, answers=2, answer_tokens=4, max_steps=1
    )  # fmt: skip
    assert (run.state, run.error) == ("done", None)
    assert "says nothing below 8" in str(run.warning)


def test_a_reward_model_scores_pairs_packed_as_it_does_one_by_one(on: Ground) -> None:
    from training.reward_model import RewardModel

    run = finished(on, method="reward", max_steps=2, learning_rate=3e-3)
    head = heads.of_run(on.store, run.id)
    assert head is not None
    # In 16 bits the numbers differ with what else is computed beside them.
    exact = dataclasses.replace(on.base, dtype="float32")
    tokenizer = bases.load_tokenizer(exact)
    model = RewardModel(bases.load_model(exact), tokenizer, on.home.path / head.folder)
    ids = [tuple(tokenizer(text)["input_ids"]) for text in ("Who are you?", "I am.", "no no no", "Tea")]
    asked = [(prompt, answer) for prompt in ids[:2] for answer in (*ids[1:], ())]
    alone = [number for one in asked for number in model.score([one])]
    assert model.score(asked) == pytest.approx(alone, abs=1e-5)


def test_unknown_rules_and_heads_are_refused_with_what_there_is(on: Ground) -> None:
    with pytest.raises(HoneError, match="concise, list, question"):
        rules.named("rule:wit")
    with pytest.raises(NotFoundError):
        heads.get(on.store, "reward-9")


@given(st.integers(1, 20), st.integers(1, 8), st.integers(1, 4), st.integers(0, 5))
def test_groups_stay_together_and_fill_whole_steps(groups: int, size: int, whole: int, seed: int) -> None:
    order = GroupOrder(groups, size, seed, whole)
    found = list(order)
    assert len(found) == len(order) == math.ceil(groups / whole) * whole * size
    assert set(found) == set(range(groups * size))
    assert sorted(found[: groups * size]) == list(range(groups * size))
    for begin in range(0, len(found), size):
        assert found[begin : begin + size] == list(range(found[begin], found[begin] + size))
        assert found[begin] % size == 0


def judgement(step: int, mean: float, reward: float) -> Judgement:
    return Judgement(step, tuple(mean + wobble for wobble in (-0.2, -0.1, 0.0, 0.1, 0.2) * 4), reward)


def test_the_judge_stops_a_run_whose_reward_rises_while_votes_say_it_is_worse() -> None:
    good = [judgement(5, 0.5, 0.1), judgement(10, 1.0, 0.2)]
    worse = [judgement(15, 0.1, 0.4), judgement(20, -0.5, 0.6)]
    assert judge.hacked(good) is None
    assert judge.hacked([*good, worse[0]]) is None
    assert "after step 10" in str(judge.hacked([*good, *worse]))
    assert judge.hacked([*good, judgement(15, 0.1, 0.0), judgement(20, -0.5, 0.0)]) is None
    few = [Judgement(one.step, one.gains[:4], one.reward) for one in (*good, *worse)]
    assert judge.hacked(few) is None


scores = st.builds(Scored, *[st.floats(-5, 5)] * 2, *[st.integers(1, 99)] * 2)


@given(st.lists(scores, min_size=1, max_size=40))
def test_a_report_adds_up(pairs: list[Scored]) -> None:
    found = reward_report.report(pairs)
    assert sum(one.pairs for one in found.bins) == found.pairs == len(pairs)
    assert found.accuracy.low <= found.accuracy.value <= found.accuracy.high
    assert 0 <= found.calibration_error <= 1
    assert -1 - 1e-9 <= found.length_correlation <= 1 + 1e-9
    assert all(0.5 <= one.said <= 1 for one in found.bins)


def test_a_report_tells_length_from_worth() -> None:
    by_length = [Scored(float(n), float(n - 3), n, n - 3) for n in range(4, 24)]
    by_length += [Scored(float(n - 3), float(n), n - 3, n) for n in range(4, 24)]
    found = reward_report.report(by_length)
    assert (found.right_if_longer, found.right_if_shorter) == (1.0, 0.0)
    assert math.isclose(found.length_correlation, 1.0)
    assert found.accuracy.value == found.longer_is_better == 0.5
    said = " ".join(found.sentences())
    assert "better than the length of answers alone is not shown" in said
    assert "right in 100% where the chosen answer is the longer, and in 0% where it is the shorter" in said


@pytest.mark.parametrize(
    ("pairs", "said", "unsaid"),
    [
        ([Scored(1.0, 0.0, 5, 3)] * 3, "Fewer than 10 pairs say little", "too few to tell"),
        ([Scored(1.0, 0.0, 5, 5)] * 20, "of the same length", "is not shown"),
        ([Scored(1.0, 0.0, 5, 3)] * 20, "the shorter in none of them, too few", "Fewer than"),
        ([Scored(1.0, 0.0, 3, 5)] * 20 + [Scored(1.0, 0.0, 5, 3)], "the longer in 1 of them", "same length"),
    ],
)
def test_a_report_says_what_its_pairs_cannot_tell(pairs: list[Scored], said: str, unsaid: str) -> None:
    found = reward_report.report(pairs)
    told = " ".join(found.sentences())
    assert said in told
    assert unsaid not in told
    assert f"On {len(pairs)} held-out pairs" in told
    assert reward_report.from_data(json.loads(canonical_json(found))) == found
    old = {key: value for key, value in dataclasses.asdict(found).items() if key not in ("longer", "shorter")}
    assert reward_report.from_data(old).sentences()[:2] == found.sentences()[:2]


def test_freezing_for_the_judge_leaves_its_prompts_out_of_reward_and_policy(on: Ground) -> None:
    from training.data import kept_for_judge

    train = snapshots.pairs(on.store, on.snapshot.id).train
    kept = [pair for pair in train if kept_for_judge(pair.split_key)]
    assert 0 < len(kept) < len(train) / 2


def test_an_answer_that_is_cut_off_or_empty_loses_the_penalty(on: Ground, tmp_path: Path) -> None:
    from training import rlhf, trainers

    tokenizer = bases.load_tokenizer(on.base)
    end, word = tokenizer.eos_token_id, tokenizer("tea", add_special_tokens=False)["input_ids"][0]
    answers = [(end,), (word, end), (word, word, word), (word, end)]
    recipe = recipes.Recipe(
        method="rlhf", cut_off_penalty=0.5, batch=4, accumulation=1, answers=4, answer_tokens=3, max_steps=1
    )
    rows = [Row((word, word), (), ())]
    job = trainers.Job(bases.load_model(on.base), tokenizer, rows, recipe, tmp_path, None, "cpu")
    seen: dict[str, float] = {}
    hooks = trainers.Hooks(lambda *_: None, lambda _, found: seen.update(found), lambda *_: None)
    told = rlhf.Told(lambda asked: [0.0] * len(asked), lambda *_: answers, (), (), end, lambda _: None)
    rlhf.train_rlhf(job, hooks, told)
    assert seen["reward"] == pytest.approx(-0.5 * 2 / 4)
