"""A run that cannot fit is refused before it starts, with the smallest change that would fit."""

from __future__ import annotations

from feedback.errors import HoneError
from training.memory.devices import Device, this_machine
from training.memory.fitting import RUNS, STEPS, Steps, smallest
from training.memory.formulas import Estimate, estimate
from training.memory.plan import Plan
from training.memory.shape import Shape
from training.memory.words import MOMENTS, gb

NOT_ENOUGH = "No change of settings is enough: choose a smaller model or a larger device."


def sentence(found: Estimate, device: Device) -> str:
    """The estimate in one sentence, for a run's log."""
    return (
        f"Memory: about {gb(found.peak_bytes)} by estimate, {MOMENTS[found.moment]}; "
        f"{gb(device.free_bytes)} are free on {device.name}."
    )


def fits(found: Estimate, device: Device) -> bool:
    """Whether it is free now."""
    return found.peak_bytes <= device.free_bytes


def verdict(found: Estimate, device: Device) -> str:
    """Whether it fits, in one sentence."""
    said = "fits" if fits(found, device) else "does not fit"
    return f"It {said} on {device.name}: {gb(device.free_bytes)} free of {gb(device.total_bytes)}."


def advice(shape: Shape, plan: Plan, device: Device, steps: Steps = STEPS) -> str:
    """What to change so that it fits. `steps`: the kinds of changes that can be made."""
    change = smallest(shape, plan, device.free_bytes, steps)
    if change is None:
        return NOT_ENOUGH
    return f"It fits with {change.words}: {gb(change.estimate.peak_bytes)}. That costs {change.costs}."


def refuse_if_too_big(shape: Shape, plan: Plan, device: Device | None = None) -> Estimate:
    """The estimate of a run that fits; HoneError with the smallest change for one that does not."""
    device = device or this_machine()
    found = estimate(shape, plan)
    if not fits(found, device):
        raise HoneError(
            f"The run does not fit into the memory of {device.name}.",
            f"It needs about {gb(found.peak_bytes)}, and {gb(device.free_bytes)} are free.",
            advice(shape, plan, device, RUNS),
        )
    return found
