"""`hone demo`: the whole circle once round, on a home of its own, with a labeller of a stated taste.

Ask, vote, freeze, train, judge, promote, and then ask prompts that nobody voted on: does the new model win
by the taste it was never told? Every step is the function that the pages call; nothing here touches a table.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant import draw, registry
from assistant.engines.interface import Engine, Request
from assistant.registry import ModelVersion
from feedback import label, snapshots, stats
from feedback.conversations import Sampling, Turn
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER, ModelVersionId
from feedback.snapshots import Snapshot
from feedback.statistics import Interval, wilson
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion
from prompts.plain import ZERO_SHOT, plain_messages
from training import gate, heads, promotion, recipes, runs, tastes
from training.gate import GateReport
from training.runs import Run
from training.tastes import Taste

DATA = Path(__file__).parent / "data"
ASKED_PROMPTS = 120
MAX_TOKENS = 128
WAYS = {"dpo": ("demo",), "rlhf": ("reward", "rlhf")}
"""How the demo may train: the presets of its runs, one after the other. The last makes the candidate."""

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Example:
    """One unseen prompt, answered by the old champion and by the new model."""

    prompt: str
    before: str
    after: str


@dataclass(frozen=True)
class WinRate:
    """The share of prompts on which a model's reply beats the old champion's by the taste; ties count half.

    `share` carries its 95 % Wilson interval.
    """

    share: Interval
    prompts: int


@dataclass(frozen=True)
class Rewarded:
    """RLHF's part of it: the reward model's report in words, and by how much the reward of answers to
    held-out prompts rose (95 % interval).
    """

    report: tuple[str, ...]
    gain: Interval | None


@dataclass(frozen=True)
class Outcome:
    """What came of one demo. `before` is the old champion against another draw of itself: about one half."""

    taste: str
    votes: int
    pairs: int
    snapshot: Snapshot
    run: Run
    report: GateReport
    promoted: bool
    model_version: ModelVersion
    before: WinRate
    after: WinRate
    examples: tuple[Example, ...]
    rewarded: Rewarded | None


@dataclass(frozen=True)
class Stage:
    """What every step of the demo works on."""

    home: Home
    store: Store
    engine: Engine
    taste: str
    seed: int
    progress: Progress
    method: str = "dpo"


def prompts() -> tuple[str, ...]:
    """The shipped prompts, one a line. The first ASKED_PROMPTS are voted on; the rest stay unseen."""
    return tuple((DATA / "prompts.txt").read_text(encoding="utf-8").split("\n")[:-1])


def styles(store: Store) -> tuple[PromptVersion, ...]:
    """The ways in which the demo puts a prompt: plain, and three shown by example. None knows the taste.

    A small model's plain replies are all alike, and a labeller can only teach what there is to choose from.
    """
    made = library.register_shipped(store, DATA / "styles", "a way of answering that `hone demo` votes on")
    return (library.production(store, ZERO_SHOT), *made)


def check_fresh(store: Store) -> None:
    """HoneError unless the home is empty: simulated votes must never stand among a person's."""
    counted = stats.counts(store)
    if counted.conversations or counted.votes:
        raise HoneError(
            "The demo was not started.",
            "This home holds conversations or votes already, and the demo's simulated votes would join them.",
            "Leave --home out, or name an empty folder.",
        )


def play(stage: Stage) -> Outcome:
    """The circle once round. Raises HoneError when a step cannot be done, with what was made so far kept."""
    old = registry.champion(stage.store)
    _draw(stage)
    votes = _vote(stage)
    stage.progress("freezing the votes", 0, 1)
    zero_shot = library.production(stage.store, ZERO_SHOT)
    snapshot = snapshots.freeze(stage.store, LOCAL_USER, stage.engine.template.sha256, zero_shot.id)
    stage.progress("freezing the votes", 1, 1)
    trained = [_train(stage, snapshot, preset) for preset in WAYS[stage.method]]
    run = trained[-1]
    candidate = registry.get(stage.store, _made(run))
    report = gate.report(stage.store, candidate.id)
    if report is None:
        raise HoneError(
            f"The gate left no report on {candidate.name}.", f"The run {run.id} ended as {run.state}."
        )
    promoted = report.verdict == "pass"
    if promoted:
        promotion.promote(stage.store, stage.home, LOCAL_USER, candidate.id)
    before, after, examples = _prove(stage, old, candidate)
    return Outcome(
        taste=stage.taste,
        votes=votes,
        pairs=snapshot.train_pairs + snapshot.held_out_pairs,
        snapshot=snapshot,
        run=run,
        report=report,
        promoted=promoted,
        model_version=candidate,
        before=before,
        after=after,
        examples=examples,
        rewarded=_rewarded(stage, trained) if stage.method == "rlhf" else None,
    )


