"""The operator page, History: promotions, runs and the audit log."""

import gradio as gr

from assistant import registry
from feedback import audit
from feedback import parts as html
from training import runs
from training.page.desk import Desk, Part, Person, name_of
from training.page.train import STATE_TONES

NEWEST = 200
KINDS = {"first": "first champion", "promote": "promoted", "rollback": "rolled back to"}


def build(desk: Desk) -> Part:
    """Lay the part out in the current tab."""
    lists = gr.HTML(padding=False)

    def draw(person: Person) -> object:
        return html.join(promotions_html(desk), runs_html(desk), audit_html(desk))

    return Part([], [lists], draw)


def promotions_html(desk: Desk) -> html.Markup:
    """Every move of the champion pointer, newest first."""
    names = {version.id: version.name for version in registry.listing(desk.store)}
    rows = [
        (
            html.when(move.created_at),
            html.join(html.text(KINDS[move.kind]), " ", html.tag("b", html.text(names[move.to_version_id]))),
            html.text(names[move.from_version_id] if move.from_version_id else "-"),
            html.text(name_of(desk.store, move.user_id)),
            html.text(move.override_reason or ""),
        )
        for move in registry.history(desk.store)
    ]
    head = ("When", "What", "Before", "By", "Override")
    return html.join(html.tag("h3", "Champions"), html.table(head, rows, "promotions"))


def runs_html(desk: Desk) -> html.Markup:
    """Every run, newest first."""
    names = {version.id: version.name for version in registry.listing(desk.store)}
    rows = [
        (
            html.when(run.created_at),
            html.code(run.id),
            html.text(run.recipe.name),
            html.code(run.snapshot_id or run.dataset_id or ""),
            html.badge(run.state, STATE_TONES[run.state]),
            html.text(names[run.candidate_id] if run.candidate_id else run.error or "-"),
        )
        for run in runs.listing(desk.store)
    ]
    head = ("Made", "Run", "Recipe", "Learnt from", "State", "What came of it")
    listed = html.table(head, rows, "runs") if rows else html.empty("No run yet.", "Start one under Train.")
    return html.join(html.tag("h3", "Runs"), listed)


def audit_html(desk: Desk) -> html.Markup:
    """Who did what, newest first."""
    rows = [
        (
            html.when(entry.at),
            html.text(entry.user_name),
            html.text(entry.action),
            html.code(entry.subject_id),
            html.text(
                ", ".join(f"{key}: {value}" for key, value in entry.detail.items() if value is not None)
            ),
        )
        for entry in audit.entries(desk.store, NEWEST)
    ]
    title = html.tag("h3", "Audit log")
    if not rows:
        return html.join(title, html.empty("Nothing yet.", "What operators do is kept here for good."))
    return html.join(title, html.table(("When", "Who", "What", "Which", "Detail"), rows, "audit"))
