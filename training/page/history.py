"""The operator page, History: promotions, runs, classifiers and the audit log."""

import gradio as gr

from assistant import registry
from feedback import audit
from feedback import parts as html
from feedback.errors import HoneError
from feedback.ids import ModelVersionId, RunId
from training import runs
from training.classify import heads as classifiers
from training.classify.heads import HeadInfo
from training.classify.report import WORDS_FOR
from training.page.classifier import accuracy, labels_of, report_link
from training.page.desk import Desk, Part, Person, name_of
from training.page.train import STATE_TONES
from training.runs import Run

NEWEST = 200
KINDS = {"first": "first champion", "promote": "promoted", "rollback": "rolled back to"}


def build(desk: Desk) -> Part:
    """Lay the part out in the current tab."""
    lists = gr.HTML(padding=False)

    def draw(person: Person) -> object:
        return html.join(promotions_html(desk), runs_html(desk), classifiers_html(desk), audit_html(desk))

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
    made = {info.run_id: info.name for info in classifiers.readable(desk.home) if info.run_id}
    rows = [
        (
            html.when(run.created_at),
            html.code(run.id),
            html.text(run.recipe.name),
            html.code(run.snapshot_id or run.dataset_id or ""),
            html.badge(run.state, STATE_TONES[run.state]),
            html.text(came_of(run, names, made)),
        )
        for run in runs.listing(desk.store)
    ]
    head = ("Made", "Run", "Recipe", "Learnt from", "State", "What came of it")
    listed = html.table(head, rows, "runs") if rows else html.empty("No run yet.", "Start one under Train.")
    return html.join(html.tag("h3", "Runs"), listed)


def came_of(run: Run, names: dict[ModelVersionId, str], made: dict[RunId, str]) -> str:
    """The name of what a run made, or why it made nothing."""
    return names[run.candidate_id] if run.candidate_id else made.get(run.id) or run.error or "-"


def classifiers_html(desk: Desk) -> html.Markup:
    """Every classifier, newest first, those that no run made too."""
    title = html.tag("h3", "Classifiers")
    try:
        known = classifiers.listing(desk.home)[::-1]
    except HoneError as error:
        return html.join(title, html.note(str(error), "bad"))
    if not known:
        todo = "Train one on labelled texts under Train, or in a terminal where the server runs:"
        return html.join(title, html.empty("No classifier yet.", todo, "hone train classify --data FILE"))
    names = {one.adapter_sha256: one.name for one in registry.listing(desk.store) if one.adapter_sha256}
    rows = [
        (
            html.join(html.tag("b", html.text(info.name)), html.note(labels_of(info)), report_link(info)),
            accuracy(info),
            html.text(WORDS_FOR[info.method]),
            html.join(html.text(started_from(info, names)), html.note(f"on {info.base_id}")),
            html.code(info.run_id) if info.run_id else html.text("-"),
            html.when(info.created_at),
        )
        for info in known
    ]
    head = ("Classifier", "Accuracy", "Way", "Started from", "Run", "Made")
    return html.join(title, html.table(head, rows, "classifiers"))


def started_from(info: HeadInfo, names: dict[str, str]) -> str:
    """The model version that it started from, or the base."""
    if info.base_adapter_sha256 is None:
        return "the base"
    return names.get(info.base_adapter_sha256, "a version not kept here")


def audit_html(desk: Desk) -> html.Markup:
    """Who did what, newest first."""
    rows = [
        (
            html.when(entry.at),
            html.text(entry.user_name),
            html.text(entry.action),
            html.code(entry.subject_id),
            html.text(
                ", ".join(f"{key}: {value}" for key, value in entry.detail.items() if value not in (None, ""))
            ),
        )
        for entry in audit.entries(desk.store, NEWEST)
    ]
    title = html.tag("h3", "Audit log")
    if not rows:
        return html.join(title, html.empty("Nothing yet.", "What operators do is kept here for good."))
    return html.join(title, html.table(("When", "Who", "What", "Which", "Detail"), rows, "audit"))
