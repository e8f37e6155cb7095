"""The matrix: every column on every dataset, many items at once, each answer kept as soon as it is there.

Knows columns, datasets and a Model; no engine, no page, no file of results.

Work goes column by column, and within one in the order of the prompts' examples, so that what prompts share
is read once and found in the engine's cache by those that follow.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from feedback.errors import HoneError
from prompts.evaluation import shown as showing
from prompts.evaluation.asking import Asking, Clock, ItemTeller
from prompts.evaluation.calls import Calls
from prompts.evaluation.columns import Calibrate, Cell, Column, Outcome
from prompts.evaluation.items import Dataset, Item, Metric
from prompts.evaluation.likelihoods import Likelihoods
from prompts.evaluation.model import Written
from prompts.evaluation.shown import Shown
from prompts.evaluation.statistics import share
from prompts.events import Finished
from prompts.run import run as run_strategy

CHUNK = 32
"""Items whose options are compared together. What a kill loses is one chunk at most."""

Progress = Callable[[str, int, int], None]
"""Called as (what is measured now, items done, items in all)."""

LIKELIHOOD_RULE = "The gold option is the one that the model finds most probable as the beginning of a reply."


@dataclass(frozen=True)
class Work:
    """One cell to be filled."""

    column: Column
    dataset: Dataset
    shown: Shown
    by_likelihood: bool
    metric: Metric | None

    @property
    def title(self) -> str:
        return f"{self.column.label} on {self.dataset.name}"


def plan(columns: Sequence[Column], datasets: Sequence[Dataset]) -> list[Work]:
    """Every column on every dataset. HoneError for what cannot be measured, before anything is computed."""
    return [_work(column, dataset) for dataset in datasets for column in columns]


def _work(column: Column, dataset: Dataset) -> Work:
    by_likelihood = _by_likelihood(column, dataset)
    if by_likelihood:
        _check_calibration(column.how.calibrate, dataset)
    shown = showing.fit(column.strategy, dataset, column.how.examples)
    return Work(column, dataset, shown, by_likelihood, None if by_likelihood else dataset.judge())


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
    step = column.strategy.steps[-1]
    plain = len(column.strategy.steps) == 1 and step.samples == 1 and step.answer.marker is None
    optional = all(len(item.options) > 1 and item.answer in item.options for item in dataset.items)
    if column.how.by == "likelihood" and not (plain and optional):
        why = f"The items of {dataset.name} do not all have options" if plain else (
            "It thinks, votes or takes several steps before it answers")  # fmt: skip
        raise HoneError(
            f"{column.label} cannot be measured by likelihood.", f"{why}.",
            "Leave --by out: each column is then measured as it can be.",
        )  # fmt: skip
    return column.how.by != "generation" and plain and optional


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
        cells.append(_cell(work, [by_id[item.id] for item in work.dataset.items]))
    return cells


def _outcomes(work: Work, asking: Asking) -> Iterator[Outcome]:
    """What came of each item, in any order."""
    items = sorted(work.dataset.items, key=lambda item: _examples_of(work, item))
    if not work.by_likelihood:
        yield from _at_once(items, lambda item: _written(work, asking, item), asking)
        return
    choosing = Likelihoods(asking, work.shown, work.dataset, work.column.how)
    for first in range(0, len(items), CHUNK):
        yield from choosing.outcomes(items[first : first + CHUNK])


def _examples_of(work: Work, item: Item) -> tuple[str, ...]:
    """What decides how a prompt begins: prompts that begin alike stand together."""
    pool = work.shown.pool(item)
    if pool is None:
        return (item.question,)
    chosen = work.shown.strategy.steps[-1].chosen(item.question, pool)
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


def _written(work: Work, asking: Asking, item: Item) -> Outcome:
    """An item answered in words, and judged."""
    teller = ItemTeller(asking, work.column.how.sampling)
    running = run_strategy(work.shown.strategy, (), item.question, teller, work.shown.pool(item))
    try:
        finished = next(event for event in running if isinstance(event, Finished))
    except HoneError as error:
        # Chiefly a question that does not fit the window. A failure is never a score.
        return Outcome(item.id, item.question, item.answer, None, error=str(error))
    written = [kept.answer for kept in teller.kept if isinstance(kept.answer, Written)]
    value, read, error_text = _judged(work.metric, finished.taken or finished.answer, item)
    return Outcome(
        item_id=item.id,
        question=item.question,
        gold=item.answer,
        value=value,
        prompt=finished.prompt_text,
        said=finished.answer,
        read=read,
        reasoning=finished.reasoning,
        written_tokens=sum(one.tokens for one in written),
        prompt_tokens=sum(one.prompt_tokens for one in written),
        cached_tokens=sum(one.cached_tokens for one in written),
        calls=len(written),
        seconds=sum(kept.seconds for kept in teller.kept),
        error=error_text,
    )


def _judged(metric: Metric | None, said: str, item: Item) -> tuple[float | None, str, str]:
    assert metric is not None
    try:
        score = metric.score(said, item)
    except HoneError as error:
        return None, "", str(error)
    return score.value, score.read, ""


def _cell(work: Work, outcomes: Sequence[Outcome]) -> Cell:
    scores = [outcome.value for outcome in outcomes if outcome.value is not None]
    column, metric = work.column, work.metric
    return Cell(
        column=column.label,
        version=column.version,
        model=column.model.name,
        dataset=work.dataset.name,
        by="likelihood" if metric is None else "generation",
        calibrated=column.how.calibrate if metric is None else "no",
        examples=work.shown.what,
        metric="choice" if metric is None else metric.name,
        rule=LIKELIHOOD_RULE if metric is None else metric.rule,
        outcomes=tuple(outcomes),
        score=share(scores) if scores else None,
    )
