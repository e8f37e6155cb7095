"""The operator page, Now: who answers, since when, who wants to; roll back."""

import gradio as gr

from assistant import registry
from assistant.fair_line import Traffic
from assistant.registry import ModelVersion
from feedback import parts as html
from feedback.store import Store
from training import gate, promotion
from training.page.desk import Desk, Part, Person, button, confirmation, name_of, say, shown

VERDICT_TONES: dict[str, html.Tone] = {"pass": "good", "fail": "bad", "not_enough_evidence": "unsure"}


def build(desk: Desk) -> Part:
    """Lay the part out in the current tab."""
    champion = gr.HTML(padding=False)
    with gr.Row(elem_classes="hone-actions"):
        opener = gr.Button("Roll back...", scale=0, elem_id="op-roll-back")
        why_not = gr.HTML(padding=False)
    asked = confirmation(desk, opener, "Yes, roll back", "stop")
    candidates = gr.HTML(padding=False)

    def roll_back(person: Person) -> object:
        before = promotion.previous(desk.store) or registry.champion(desk.store)
        with promotion.made_ready(desk.engine, desk.store, before.id):
            moved = promotion.roll_back(desk.store, desk.home, person.id)
        say(f"{moved.after.name} answers again, from the next reply on.")
        return shown(False)

    done = asked.yes.click(desk.handler(roll_back), None, asked.group)

    def draw(person: Person) -> tuple[object, ...]:
        before = promotion.previous(desk.store)
        return (
            champion_html(desk.store, desk.traffic()),
            button(before is not None),
            html.note("" if before else "There is no earlier champion to roll back to."),
            html.note(f"Let {before.name} answer again in place of the champion?" if before else ""),
            candidates_html(desk.store),
        )

    return Part([], [champion, opener, why_not, asked.question, candidates], draw, [done])


def waiting(store: Store) -> list[ModelVersion]:
    """The candidates: versions made by a run that have never been champion, newest first."""
    been = {move.to_version_id for move in registry.history(store)}
    found = [version for version in registry.listing(store) if version.run_id and version.id not in been]
    return sorted(found, key=lambda version: version.created_at, reverse=True)


def champion_html(store: Store, traffic: Traffic) -> html.Markup:
    """The champion, how it came to be, and how busy it was at this moment."""
    version, move = registry.champion(store), registry.history(store)[0]
    how = {
        "first": "It is the base model, the first champion",
        "promote": "Promoted",
        "rollback": "Put back by a rollback",
    }
    made = f"Base {version.base_id}" + (
        f", adapter from run {version.run_id}" if version.run_id else ", no adapter"
    )
    return html.join(
        '<div class="op-champion"><span class="hone-label">Answering now</span>',
        f'<h2 data-testid="champion">{html.text(version.name)}</h2>',
        f"<p>{how[move.kind]} {html.when(move.created_at)} by {html.text(name_of(store, move.user_id))}.</p>",
        f"<p>{html.text(made)}.</p>",
        f'<p data-testid="traffic">{html.text(traffic_in_words(traffic))}</p>',
        html.note(
            f"Promoted against the gate: {move.override_reason}" if move.override_reason else "", "unsure"
        ),
        "</div>",
    )


def traffic_in_words(now: Traffic) -> str:
    """How many replies were written and waited when the page asked."""
    writing = f"{now.writing} of at most {now.capacity} replies being written"
    return f"When this was drawn: {writing}, {now.waiting} of at most {now.most_waiting} waiting in line."


def candidates_html(store: Store) -> html.Markup:
    """Who waits for promotion, with the gate's word."""
    rows = [
        (
            html.tag("b", html.text(version.name)),
            verdict(store, version),
            html.code(version.run_id or "-"),
            html.when(version.created_at),
        )
        for version in waiting(store)
    ]
    title = html.tag("h3", "Candidates")
    if not rows:
        return html.join(
            title,
            html.empty(
                "No candidate is waiting.", "A finished run makes one: freeze a snapshot, then train."
            ),
        )
    return html.join(title, html.table(("Name", "Gate", "Run", "Made"), rows, "candidates"))


def verdict(store: Store, version: ModelVersion) -> html.Markup:
    """The gate's word on a version, against the present champion; an older word is marked as old."""
    if report := gate.report_against_champion(store, version.id):
        return html.badge(promotion.WORDS[report.verdict], VERDICT_TONES[report.verdict])
    if report := gate.report(store, version.id):
        return html.badge(f"{promotion.WORDS[report.verdict]}, against an earlier champion", "plain")
    return html.badge("not evaluated", "plain")
