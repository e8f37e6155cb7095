"""The matrix: every column on every dataset, many items at once, each answer kept as soon as it is there.

Knows columns, datasets and a Model; no engine, no page, no file of results.

Work goes column by column, and within one in the order of the prompts' examples, so that what prompts share
is read once and found in the engine's cache by those that follow.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial

from feedback.errors import HoneError
from prompts.evaluation import shown as showing
from prompts.evaluation import ways
from prompts.evaluation.asking import Asking, Clock, ItemTeller
from prompts.evaluation.by_kind import AutoColumn, pick
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import Calibrate, Cell, Column, Outcome
from prompts.evaluation.items import Dataset, Item, Metric, Reply, Score
from prompts.evaluation.likelihoods import Likelihoods
from prompts.evaluation.model import Written
from prompts.evaluation.shown import Shown
from prompts.evaluation.statistics import mean
from prompts.evaluation.units import SHARE
from prompts.events import Finished
from prompts.kinds import PLURAL, Kind, kind_of
from prompts.measures import Way, item_sha256
from prompts.plain import AUTO
from prompts.run import run as run_strategy
from prompts.strategy import Strategy

CHUNK = 32
"""Items whose options are compared together. What a kill loses is one chunk at most."""

Progress = Callable[[str, int, int], None]
"""Called as (what is measured now, items done, items in all)."""

LIKELIHOOD_RULE = "The gold option is the one that the model finds most probable as the beginning of a reply."


@dataclass(frozen=True)
class Part:
    """Items that are asked in one way. `chosen`: for `auto`, what it took and why."""

    column: Column
    items: tuple[Item, ...]
    shown: Shown
    way: Way
    chosen: str = ""


@dataclass(frozen=True)
class Work:
    """One cell to be filled: all items in one way, or, for `auto`, each kind of question in its own."""

    column: Column | AutoColumn
    dataset: Dataset
    parts: tuple[Part, ...]
    by_likelihood: bool
    metric: Metric | None

    @property
    def title(self) -> str:
        return f"{self.column.label} on {self.dataset.name}"


def plan(columns: Sequence[Column | AutoColumn], datasets: Sequence[Dataset]) -> list[Work]:
    """Every column on every dataset. HoneError for what cannot be measured, before anything is computed."""
    asked: set[str] = set()
    if any(isinstance(column, AutoColumn) for column in columns):
        asked = {item_sha256(item.question) for dataset in datasets for item in dataset.items}
    return [_work(column, dataset, asked) for dataset in datasets for column in columns]


def _work(column: Column | AutoColumn, dataset: Dataset, asked: Set[str]) -> Work:
    first = column if isinstance(column, Column) else column.plain
    by_likelihood, part = _by_likelihood(first, dataset), _part(first, dataset)
    parts = (part,) if isinstance(column, Column) else _by_kind(column, dataset, part.way, asked)
    return Work(column, dataset, parts, by_likelihood, None if by_likelihood else dataset.judge())


def _part(column: Column, dataset: Dataset) -> Part:
    """All of `dataset` by one column. HoneError when it cannot be measured so."""
    by_likelihood = _by_likelihood(column, dataset)
    if by_likelihood:
        _check_calibration(column.how.calibrate, dataset)
    shown = showing.fit(column.strategy, dataset, column.how.examples)
    way = ways.way_of(column.how, column.strategy, shown, by_likelihood=by_likelihood)
    return Part(column, dataset.items, shown, way)


def _by_kind(column: AutoColumn, dataset: Dataset, plain_way: Way, asked: Set[str]) -> tuple[Part, ...]:
    """The items by their kinds, each in the way that has won most. Kinds come in the order of the items."""

    def here(candidate: Column) -> Way | None:
        try:
            return _part(candidate, dataset).way
        except HoneError:  # no training part to show, say
            return None

    kinds: dict[Kind, list[Item]] = {}
    for item in dataset.items:
        kinds.setdefault(kind_of(item.question), []).append(item)
    parts = []
    for kind, items in kinds.items():
        taken, why = pick(column, kind, plain_way, asked, here)
        said = f"{len(items)} {PLURAL[kind]}: {taken.label}, because {why}."
        parts.append(replace(_part(taken, dataset), items=tuple(items), chosen=said))
    return tuple(parts)


def _check_calibration(calibrate: Calibrate, dataset: Dataset) -> None:
    known = {
        "no": True,
        "plain": True,
        "nothing": bool(dataset.content_free),
        "training": bool(dataset.train),
    }
    if not known[calibrate]:
        missing = "no question without content" if calibrate == "nothing" else "no training part"
        raise HoneError(
            f"{dataset.name} cannot be calibrated by {calibrate}.",
            f"It has {missing}.",
            "Name a training file with --train, or leave --calibrate out.",
        )


def _by_likelihood(column: Column, dataset: Dataset) -> bool:
    why = _must_write(column.strategy, dataset)
    if column.how.by == "likelihood" and why:
        raise HoneError(
            f"{column.label} cannot be measured by likelihood.", f"{why}.",
            "Leave --by out: each column is then measured as it can be.",
        )  # fmt: skip
    return column.how.by != "generation" and not why


def _must_write(strategy: Strategy, dataset: Dataset) -> str:
    """Why answers must be written, as a sentence; "" where it is enough to compare options."""
    step = strategy.steps[-1]
    if len(strategy.steps) > 1 or step.samples > 1 or step.answer.marker is not None:
        return "It thinks, votes or takes several steps before it answers"
    if not all(len(item.options) > 1 and item.answer in item.options for item in dataset.items):
        return f"The items of {dataset.name} do not all have options"
    if dataset.judge().unit != SHARE:
        return "A reward is of a whole reply, and so one must be written"
    return ""


def run(
    works: Sequence[Work], calls: Calls, progress: Progress | None = None, stop: threading.Event | None = None
) -> list[Cell]:
    """Fill the cells, in order. CancelledError when `stop` was set; what was answered is kept in `calls`, and
    the same works go on from there. An item that cannot be put, or judged, says so and has no score.
    """
    ends = stop or threading.Event()
    total = sum(len(work.dataset.items) for work in works)
    done = 0
    cells = []
    for work in works:
        asking = Asking(work.column.model, calls, Clock(), ends)
        by_id: dict[str, Outcome] = {}
        for outcome in _outcomes(work, asking):
            by_id[outcome.item_id] = outcome
            done += 1
            if progress is not None:
                progress(work.title, done, total)
        if progress is not None and work.metric is not None:
            progress(f"Judging {work.title}", done, total)
        cells.append(_cell(work, _judged(work, by_id)))
    return cells


def _outcomes(work: Work, asking: Asking) -> Iterator[Outcome]:
    """What came of each item, in any order. What was written is not judged yet."""
    for part in work.parts:
        items = sorted(part.items, key=lambda item: _examples_of(part, item))
        if work.by_likelihood:
            choosing = Likelihoods(asking, part.shown, work.dataset, part.column.how)
            for first in range(0, len(items), CHUNK):
                yield from choosing.outcomes(items[first : first + CHUNK])
        else:
            answer = partial(_written, part, asking)
            yield from _at_once(items, answer, asking)


def _examples_of(part: Part, item: Item) -> tuple[str, ...]:
    """What decides how a prompt begins: prompts that begin alike stand together."""
    pool = part.shown.pool(item)
    if pool is None:
        return (item.question,)
    chosen = part.shown.strategy.steps[-1].chosen(item.question, pool)
    # The nearest is put last, so that the farthest opens the prompt.
    return (*(example.source for example in reversed(chosen)), item.question)


def _at_once(items: Sequence[Item], answer: Callable[[Item], Outcome], asking: Asking) -> Iterator[Outcome]:
    """The outcomes of all items, as many under way together as the model likes. Whatever goes wrong ends the
    others within one token.
    """
    with ThreadPoolExecutor(max(1, asking.model.at_once)) as threads:
        asked = [threads.submit(answer, item) for item in items]
        try:
            for one in as_completed(asked):
                yield one.result()
        except BaseException:
            asking.stop.set()
            threads.shutdown(wait=True, cancel_futures=True)
            raise


def _written(part: Part, asking: Asking, item: Item) -> Outcome:
    """An item answered in words."""
    teller = ItemTeller(asking, part.column.how.sampling)
    running = run_strategy(part.shown.strategy, (), item.question, teller, part.shown.pool(item))
    try:
        finished = next(event for event in running if isinstance(event, Finished))
    except HoneError as error:
        # Chiefly a question that does not fit the window. A failure is never a score.
        return Outcome(item.id, item.question, item.answer, None, error=str(error))
    written = [kept.answer for kept in teller.kept if isinstance(kept.answer, Written)]
    return Outcome(
        item_id=item.id,
        question=item.question,
        gold=item.answer,
        value=None,
        prompt=finished.prompt_text,
        said=finished.answer,
        taken=finished.taken if finished.taken != finished.answer else "",
        ended=teller.ended(finished.chosen),
        reasoning=finished.reasoning,
        written_tokens=sum(one.tokens for one in written),
        prompt_tokens=sum(one.prompt_tokens for one in written),
        cached_tokens=sum(one.cached_tokens for one in written),
        calls=len(written),
        seconds=sum(kept.seconds for kept in teller.kept),
    )


def _judged(work: Work, by_id: Mapping[str, Outcome]) -> list[Outcome]:
    """The outcomes in the order of the items, each reply with its score, or why it has none."""
    outcomes = [by_id[item.id] for item in work.dataset.items]
    if work.metric is None:
        return outcomes
    replies = [
        Reply(item, one.said, one.taken or one.said, one.ended)
        for item, one in zip(work.dataset.items, outcomes, strict=True)
        if not one.error
    ]
    found = dict(zip((reply.item.id for reply in replies), work.metric.judge(replies), strict=True))
    return [_scored(one, found[one.item_id]) if not one.error else one for one in outcomes]


def _scored(outcome: Outcome, found: Score | HoneError) -> Outcome:
    if isinstance(found, HoneError):
        return replace(outcome, error=str(found))
    return replace(outcome, value=found.value, read=found.read)


def _cell(work: Work, outcomes: Sequence[Outcome]) -> Cell:
    scores = [outcome.value for outcome in outcomes if outcome.value is not None]
    column, metric = work.column, work.metric
    unit = SHARE if metric is None else metric.unit
    calibrated = dict.fromkeys(part.way.calibrate for part in work.parts)
    examples = dict.fromkeys(part.shown.what for part in work.parts)
    return Cell(
        column=column.label,
        version=column.version if isinstance(column, Column) else AUTO,
        model=column.model.name,
        dataset=work.dataset.name,
        by="likelihood" if metric is None else "generation",
        calibrated=" or ".join(calibrated),
        examples="; ".join(examples),
        metric="choice" if metric is None else metric.name,
        rule=LIKELIHOOD_RULE if metric is None else metric.rule,
        outcomes=tuple(outcomes),
        score=mean(scores, unit) if scores else None,
        chosen=tuple(part.chosen for part in work.parts if part.chosen),
        unit=unit,
    )
