"""The gate: may a candidate answer in the champion's place? `judge` is pure; `evaluate` measures and stores.

The unit of evidence is the prompt, not the pair: several pairs of one prompt say much the same thing, so
their margins are averaged first. Knows no trainer.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from sqlite3 import Row
from typing import Literal

from assistant import registry
from assistant.engines.interface import Engine
from feedback import snapshots
from feedback.errors import ConflictError, HoneError
from feedback.ids import GateReportId, ModelVersionId, SnapshotId, new_id
from feedback.statistics import Interval, bootstrap_mean, sign_test, wilson
from feedback.store import Store, now
from training.data import strategy_of
from training.measure import Asked, Measurement, Progress, SampledReply, measure

Verdict = Literal["pass", "fail", "not_enough_evidence"]


@dataclass(frozen=True)
class Bars:
    """What a candidate must clear. Shares lie in [0, 1]; the ratios are candidate / champion."""

    min_prompts: int = 12
    p_value: float = 0.05
    confidence: float = 0.95
    perplexity_ratio: float = 1.05
    endless_points: float = 0.10
    length_ratio: float = 3.0
    drift_nats: float = 1.0


@dataclass(frozen=True)
class Check:
    """One line of the report. `low` and `high` are the interval where there is one.

    `kind`: `effect` (does it do what votes asked?), `guard` (did it break anything?) or `information`.
    `bar` and `ok` are None where nothing is demanded. `sentence` says it all in words.
    """

    name: str
    title: str
    kind: Literal["effect", "guard", "information"]
    value: float
    low: float | None
    high: float | None
    bar: float | None
    ok: bool | None
    sentence: str


@dataclass(frozen=True)
class BothAnswers:
    """A held-out prompt and what both answered it (greedy, cut at the measurement's limit)."""

    prompt: str
    champion: str
    candidate: str


@dataclass(frozen=True)
class GateReport:
    """The verdict, why, and everything that it rests on. The ids are None until it is stored.

    `margins_nats`: one for each held-out prompt, for the plot; above 0 the candidate leans to the chosen
    answer more than the champion does.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    margins_nats: tuple[float, ...]
    examples: tuple[BothAnswers, ...] = ()
    id: GateReportId | None = None
    candidate_id: ModelVersionId | None = None
    champion_id: ModelVersionId | None = None
    snapshot_id: SnapshotId | None = None
    created_at: str | None = None


DEFAULT_BARS = Bars()


def judge(measurement: Measurement, bars: Bars = DEFAULT_BARS) -> GateReport:
    """The verdict on a measurement, by this rule:

    1. A broken guard (perplexity, endless, empty, length, drift) fails, whatever the effect is.
    2. So does an effect that surely goes the wrong way: the interval of the mean margin lies below 0.
    3. A pass needs enough held-out prompts, a significant sign test in the right direction, and an interval
       of the mean margin that lies wholly above 0.
    4. Everything else is not enough evidence.
    """
    margins = _by_prompt(measurement)
    guards = _guards(measurement, bars)
    if not margins:
        said = "There are no held-out prompts to judge by."
        return GateReport("not_enough_evidence", (said,), guards, (), _examples(measurement))
    effects = _effects(margins, bars, measurement.too_long)
    checks = (*effects, *guards, *_information(measurement))
    examples = _examples(measurement)
    if broken := [check.sentence for check in guards if check.ok is False]:
        return GateReport("fail", tuple(broken), checks, margins, examples)
    margin = next(check for check in effects if check.name == "margin")
    if margin.high is not None and margin.high < 0:
        return GateReport("fail", (margin.sentence,), checks, margins, examples)
    if missing := [check.sentence for check in effects if not check.ok]:
        return GateReport("not_enough_evidence", tuple(missing), checks, margins, examples)
    reasons = (*(check.sentence for check in effects), "No guard is broken.")
    return GateReport("pass", reasons, checks, margins, examples)


def _by_prompt(measurement: Measurement) -> tuple[float, ...]:
    """The mean margin of each held-out prompt, in nats, in the order of first appearance."""
    grouped: dict[str, list[float]] = {}
    for pair in measurement.pairs:
        grouped.setdefault(pair.prompt_sha256, []).append(pair.margin_nats)
    return tuple(sum(group) / len(group) for group in grouped.values())


def _effects(margins: Sequence[float], bars: Bars, too_long: int) -> tuple[Check, ...]:
    count = len(margins)
    wins, losses = sum(m > 0 for m in margins), sum(m < 0 for m in margins)
    accuracy = wilson(wins + (count - wins - losses) / 2, count, bars.confidence)
    p_value = sign_test(wins, losses)
    mean = bootstrap_mean(margins, bars.confidence)
    level = f"{bars.confidence:.0%}"
    left_out = f" ({too_long} pairs were too long for the model and left out)" if too_long else ""
    shown = "below 0.0001" if p_value < 0.0001 else f"{p_value:.4f}"
    return (
        Check(
            "prompts", "Held-out prompts", "effect", count, None, None, bars.min_prompts,
            count >= bars.min_prompts,
            f"It was judged on {count} held-out prompts{left_out}; at least {bars.min_prompts} are needed.",
        ),
        Check(
            "accuracy", "Leans to the chosen answer", "effect",
            accuracy.value, accuracy.low, accuracy.high, 0.5,
            p_value < bars.p_value and wins > losses,
            f"On {wins} of {count} held-out prompts it leans to the chosen answer more than the champion "
            f"does ({accuracy.value:.0%}, {level} interval {accuracy.low:.0%} to {accuracy.high:.0%}; "
            f"sign test p {shown}, below {bars.p_value:g} is needed).",
        ),
        Check(
            "margin", "Mean margin, nats", "effect", mean.value, mean.low, mean.high, 0.0,
            mean.low > 0,
            f"The mean margin is {_interval(mean)} nats ({level} interval); all of it must lie above 0.",
        ),
    )  # fmt: skip


def _interval(found: Interval) -> str:
    return f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def _guards(measurement: Measurement, bars: Bars) -> tuple[Check, ...]:
    ratio = measurement.candidate_perplexity / measurement.champion_perplexity
    ours = [pair.candidate for pair in measurement.replies]
    theirs = [pair.champion for pair in measurement.replies]
    endless, endless_before = _share(ours, "endless"), _share(theirs, "endless")
    empty, empty_before = _share(ours, "empty"), _share(theirs, "empty")
    longer = sum(r.tokens for r in ours) / max(1, sum(r.tokens for r in theirs)) if ours else 1.0
    return (
        Check(
            "perplexity", "Perplexity on plain text, against the champion's", "guard", ratio, None, None,
            bars.perplexity_ratio, ratio <= bars.perplexity_ratio,
            f"Perplexity on plain text went from {measurement.champion_perplexity:.2f} to "
            f"{measurement.candidate_perplexity:.2f} ({ratio - 1:+.1%}; at most "
            f"{bars.perplexity_ratio - 1:+.0%} is allowed).",
        ),
        Check(
            "endless", "Replies that do not end", "guard", endless, None, None,
            endless_before + bars.endless_points, endless <= endless_before + bars.endless_points + 1e-9,
            f"{endless:.0%} of its replies did not end in time, the champion's {endless_before:.0%}; at most "
            f"{bars.endless_points * 100:.0f} points more are allowed.",
        ),
        Check(
            "empty", "Empty replies", "guard", empty, None, None, empty_before, empty <= empty_before,
            f"{empty:.0%} of its replies are empty, the champion's {empty_before:.0%}; no more are allowed.",
        ),
        Check(
            "length", "Length, against the champion's", "guard", longer, None, None, bars.length_ratio,
            longer <= bars.length_ratio,
            f"Its replies are {longer:.2f} times as long as the champion's; at most {bars.length_ratio:g} "
            f"times is allowed.",
        ),
        _drift(measurement, bars),
    )  # fmt: skip


def _share(replies: Sequence[SampledReply], what: Literal["endless", "empty"]) -> float:
    return sum(getattr(reply, what) for reply in replies) / max(1, len(replies))


def _information(measurement: Measurement) -> tuple[Check, ...]:
    """How often each version by itself gives the chosen answer the higher probability a token. Demands
    nothing.
    """
    found = []
    sides = (("candidate", "The candidate"), ("champion", "The champion"))
    for name, title in sides:
        gaps = [getattr(pair, f"{name}_gap") for pair in measurement.pairs]
        share = wilson(sum(gap > 0 for gap in gaps) + sum(gap == 0 for gap in gaps) / 2, len(gaps))
        found.append(
            Check(
                f"{name}_prefers", f"{title} prefers the chosen answer", "information",
                share.value, share.low, share.high, None, None,
                f"{title} gives the chosen answer the higher probability a token in {share.value:.0%} of "
                f"{len(gaps)} pairs ({share.low:.0%} to {share.high:.0%}).",
            )
        )  # fmt: skip
    return tuple(found)


def _drift(measurement: Measurement, bars: Bars) -> Check:
    """How strange the candidate's replies are to the champion, beside its own: a sampled KL, nats a token.

    Preference training can empty the words of their sense while every count stays fine: of three candidates
    trained for short replies, those that still answered lay 0.1 and 0.6 below the champion, the one that
    babbled 1.35.
    """
    ours = [pair.candidate.champion_nats for pair in measurement.replies]
    theirs = [pair.champion.champion_nats for pair in measurement.replies]
    below = (sum(theirs) - sum(ours)) / max(1, len(ours))
    return Check(
        "drift", "Strange to the champion, nats a token", "guard", below, None, None,
        bars.drift_nats, below <= bars.drift_nats,
        f"To the champion, its replies are {below:.2f} nats a token less likely than the champion's own; at "
        f"most {bars.drift_nats:g} is allowed, beyond it replies lose their sense.",
    )  # fmt: skip


def _examples(measurement: Measurement) -> tuple[BothAnswers, ...]:
    return tuple(BothAnswers(r.prompt, r.champion.text, r.candidate.text) for r in measurement.replies[:3])


def evaluate(
    store: Store,
    engine: Engine,
    candidate: str,
    snapshot_id: str | None = None,
    progress: Progress | None = None,
) -> GateReport:
    """Measure `candidate` (id or name) against the present champion, judge, store the report and return it.

    The held-out pairs are those of `snapshot_id`, by default of the snapshot that the candidate was trained
    on.
    """
    version, champion = registry.get(store, candidate), registry.champion(store)
    if version.id == champion.id:
        raise ConflictError(
            f"{version.name} cannot be judged.", "It is the champion already.", "Name another version."
        )
    snapshot = snapshots.get(store, snapshot_id or _trained_on(store, version))
    asked = Asked(snapshots.pairs(store, snapshot.id).held_out, strategy_of(store, snapshot))
    engine.load(version)
    engine.load(champion)
    report = judge(measure(engine, version, champion, asked, progress))
    report_id, at = GateReportId(new_id("g")), now()
    store.execute(
        """INSERT INTO gate_reports
             (id, candidate_id, champion_id, snapshot_id, verdict, report_json, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        report_id, version.id, champion.id, snapshot.id, report.verdict, json.dumps(asdict(report)), at,
    )  # fmt: skip
    return get(store, report_id)


def snapshot_for(store: Store, version: registry.ModelVersion) -> str | None:
    """The snapshot whose held-out pairs judge a version: what its run read, or for one that read plain text
    the newest; None where there is none.
    """
    row = store.row("SELECT snapshot_id FROM runs WHERE id = ?", version.run_id)
    if row is None or row["snapshot_id"] is not None:
        return str(row["snapshot_id"]) if row else None
    newest = snapshots.listing(store)[:1]
    return str(newest[0].id) if newest else None


def _trained_on(store: Store, version: registry.ModelVersion) -> str:
    found = snapshot_for(store, version)
    if found is None:
        raise HoneError(
            f"{version.name} was not made by a run on votes here.",
            "So there is no snapshot that its held-out pairs would come from.",
            "Name one with --snapshot.",
        )
    return found


def get(store: Store, report_id: str) -> GateReport:
    """The stored report with this id. HoneError when there is none."""
    row = store.row("SELECT * FROM gate_reports WHERE id = ?", report_id)
    if row is None:
        raise HoneError(f"There is no gate report {report_id}.")
    return _from_row(row)


def report(store: Store, candidate: str) -> GateReport | None:
    """The newest report on `candidate` (id or name), against whatever champion; None before the first."""
    row = store.row(
        "SELECT * FROM gate_reports WHERE candidate_id = ? ORDER BY created_at DESC, rowid DESC LIMIT 1",
        registry.get(store, candidate).id,
    )
    return _from_row(row) if row else None


def report_against_champion(store: Store, candidate: str) -> GateReport | None:
    """The newest report on `candidate` against the present champion: the one that promotion asks for."""
    row = store.row(
        """SELECT * FROM gate_reports WHERE candidate_id = ? AND champion_id = ?
           ORDER BY created_at DESC, rowid DESC LIMIT 1""",
        registry.get(store, candidate).id,
        registry.champion(store).id,
    )
    return _from_row(row) if row else None


def _from_row(row: Row) -> GateReport:
    held = json.loads(row["report_json"])
    return GateReport(
        verdict=row["verdict"],
        reasons=tuple(held["reasons"]),
        checks=tuple(Check(**check) for check in held["checks"]),
        margins_nats=tuple(held["margins_nats"]),
        examples=tuple(BothAnswers(**example) for example in held["examples"]),
        id=GateReportId(row["id"]),
        candidate_id=ModelVersionId(row["candidate_id"]),
        champion_id=ModelVersionId(row["champion_id"]),
        snapshot_id=SnapshotId(row["snapshot_id"]),
        created_at=row["created_at"],
    )
