"""`hone memory`: what a run would need, part by part, before it is started; with `--measure`, what it
took.
"""

from dataclasses import dataclass, replace
from typing import Any

import click

from assistant import device as machine
from feedback.command_line import home_option, json_option, say
from feedback.errors import HoneError
from feedback.home import Home
from training import memory
from training.memory import notes
from training.memory.measure import measured_bytes
from training.memory.plan import (
    ADAPTS,
    BY_BASE,
    METHODS,
    OPTIMISERS,
    PRECISIONS,
    TEXTS,
    TRUNKS,
    Plan,
    built_for_cuda,
    precision_of,
)
from training.memory.refusal import advice, fits, verdict
from training.memory.words import MOMENTS, PARTS, gb


@dataclass(frozen=True)
class Answer:
    """What the command says, for programs. `change`: what would make it fit, where it does not."""

    model: str
    parameters: int
    plan: Plan
    estimate: memory.Estimate
    device: memory.Device
    fits: bool
    change: str
    measured_bytes: int | None


@click.command("memory")
@click.option(
    "--model", default="embedded", show_default=True, help="embedded, gpt2 or gpt2-large, a folder, a Hub id."
)
@click.option("--method", type=click.Choice(METHODS), default="sft", show_default=True)
@click.option("--adapt", type=click.Choice(ADAPTS[:-1]), default="lora", show_default=True)
@click.option("--rank", default=16, show_default=True, type=click.IntRange(1), help="Of LoRA.")
@click.option(
    "--trainable",
    type=click.IntRange(1),
    default=None,
    help="Numbers that another adaptation trains (IA3, ...).",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=None,
    help="Default: fp32 for full, else this machine's.",
)
@click.option("--optimiser", type=click.Choice(OPTIMISERS), default="adamw", show_default=True)
@click.option("--batch", default=4, show_default=True, type=click.IntRange(1), help="Examples at once.")
@click.option(
    "--accumulation",
    default=None,
    type=click.IntRange(1),
    help="Batches to a step (default: 2; classify: 1).",
)
@click.option(
    "--length", default=512, show_default=True, type=click.IntRange(2), help="Tokens of an example."
)
@click.option(
    "--prompt", default=None, type=click.IntRange(0), help="Of them, before the answer (default: half)."
)
@click.option(
    "--texts",
    default=TEXTS,
    show_default=True,
    type=click.IntRange(2),
    help="That a frozen trunk is read for.",
)
@click.option(
    "--quantize",
    "trunk",
    type=click.Choice(TRUNKS),
    default="none",
    show_default=True,
    help="That trunk; what is trained beside a quantised base says it by --adapt.",
)
@click.option("--checkpointing", is_flag=True, help="Keep each layer's input alone, and compute it twice.")
@click.option(
    "--device",
    "device_name",
    default=None,
    help='A GPU (t4, a100-80, ...) or "24 GB"; default: this machine.',
)
@click.option("--measure", is_flag=True, help="Train two steps, on random weights where none are here.")
@click.option(
    "--notes", "as_notes", is_flag=True, help="Reproduce the notes' figures for GPT-2 small and large."
)
@json_option
@home_option
def memory_command(home: Home, as_json: bool, as_notes: bool, measure: bool, **given: Any) -> None:
    """What training would need of memory, before it is started."""
    if as_notes:
        say(notes.told(), notes.cases(), as_json)
        return
    found = _answer(home, **given)
    if measure:
        took = measured_bytes(home, given["model"], found.plan)
        found = replace(found, measured_bytes=took)
    say(_told(found), found, as_json)


def _answer(home: Home, model: str, device_name: str | None, trainable: int | None, **given: Any) -> Answer:
    shape = memory.find(home, model)
    device = memory.named(device_name) if device_name else memory.this_machine()
    given["precision"] = given["precision"] or _precision(given["method"], given["adapt"], device)
    given["accumulation"] = given["accumulation"] or (1 if given["method"] == "classify" else 2)
    _check_classifier(**given)
    if trainable is not None:
        given |= {"adapt": "other", "trainable": lambda _shape: trainable}
    here = device_name is None and built_for_cuda()
    plan = memory.make(device=device.kind, cuda_build=here, **given)
    found = memory.estimate(shape, plan)
    enough = fits(found, device)
    said = "" if enough else advice(shape, plan, device)
    # A function is nothing for a program to read; how many numbers it gave is in the estimate.
    return Answer(
        shape.name, shape.parameters, replace(plan, trainable=None), found, device, enough, said, None
    )


def _check_classifier(method: str, adapt: str, accumulation: int, trunk: str, **_given: Any) -> None:
    """HoneError for what classifiers alone can do, and for what they cannot."""
    if adapt == "frozen" and method != "classify":
        raise HoneError(
            f"{method} trains no frozen model.", "A classifier alone does.", "Add --method classify."
        )
    if trunk != "none" and adapt != "frozen":
        raise HoneError(f"A LoRA on a base in {trunk} is named so.", "", f"Write --adapt {BY_BASE[trunk]}.")
    if method == "classify" and accumulation > 1:
        raise HoneError("A classifier takes a step at each batch.", "", "Leave --accumulation out.")


def _precision(method: str, adapt: str, device: memory.Device) -> str:
    """As a run of Hone's has it where nothing is said. Full tuning is the plain loop, in fp32."""
    here = "bf16" if device.kind == "cuda" else precision_of(machine.choose()[1])
    if adapt != "full":
        return here
    return "mixed" if method == "classify" and here == "bf16" else "fp32"


def _size(plan: Plan) -> str:
    if plan.adapt == "frozen":
        return f"{plan.texts:,} texts of {plan.length} tokens"
    return f"{plan.optimiser}, batch {plan.batch}, {plan.length} tokens"


def _told(found: Answer) -> str:
    plan, peak = found.plan, found.estimate.peak_bytes
    lines = [
        f"{found.model}, {found.parameters / 1e6:.1f} M numbers, of which "
        f"{found.estimate.trained / 1e6:.2f} M are trained: {plan.method}, {plan.adapt}, "
        f"{plan.precision}, {_size(plan)}.",
        "",
        f"{'GB':>26} {'at the peak':>12} {'at most':>9}",
    ]
    lines += [
        f"  {PARTS[part.name]:<22} {part.peak_bytes / 1e9:>12.3f} {part.most_bytes / 1e9:>10.3f}"
        for part in found.estimate.parts
        if part.most_bytes
    ]
    lines.append(f"  {'sum':<22} {peak / 1e9:>12.3f}")
    lines.append(f"The peak is {MOMENTS[found.estimate.moment]}; parts at their most are never all at once.")
    if found.measured_bytes:
        off = peak / found.measured_bytes - 1
        lines.append(f"Measured: {gb(found.measured_bytes)}; the estimate is off by {off:+.0%}.")
    lines.append(verdict(found.estimate, found.device))
    return "\n".join([*lines, *([found.change] if found.change else [])])
