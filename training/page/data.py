"""The operator page, Data: what the votes give, freezing it, and filling the label queue."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from assistant import draw as drawing
from feedback import label, plots, snapshots, stats
from feedback import parts as html
from feedback.errors import HoneError
from feedback.snapshots import Preview, Snapshot
from feedback.stats import Counts
from feedback.store import Store
from prompts import library
from prompts.plain import ZERO_SHOT
from training.jobs import Report
from training.page.desk import Desk, Part, Person, button, say, shown

STARTERS = Path(__file__).parent.parent / "data" / "prompts.txt"
CHUNK_PROMPTS = 4
"""Prompts drawn between two looks at Stop. Few: people who chat wait while the model draws."""

STARTER, PASTED, BRANCHES = "Starter prompts", "Pasted prompts", "Branches of people's own chats"


def build(desk: Desk) -> Part:
    """Lay the part out in the current tab."""
    overview = gr.HTML(padding=False)
    with gr.Row(elem_classes="hone-actions"):
        freeze = gr.Button("Freeze snapshot", variant="primary", scale=0, elem_id="op-freeze")
        freeze_note = gr.HTML(padding=False)
    frozen = gr.HTML(padding=False)

    def act(person: Person) -> None:
        prompt_version = library.production(desk.store, ZERO_SHOT).id
        snapshot = snapshots.freeze(desk.store, person.id, desk.engine.template.sha256, prompt_version)
        say(f"Snapshot {snapshot.id}: {pairs_of(snapshot)}. Next: train on it.")

    done = freeze.click(desk.deed(act), None, None)
    queue, queued = _queue(desk)

    def draw(person: Person) -> tuple[object, ...]:
        counts, preview, known = (
            stats.counts(desk.store),
            snapshots.preview(desk.store),
            snapshots.listing(desk.store),
        )
        why_not = "" if preview.pairs else "There is nothing to freeze: no vote has given a pair yet."
        nothing = not preview.pairs and not counts.label_tasks_open
        return (
            overview_html(counts, preview),
            button(not why_not),
            html.note(why_not),
            frozen_html(known, preview),
            gr.update(open=True) if nothing else gr.update(),
        )

    return Part([], [overview, freeze, freeze_note, frozen, queue], draw, [done, queued])


def _queue(desk: Desk) -> tuple[gr.Accordion, Any]:
    """The form that fills the label queue, and the event after which it grew."""
    with gr.Accordion("Add label tasks", open=False, elem_id="op-queue") as form:
        gr.HTML(
            html.note("The champion answers each prompt two or more times; labellers then rank the replies."),
            padding=False,
        )
        source = gr.Radio([STARTER, PASTED, BRANCHES], value=STARTER, label="From", elem_id="op-source")
        count = gr.Slider(4, 120, 24, step=4, label="How many prompts")
        pasted = gr.Textbox(label="Prompts, one a line", lines=5, max_lines=14, visible=False)
        each = gr.Slider(2, 4, 2, step=1, label="Replies to each")
        start = gr.Button("Add to the queue", variant="primary", elem_id="op-draw")

    def choose(person: Person, chosen: str) -> tuple[object, ...]:
        return shown(chosen == STARTER), shown(chosen == PASTED), shown(chosen != BRANCHES)

    source.change(desk.handler(choose), source, [count, pasted, each], queue=False, show_progress="hidden")

    def act(person: Person, chosen: str, wanted: float, lines: str, replies_each: float) -> None:
        if chosen == BRANCHES:
            found = label.enqueue_branches(desk.store)
            say(f"{html.plural(found, 'task')} queued from people's own chats.")
            return
        prompts = starters(desk.store, int(wanted)) if chosen == STARTER else asked_lines(lines)
        start_drawing(desk, prompts, int(replies_each))

    return form, start.click(desk.deed(act), [source, count, pasted, each], None)


def asked_lines(lines: str) -> list[str]:
    """What a person pasted: a prompt a line. HoneError for nothing."""
    prompts = [line.strip() for line in lines.splitlines() if line.strip()]
    if not prompts:
        raise HoneError("There are no prompts.", todo="Paste one or more, each on a line of its own.")
    return prompts


def starters(store: Store, count: int) -> list[str]:
    """The first `count` shipped prompts, those that have not been drawn yet before those that have."""
    shipped = [line for line in STARTERS.read_text(encoding="utf-8").splitlines() if line.strip()]
    known = drawing.already_drawn(store)
    return sorted(shipped, key=lambda prompt: prompt in known)[:count]


def start_drawing(desk: Desk, prompts: Sequence[str], replies_each: int) -> None:
    """Draw in the background, a few prompts at a time; each few are in the queue at once."""
    title = "Drawing label tasks"

    def work(report: Report, stop: threading.Event) -> str:
        made = 0
        report(title, 0, len(prompts))
        for first in range(0, len(prompts), CHUNK_PROMPTS):
            if stop.is_set():
                break
            few = prompts[first : first + CHUNK_PROMPTS]
            made += len(
                drawing.draw_tasks(desk.store, desk.engine, drawing.plainly(desk.store, few, replies_each))
            )
            report(title, min(first + CHUNK_PROMPTS, len(prompts)), len(prompts))
        alike = (
            "" if made == len(prompts) or stop.is_set() else " The others got replies that were all alike."
        )
        return f"{html.plural(made, 'label task')} queued.{alike}"

    desk.jobs.start(title, work)


def pairs_of(snapshot: Snapshot) -> str:
    return f"{html.plural(snapshot.train_pairs, 'pair')} to train on, {snapshot.held_out_pairs} held out"


def overview_html(counts: Counts, preview: Preview) -> html.Markup:
    """What there is, what it gives, and what was left out and why."""
    sources = ", ".join(f"{count} {source}" for source, count in counts.votes.items())
    tiles = html.tiles(
        ("pairs available", preview.pairs, f"{preview.train} to train on, {preview.held_out} held out"),
        ("votes", sum(counts.votes.values()), sources or "none yet"),
        ("other judgements", counts.ratings_up + counts.ratings_down + counts.demonstrations,
         f"{counts.ratings_up} up, {counts.ratings_down} down, {counts.demonstrations} written"),
        ("label tasks open", counts.label_tasks_open, f"{counts.label_tasks_done} done"),
    )  # fmt: skip
    if not preview.pairs:
        todo = "Chat and vote, or add label tasks below and rank them on the Label page."
        return html.join(tiles, html.empty("No pairs yet.", todo))
    left_out = {**preview.dropped, "said again of a pair that is there": preview.duplicates}
    reasons = [(html.text(reason), html.text(count)) for reason, count in left_out.items() if count]
    dropped = html.table(("Not used, because", "Count"), reasons, "dropped") if reasons else ""
    lengths = html.tag("div", plots.word_histogram(preview.chosen_words, preview.rejected_words), "hone-card")
    return html.join(tiles, lengths, html.tag("h3", "Left out") if dropped else "", dropped)


def frozen_html(known: Sequence[Snapshot], preview: Preview) -> html.Markup:
    """The snapshots, newest first."""
    title = html.tag("h3", "Snapshots")
    if not known:
        todo = "Freezing fixes today's pairs for good, so that a run can be repeated and a report believed."
        return html.join(title, html.empty("Nothing is frozen yet.", todo))
    rows = [
        (
            html.code(one.id),
            html.text(one.train_pairs),
            html.text(one.held_out_pairs),
            html.when(one.created_at),
        )
        for one in known
    ]
    newest = known[0].train_pairs + known[0].held_out_pairs
    news = (
        f"{html.plural(preview.pairs - newest, 'pair')} more than in the newest."
        if preview.pairs > newest
        else ""
    )
    head = ("Snapshot", "To train on", "Held out", "Frozen")
    return html.join(title, html.note(news), html.table(head, rows, "snapshots"))
