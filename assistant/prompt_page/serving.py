"""The prompt page, first part: which strategy and version one looks at, what serves, and moving it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.prompt_page import html
from assistant.prompt_page.desk import Desk, described, first_version, strategy_choices, version_choices
from feedback import parts
from feedback.errors import HoneError
from feedback.handlers import QUIET, TELLS, Part, button, chosen, confirmation, say, shown
from feedback.ids import PromptVersionId
from feedback.people import Person
from feedback.store import Store
from prompts import labels, library, overview, service, standings, trials
from prompts.library import VersionRecord
from prompts.overview import Overview
from prompts.plain import ZERO_SHOT
from prompts.service import Served
from prompts.standings import People, Standing


@dataclass(frozen=True)
class Picked:
    """What the whole page is about: a strategy, and one of its versions.

    `shown`: that version's id. Its change is what other parts follow, for a dropdown's own comes whenever its
    choices are drawn anew; and it is what they ask for, for Gradio refuses a dropdown's value that a browser
    sent before it knew of other choices. Whoever sets `version` sets `shown` too.
    """

    strategy: gr.Dropdown
    version: gr.Dropdown
    shown: gr.State


def build(desk: Desk, page: gr.Blocks) -> tuple[Picked, Part]:
    """Lay out the pickers and the buttons above all tabs."""
    with gr.Row(elem_classes="pp-picker"):
        strategy = gr.Dropdown([], label="Strategy", elem_id="pp-strategy", filterable=False, min_width=220)
        version = gr.Dropdown(
            [], label="Version", elem_id="pp-version", filterable=False, scale=2, min_width=260
        )
    now: gr.State = gr.State(None)
    headline = gr.HTML(padding=False)
    with gr.Row(elem_classes="hone-actions"):
        opener = gr.Button("Put in production...", variant="primary", scale=0, elem_id="pp-put")
        back = gr.Button("Go back...", scale=0, elem_id="pp-back")
        why_not = gr.HTML(padding=False)
    put_asked = confirmation(desk, opener, "Yes, let it answer")
    back_asked = confirmation(desk, back, "Yes, go back", "stop")

    def put(person: Person, version_id: str | None, note: str) -> tuple[object, str]:
        say(moved(service.put(desk.store, person.id, named(version_id), note)))
        return shown(False), ""

    def go_back(person: Person, name: str | None, note: str) -> tuple[object, str]:
        say(moved(service.go_back(desk.store, person.id, name or "", note)))
        return shown(False), ""

    acts = [
        put_asked.yes.click(desk.handler(put), [now, put_asked.reason], [put_asked.group, put_asked.reason]),
        back_asked.yes.click(
            desk.handler(go_back), [strategy, back_asked.reason], [back_asked.group, back_asked.reason]
        ),
    ]

    # What was about to be confirmed was about another version.
    now.change(lambda: (shown(False), shown(False)), None, [put_asked.group, back_asked.group], **QUIET)

    def draw(person: Person, picked: str | None, version_id: str | None) -> tuple[object, ...]:
        names = strategy_choices(desk.store)
        name = picked if picked in [one for _, one in names] else names[0][1]
        choices = version_choices(desk.store, name)
        kept = version_id if version_id in [one for _, one in choices] else first_version(desk.store, name)
        record = library.record(desk.store, PromptVersionId(kept or ""))
        can_put, why = put_state(desk.store, record)
        return (
            chosen(names, picked),
            chosen(choices, version_id, kept),
            kept,
            headline_html(desk.store, record),
            button(can_put),
            button(labels.can_go_back(desk.store, name)),
            parts.note(why),
            parts.note(put_question(desk.store, record)),
            shown(True),
            parts.note(back_question(desk.store, name)),
            shown(True),
        )

    outputs = [
        *(strategy, version, now, headline, opener, back, why_not),
        *(put_asked.question, put_asked.reason, back_asked.question, back_asked.reason),
    ]
    version.input(desk.handler(lambda person, version_id: version_id), version, now, **TELLS)
    touched = [page.load, strategy.input]
    return Picked(strategy, version, now), Part([strategy, now], outputs, draw, acts, touched, tells=True)


def build_list(desk: Desk, picked: Picked) -> Part:
    """Lay out the lists of versions and strategies in the current tab."""
    versions = gr.HTML(padding=False)
    strategies = gr.HTML(padding=False)
    moves = gr.HTML(padding=False)

    def draw(person: Person, name: str | None) -> tuple[object, ...]:
        people = desk.people()
        if name is None:
            return "", strategies_html(desk.store, people), ""
        return (
            versions_html(desk.store, people, name),
            strategies_html(desk.store, people),
            moves_html(desk.store, name),
        )

    return Part([picked.strategy], [versions, strategies, moves], draw)


def named(version_id: str | None) -> PromptVersionId:
    """The version chosen. HoneError for none."""
    if not version_id:
        raise HoneError("No version is chosen.", todo="Choose one first.")
    return PromptVersionId(version_id)


def moved(done: Served) -> str:
    """What a move did, for the notice."""
    ended = " The trial is ended." if done.ended_trial else ""
    if done.version_id is None:
        return f"{done.name} serves no more; chats offer it no longer.{ended}"
    return f"{done.name} is answered by {done.version_id} from the next reply on.{ended}"


def put_state(store: Store, record: VersionRecord) -> tuple[bool, str]:
    """Whether the version can be put in production, and why not."""
    if "production" not in record.labels:
        return True, ""
    if trials.running(store, record.name):
        return (
            True,
            "It is in production, and a trial divides its conversations. Putting it there ends the trial.",
        )
    return False, "This version is in production."


def put_question(store: Store, record: VersionRecord) -> str:
    """What is asked before a move."""
    before = labels.in_production(store, record.name)
    instead = f" in place of {before}" if before and before != record.id else ""
    ends = " The trial under way ends." if trials.running(store, record.name) else ""
    return f"Let {record.id} answer everybody who chats by {record.name}{instead}? One can go back.{ends}"


def back_question(store: Store, name: str) -> str:
    """What is asked before going back."""
    before = labels.previous(store, name)
    ends = " The trial under way ends." if trials.running(store, name) else ""
    if before is None:
        return f"Take {name} out of service? No chat offers it then; its versions stay.{ends}"
    return f"Let {before} answer again, in place of {labels.in_production(store, name)}?{ends}"


def headline_html(store: Store, record: VersionRecord) -> parts.Markup:
    """The version that one looks at, in a line: its labels, who made it, from what."""
    badges = [
        parts.badge(label, "good" if label == "production" else "busy", label) for label in record.labels
    ]
    if trial := trials.running(store, record.name):
        share = next((arm.share for arm in trial.arms if arm.version_id == record.id), None)
        said = f"trial: {share:.0%} of conversations" if share else "a trial is running"
        badges.append(parts.badge(said, "unsure", "trial"))
    parent = f", made from {record.parent_id}" if record.parent_id else ""
    made = parts.join(parts.text(f"{record.made_by}{parent}, "), parts.when(record.created_at))
    note = parts.note(record.note)
    return parts.join(
        '<div class="pp-headline" data-testid="headline">', parts.code(record.id), *badges,
        f'<span class="pp-thin">{made}</span>{note}</div>',
    )  # fmt: skip


def versions_html(store: Store, people: People, name: str) -> parts.Markup:
    """Every version of a strategy, and how each does against what is in production."""
    records = library.versions(store, name)
    serving = labels.in_production(store, name)
    reference = serving or records[0].id
    found = standings.standings(people, [one.id for one in records], reference)
    rows = [
        _version_row(record, standing, reference) for record, standing in zip(records, found, strict=True)
    ]
    title = parts.tag("h3", parts.text(f"Versions of {name}"))
    head = ("Version", f"Wins against {'production' if serving else reference}", "Thumbs", "Note", "Made")
    return parts.join(title, parts.table(head, rows, "versions"))


def _version_row(record: VersionRecord, standing: Standing, reference: str) -> Sequence[parts.Markup]:
    badges = [parts.badge(label, "good" if label == "production" else "busy") for label in record.labels]
    rate = (
        parts.tag("span", "the others are held against it", "pp-thin")
        if record.id == reference
        else html.win_rate(standing.win_rate, standing.votes_against)
    )
    return (
        parts.join(parts.code(record.id), " ", *badges),
        rate,
        html.thumbs(standing),
        parts.tag("div", parts.text(record.note), "pp-note") if record.note else parts.Markup(""),
        parts.join(parts.text(record.made_by), "<br>", parts.when(record.created_at)),
    )


def strategies_html(store: Store, people: People) -> parts.Markup:
    """Every strategy: what serves, and how it does against the plain question."""
    every = overview.read(store)
    plain = next((one.production for one in every if one.name == ZERO_SHOT), None)
    asked = [one.production for one in every if one.production]
    found = {one.version_id: one for one in standings.standings(people, asked, plain)} if plain else {}
    rows = [_strategy_row(store, one, found, plain) for one in every]
    head = ("Strategy", "In production", f"Wins against {ZERO_SHOT}", "Thumbs", "Draft")
    return parts.join(parts.tag("h3", "All strategies"), parts.table(head, rows, "strategies"))


def _strategy_row(
    store: Store, one: Overview, found: dict[PromptVersionId, Standing], plain: PromptVersionId | None
) -> Sequence[parts.Markup]:
    serving, draft = one.production, one.draft
    standing = found.get(serving) if serving else None
    rate = (
        html.win_rate(standing.win_rate, standing.votes_against)
        if standing and serving != plain
        else parts.text("-")
    )
    on_trial = parts.badge("trial", "unsure") if trials.running(store, one.name) else ""
    return (
        parts.join(parts.tag("b", parts.text(one.title or one.name)), " ",
                   parts.tag("span", parts.text(one.name), "pp-thin")),
        parts.join(parts.code(serving), " ", on_trial) if serving else parts.badge("not in service", "plain"),
        rate,
        html.thumbs(standing) if standing else parts.text("-"),
        parts.code(draft) if draft and draft != serving else parts.text("-"),
    )  # fmt: skip


def moves_html(store: Store, name: str) -> parts.Markup:
    """Where production has been, the latest move first."""
    words = {"shipped": "followed its file", "put": "put in production", "back": "went back"}
    rows = [
        (
            parts.when(move.created_at),
            parts.text(words[move.kind]),
            parts.code(move.to_id) if move.to_id else parts.text("out of service"),
            parts.text(move.user_name),
            parts.text(move.note),
        )
        for move in labels.moves(store, name)
    ]
    title = parts.tag("h3", parts.text(f"Moves of production, {name}"))
    return (
        parts.join(title, parts.table(("When", "What", "To", "Who", "Why"), rows, "moves")) if rows else title
    )


__all__: list[Any] = ["Picked", "build", "build_list", "described", "named"]
