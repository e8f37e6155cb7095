"""The operator page, Train: what the chosen preset would need of this machine's memory, as bars."""

from assistant import device as machine
from assistant.base import BaseChoice
from feedback import parts as html
from feedback import plots
from feedback.errors import HoneError
from feedback.home import Home
from training import memory
from training.memory.fitting import RUNS, smallest
from training.memory.plan import precision_of
from training.memory.refusal import NOT_ENOUGH, fits, verdict
from training.memory.words import ALWAYS, PARTS, gb
from training.recipes import Recipe


def needs_html(home: Home, choice: BaseChoice, recipe: Recipe) -> html.Markup:
    """Bars for a full batch of the longest examples that the recipe allows; a sentence where none can be
    drawn."""
    kind, dtype, _ = machine.choose()
    quantization = "nf4" if choice.quantize == "auto" and kind == "cuda" else choice.quantize
    plan = memory.of_recipe(recipe, precision_of(dtype), quantization, kind)
    try:
        shape, device = memory.find(home, choice.model), memory.this_machine()
    except HoneError as error:
        return html.note(str(error))
    found = memory.estimate(shape, plan)
    parts = [(_headed(PARTS[name]), found.part(name).peak_bytes / 1e9) for name in _order()]
    free = device.free_bytes / 1e9
    bars = plots.stacked("Memory at most", parts, free, "GB", f"{free:.1f} GB are free on {device.name}.")
    why_not = "" if fits(found, device) else too_big(verdict(found, device), shape, plan, device)
    return html.join(f'<div class="op-needs" data-testid="needs">{bars}{why_not}</div>')


def too_big(said: str, shape: memory.Shape, plan: memory.Plan, device: memory.Device) -> html.Markup:
    """That it does not fit, and folded below it what to change, a line for each change with its cost."""
    change = smallest(shape, plan, device.free_bytes, RUNS)
    if change is None:
        return html.join(html.note(said, "bad"), html.note(NOT_ENOUGH))
    title = html.text(
        f"It fits with {html.plural(len(change.parts), 'change')}: {gb(change.estimate.peak_bytes)}"
    )
    lines = [
        html.tag("li", html.join(html.tag("b", html.text(_headed(what))), html.text(f" costs {lost}.")))
        for what, lost in change.parts
    ]
    return html.join(
        html.note(said, "bad"),
        html.tag(
            "details", html.join(html.tag("summary", title), html.tag("ol", html.join(*lines))), "op-changes"
        ),
    )


def _order() -> list[str]:
    """Of the bar: what is there at every moment comes first."""
    return [*ALWAYS, *(name for name in PARTS if name not in ALWAYS)]


def _headed(words: str) -> str:
    return words[:1].upper() + words[1:]