def _rewarded(stage: Stage, trained: Sequence[Run]) -> Rewarded:
    head = heads.of_run(stage.store, trained[0].id)
    told = head.report.sentences() if head and head.report else []
    points = {point.name: point.value for point in runs.metrics(stage.store, trained[-1].id)}
    named = [points.get(f"unseen_gain{end}") for end in ("", "_low", "_high")]
    known = [value for value in named if value is not None]
    return Rewarded(tuple(told), Interval(*known) if len(known) == len(named) else None)


def _draw(stage: Stage) -> None:
    """Two replies to each asked prompt, put in two different ways; each pair of ways comes equally often."""
    couples = itertools.cycle(itertools.combinations(styles(stage.store), 2))
    draw.draw_tasks(
        stage.store, stage.engine,
        [draw.question(prompt, next(couples)) for prompt in prompts()[:ASKED_PROMPTS]],
        _sampling(stage.seed),
        lambda done, total: stage.progress("drawing two replies to each prompt", done, total),
    )  # fmt: skip


def _sampling(seed: int) -> Sampling:
    return Sampling(temperature=0.8, top_p=0.95, max_tokens=MAX_TOKENS, seed=seed)


def _vote(stage: Stage) -> int:
    """The simulated labeller works through the queue as a person would: blind, one task at a time."""
    taste = tastes.named(stage.taste, stage.seed)
    total = label.progress(stage.store, LOCAL_USER).open
    for done in itertools.count():
        stage.progress(f"voting by the taste '{stage.taste}'", done, total)
        task = label.next_task(stage.store, LOCAL_USER)
        if task is None:
            return done
        left, right = task.replies
        better = taste(left.content, right.content)
        ranks = {1: (1, 2), -1: (2, 1), 0: (1, 1)}[better]
        label.rank(
            stage.store, LOCAL_USER, task.id, (left.reply_id, right.reply_id), ranks, source="simulated"
        )
    raise AssertionError("unreachable: the count has no end")


def _train(stage: Stage, snapshot: Snapshot, preset: str) -> Run:
    """A run like any other, in its own process; followed here until it has ended, gate included."""
    run = runs.create(stage.store, LOCAL_USER, recipes.load(preset), snapshot.id)
    runs.start(stage.home, run.id)
    while not (run := runs.get(stage.store, run.id)).is_over:
        training = f"training ({run.method.upper()})"
        what = "the gate: candidate against champion" if run.state == "evaluating" else training
        stage.progress(what, run.step, run.total_steps or 0)
        time.sleep(0.5)
        runs.sweep(stage.store)
    if run.state != "done":
        raise HoneError(
            f"The run {run.id} ended as {run.state}.",
            run.error or "",
            f"Its log is {runs.folder(stage.home, run.id) / 'log.txt'}.",
        )
    return run


def _made(run: Run) -> ModelVersionId:
    if run.candidate_id is None:
        raise HoneError(f"The run {run.id} made no model version.", run.error or "")
    return run.candidate_id


def _prove(
    stage: Stage, old: ModelVersion, new: ModelVersion
) -> tuple[WinRate, WinRate, tuple[Example, ...]]:
    """Win rates over the old champion on unseen prompts: of the old itself (before), of the new (after)."""
    unseen = prompts()[ASKED_PROMPTS:]
    taste = tastes.named(stage.taste, stage.seed + 1)
    asked = {"before": (old, 1), "again": (old, 2), "after": (new, 1)}
    replies = {
        key: _answers(stage, unseen, version, stage.seed + offset, step)
        for step, (key, (version, offset)) in enumerate(asked.items())
    }
    rates = [win_rate(taste, replies[key], replies["before"]) for key in ("again", "after")]
    examples = tuple(
        Example(*texts) for texts in list(zip(unseen, replies["before"], replies["after"], strict=True))[:3]
    )
    return rates[0], rates[1], examples


def win_rate(taste: Taste, ours: Sequence[str], theirs: Sequence[str]) -> WinRate:
    """Pure: the share of prompts on which our reply wins by `taste`, a tie counting half."""
    wins = sum((taste(mine, other) + 1) / 2 for mine, other in zip(ours, theirs, strict=True))
    return WinRate(wilson(wins, len(ours)), len(ours))


def _answers(stage: Stage, asked: Sequence[str], version: ModelVersion, seed: int, part: int) -> list[str]:
    """One plain reply to each prompt."""
    stage.engine.load(version)
    texts = [stage.engine.template.text(plain_messages([Turn("user", prompt)])) for prompt in asked]
    requests = [
        Request(text, _sampling(seed * 1000 + position), version) for position, text in enumerate(texts)
    ]
    total = 3 * len(asked)
    completions = stage.engine.batch(
        requests,
        lambda done, _: stage.progress(
            "asking prompts that nobody voted on", part * len(asked) + done, total
        ),
    )
    return [completion.text.strip() for completion in completions]
