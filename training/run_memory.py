"""A run's memory: checked before its model is loaded, kept beside what was measured when it is trained; and
how much of the model it trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from assistant.base import Base
from feedback.ids import RunId
from feedback.store import Store
from training import memory, run_order, runs
from training.data import Row
from training.launch.configs import Launch
from training.memory.plan import precision_of
from training.memory.shape import of_folder
from training.recipes import Recipe
from training.runs import MetricPoint

ESTIMATE, PEAK = "memory_estimate_gb", "memory_peak_gb"
TRAINED, NUMBERS = "trained_numbers", "model_numbers"
KEPT = (ESTIMATE, PEAK, TRAINED, NUMBERS)
"""The figures of a run that are no curves: one value each."""


@dataclass(frozen=True)
class Needs:
    """What a run is estimated to take, on which kind of device, and the sentence for its log."""

    estimate: memory.Estimate
    device: str
    sentence: str


def plan_of(base: Base, recipe: Recipe) -> memory.Plan:
    """What the recipe trains at most, on this base."""
    return memory.of_recipe(recipe, precision_of(base.dtype), base.quantization, base.device)


def check(base: Base, recipe: Recipe, rows: Sequence[Row], launch: Launch | None = None) -> Needs:
    """What these rows need, in one process of `launch`. HoneError, with the smallest change that would fit,
    where it is not free.
    """
    processes = 1 if launch is None else launch.processes
    batch, accumulation = run_order.share_of(recipe, processes)
    largest = rows if recipe.method == "rlhf" else run_order.fullest(rows, recipe, batch)
    own = replace(recipe, batch=batch, accumulation=accumulation)
    return _fitting(base, memory.of_rows(plan_of(base, own), largest), 1 if launch is None else launch.here)


def check_frozen(base: Base, recipe: Recipe, texts: int) -> Needs:
    """The same for a classifier whose trunk only reads so many texts."""
    return _fitting(base, replace(plan_of(base, recipe), texts=texts))


def _fitting(base: Base, plan: memory.Plan, among: int = 1) -> Needs:
    """What the plan needs. HoneError where that is not free. `among`: processes that share a CPU's memory."""
    device = memory.this_machine()
    if device.kind == "cpu":  # what this process has already is part of what the run needs, if it trains
        held = psutil.Process().memory_info().rss if among == 1 else 0
        device = replace(device, free_bytes=(device.free_bytes + held) // among)
    found = memory.refuse_if_too_big(of_folder(base.title, base.folder), plan, device)
    return Needs(found, device.kind, memory.sentence(found, device))


def expected(store: Store, run_id: RunId, needs: Needs) -> None:
    """Write the estimate to the run's figures."""
    _record(store, run_id, ESTIMATE, needs.estimate.peak_bytes)


def measured(store: Store, run_id: RunId, peak_bytes: int) -> str:
    """Write the peak of the process that trained to the run's figures; returns the line for its log."""
    _record(store, run_id, PEAK, peak_bytes)
    return line(runs.metrics(store, run_id))


def sized(store: Store, run_id: RunId, trained: int, of: int) -> str:
    """Write to the run's figures how many numbers it trains, of how many; returns the line for its log."""
    runs.record(store, run_id, 0, {TRAINED: trained, NUMBERS: of})
    return size_line(runs.metrics(store, run_id))


def size_line(points: Sequence[MetricPoint]) -> str:
    """How much of the model is trained, in words; empty before a run has begun to."""
    found = {point.name: point.value for point in points}
    if TRAINED not in found or NUMBERS not in found:
        return ""
    return (
        f"Trained: {found[TRAINED]:,.0f} of {found[NUMBERS]:,.0f} numbers"
        f" ({found[TRAINED] / found[NUMBERS]:.2%})."
    )


def _record(store: Store, run_id: RunId, name: str, size_bytes: int) -> None:
    """In GB, at the step that the run has come to."""
    runs.record(store, run_id, runs.get(store, run_id).step, {name: size_bytes / 1e9})


def line(points: Sequence[MetricPoint]) -> str:
    """Measured beside estimated, in words; empty before a run was measured."""
    newest = {point.name: point.value for point in points}
    if PEAK not in newest:
        return ""
    if ESTIMATE not in newest:
        return f"Memory: peak {newest[PEAK]:.2f} GB, not estimated."
    off = newest[ESTIMATE] / newest[PEAK] - 1
    return f"Memory: peak {newest[PEAK]:.2f} GB, estimated {newest[ESTIMATE]:.2f} GB ({off:+.0%})."
