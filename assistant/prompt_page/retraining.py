"""The prompt page, Prompt or retrain: a better prompt, a retrained model, or both, by the same votes."""

from operator import itemgetter

import gradio as gr

from assistant import prompt_people, registry
from assistant.prompt_ask import Asked
from assistant.prompt_page import asking, html
from assistant.prompt_page.desk import Desk, described
from assistant.prompt_page.serving import Picked
from assistant.prompt_people import Answer
from feedback import parts
from feedback.errors import HoneError
from feedback.handlers import Part, chosen
from feedback.people import Person
from feedback.store import Store
from prompts import library
from prompts.retrain import FEWEST_VOTES, Cell, Report

AUTO = "auto"


def build(desk: Desk, picked: Picked) -> Part:
    """Lay the part out in the current tab."""
    with gr.Row():
        old = gr.Dropdown([], label="Old model", elem_id="pp-old", filterable=False, min_width=180)
        new = gr.Dropdown([], label="New model", elem_id="pp-new", filterable=False, min_width=180)
        best = gr.Dropdown([], label="Better prompt", elem_id="pp-best", filterable=False, min_width=220)
    panel = gr.HTML(padding=False)
    controls = [old, new, best]
    asking.build(
        desk,
        controls,
        lambda *values: makers(desk, *values),
        "the plain and the better prompt on both models",
    )

    def draw(person: Person, one: str, other: str, prompt: str) -> tuple[object, ...]:
        models = [(version.name, str(version.id)) for version in registry.listing(desk.store)]
        prompts = [(f"{v.name}, {described(v)}", str(v.id)) for v in library.versions(desk.store)]
        lists = (
            [("The champion before it", AUTO), *models],
            [("The champion", AUTO), *models],
            [("The one that does best on the old model", AUTO), *prompts],
        )
        given = (one, other, prompt)
        kept = [
            value if value in map(itemgetter(1), c) else AUTO for value, c in zip(given, lists, strict=True)
        ]
        updates = [chosen(c, value) for c, value in zip(lists, given, strict=True)]
        return (*updates, panel_html(desk, *kept))

    return Part(controls, [*controls, panel], draw, touched=[control.input for control in controls])


def found_for(desk: Desk, old: str, new: str, best: str) -> Answer:
    """The comparison of what is chosen."""
    one, other, prompt = (None if given in (AUTO, None) else given for given in (old, new, best))
    return prompt_people.prompt_or_retrain(desk.store, one, other, prompt, desk.people())


def makers(desk: Desk, old: str, new: str, best: str) -> list[Asked]:
    """The four cells, to answer the same questions. HoneError when there is nothing to compare."""
    found = found_for(desk, old, new, best)
    if found.report is None:
        raise HoneError("There is nothing to compare yet.", found.said)
    four = [cell.maker for cell in found.report.cells]
    return [Asked(one.prompt_version_id, one.model_version_id) for one in four]


def panel_html(desk: Desk, old: str, new: str, best: str) -> parts.Markup:
    """The verdict and the four cells."""
    try:
        found = found_for(desk, old, new, best)
    except HoneError as error:
        return parts.empty("This cannot be compared.", str(error))
    if found.report is None:
        return parts.empty("There is nothing to compare yet.", found.said)
    return parts.join(
        f'<div class="pp-verdict" data-testid="verdict">{parts.text(found.said)}</div>',
        cells_html(desk.store, found.report),
        parts.note(
            "Wins are against the plain prompt on the old model, from every vote that leads from one to the"
            f" other. A cell with fewer than {FEWEST_VOTES} votes is not judged."
        ),
    )


def cells_html(store: Store, report: Report) -> parts.Markup:
    """Two by two: plain and better prompt, old and new model."""
    choice = report.choice
    old, new = registry.get(store, choice.old).name, registry.get(store, choice.new).name
    plain = _prompt(store, choice.plain)
    rows = [(plain, report.today, report.retrained)]
    if choice.best and report.prompted and report.both:
        rows.append((_prompt(store, choice.best), report.prompted, report.both))
    table = [(name, _cell(one, one is report.today), _cell(other, False)) for name, one, other in rows]
    return parts.table(("Prompt", f"Old model: {old}", f"New model: {new}"), table, "cells")


def _prompt(store: Store, version_id: library.PromptVersionId) -> parts.Markup:
    record = library.record(store, version_id)
    return parts.join(parts.tag("b", parts.text(record.name)), "<br>", parts.code(version_id))


def _cell(cell: Cell, today: bool) -> parts.Markup:
    thumbs = parts.tag("div", f"Thumbs: {html.liked(cell.liked, cell.thumbs.total)}", "pp-thin")
    if today:
        words = f"where you stand today, {parts.plural(cell.votes, 'vote')}"
        return parts.join(parts.tag("span", words, "pp-thin"), thumbs)
    if cell.too_few:
        few = parts.badge("too little data", "unsure")
        said = parts.plural(cell.votes, "vote")
        return parts.join(few, parts.tag("div", f"{said} of {FEWEST_VOTES}", "pp-thin"), thumbs)
    return parts.join(html.win_rate(cell.win_rate, cell.votes), thumbs)
