"""The operator page, Gate: the report on a candidate in words and pictures, evaluate again, promote."""

from html import escape

import gradio as gr

from assistant import registry
from feedback import parts as html
from feedback import plots
from feedback.errors import HoneError
from feedback.markdown import to_html
from feedback.store import Store
from training import evaluating, gate, plot, promotion
from training.gate import BothAnswers, Check, GateReport
from training.page.desk import Desk, Part, Person, button, chosen, confirmation, say, shown
from training.page.now import VERDICT_TONES

HEADLINES = {
    "pass": "It passed. It is better than the champion on what people voted for, and it broke nothing.",
    "fail": "It failed.",
    "not_enough_evidence": "There is not enough evidence.",
}
KINDS = {
    "effect": "Does it do what the votes ask for?",
    "guard": "Did it break anything?",
    "information": "For information",
}


def build(desk: Desk) -> Part:
    """Lay the part out in the current tab."""
    picker = gr.Dropdown([], label="Candidate", elem_id="op-candidate")
    with gr.Row(elem_classes="hone-actions"):
        promote = gr.Button("Promote...", variant="primary", scale=0, elem_id="op-promote")
        again = gr.Button("Evaluate again", scale=0, elem_id="op-evaluate")
        why_not = gr.HTML(padding=False)
    asked = confirmation(desk, promote, "Yes, promote it")
    panel = gr.HTML(padding=False)

    def act(person: Person, candidate: str | None, reason: str) -> tuple[object, str]:
        with promotion.made_ready(desk.engine, desk.store, named(candidate)):
            moved = promotion.promote(desk.store, desk.home, person.id, named(candidate), reason or None)
        say(f"{moved.after.name} is the champion. It answers from the next reply on.")
        return shown(False), ""

    def measure(person: Person, candidate: str | None) -> None:
        evaluating.start(desk.store, desk.engine, desk.jobs, named(candidate))

    acts = [
        asked.yes.click(desk.handler(act), [picker, asked.reason], [asked.group, asked.reason]),
        again.click(desk.deed(measure), picker, None),
    ]

    def draw_one(person: Person, candidate: str | None) -> tuple[object, ...]:
        if candidate is None:
            todo = "A finished run makes one. Freeze a snapshot under Data, then start a run under Train."
            nothing = html.empty("There is no candidate to judge.", todo)
            return button(False), button(False), "", "", gr.update(), nothing
        if candidate == registry.champion(desk.store).id:
            why = "It is the champion. Its report shows how it became so."
            return (
                button(False),
                button(False),
                html.note(why),
                "",
                gr.update(),
                candidate_html(desk.store, candidate),
            )
        report = gate.report_against_champion(desk.store, candidate)
        return (
            button(True),
            button(True),
            html.note(promotion_note(report)),
            html.note(question(desk.store, candidate, report), "plain"),
            shown(report is None or report.verdict != "pass"),
            candidate_html(desk.store, candidate),
        )

    outputs = [promote, again, why_not, asked.question, asked.reason, panel]

    def draw(person: Person, candidate: str | None) -> tuple[object, ...]:
        known = judged(desk.store)
        selected = (
            candidate if candidate in [one for _, one in known] else next((one for _, one in known), None)
        )
        return chosen(known, candidate), *draw_one(person, selected)

    return Part([picker], [picker, *outputs], draw, acts, touched=[picker.input])


def judged(store: Store) -> list[tuple[str, str]]:
    """Versions for the list, as (shown, id): those that runs made, newest first, the champion last."""
    champion, made = registry.champion(store), [one for one in registry.listing(store) if one.run_id]
    ordered = sorted(made, key=lambda one: one.created_at, reverse=True)
    others = [(one.name, str(one.id)) for one in ordered if one.id != champion.id]
    return others + [(f"{one.name} (champion)", str(one.id)) for one in ordered if one.id == champion.id]


def named(candidate: str | None) -> str:
    """The candidate chosen. HoneError for none."""
    if not candidate:
        raise HoneError("There is no candidate.", todo="Train one first.")
    return candidate


def promotion_note(report: GateReport | None) -> str:
    """What pressing Promote would need."""
    if report is None:
        return "It has not been measured against this champion. Evaluate it, or give a typed reason."
    return "" if report.verdict == "pass" else "Without a pass, it can only be promoted with a typed reason."


def question(store: Store, candidate: str, report: GateReport | None) -> str:
    """What the operator is asked before a promotion."""
    names = registry.get(store, candidate).name, registry.champion(store).name
    asked = f"Let {names[0]} answer in place of {names[1]}? It can be rolled back."
    if report is not None and report.verdict == "pass":
        return asked
    word = (
        f"The gate's verdict is: {promotion.WORDS[report.verdict]}."
        if report
        else "The gate has not judged it."
    )
    return f"{asked} {word} Say why, in at least {promotion.MIN_REASON} characters."


def candidate_html(store: Store, candidate: str) -> html.Markup:
    """The newest report on a candidate, or that there is none."""
    report = gate.report(store, candidate)
    if report is None:
        return html.empty(
            "The gate has not judged this candidate yet.", "Press Evaluate again to measure it."
        )
    champion = registry.champion(store)
    fits = champion.id in (report.champion_id, candidate)
    old = "" if fits else "This report is against an earlier champion. Evaluate again."
    return html.join(html.note(old, "unsure"), report_html(report))


def report_html(report: GateReport) -> html.Markup:
    """A report: the verdict in words, each check, the margins, examples."""
    tone = VERDICT_TONES[report.verdict]
    badge = html.badge(promotion.WORDS[report.verdict], tone, "verdict")
    reasons = "".join(html.tag("li", html.text(reason)) for reason in report.reasons)
    head = html.join(
        f'<div class="op-verdict {tone}">', badge, html.tag("b", html.text(HEADLINES[report.verdict])),
        html.tag("ul", reasons), html.note(f"Snapshot {report.snapshot_id}, report {report.id}."), "</div>",
    )  # fmt: skip
    checks = [checks_html(KINDS[kind], [one for one in report.checks if one.kind == kind]) for kind in KINDS]
    return html.join(head, margins_html(report), *checks, examples_html(report.examples))


def margins_html(report: GateReport) -> html.Markup:
    """Each held-out prompt's margin, and their mean, as a picture."""
    drawn = plot.svg(report)
    title = html.tag("h3", "Margins on held-out prompts")
    return html.join(title, html.tag("div", drawn, "hone-card")) if drawn else html.Markup("")


def checks_html(title: str, checks: list[Check]) -> html.Markup:
    """Checks of one kind, a row each."""
    words: dict[bool | None, tuple[str, html.Tone]] = {
        True: ("ok", "good"), False: ("not met", "bad"), None: ("no bar", "plain")
    }  # fmt: skip
    rows = [
        (
            html.badge(*words[check.ok]),
            html.join(html.tag("b", html.text(check.title)), html.note(check.sentence)),
            html.tag("span", html.text(figure(check)), "hone-figure"),
            plots.interval(check.value, check.low, check.high, check.bar, check.ok),
        )
        for check in checks
    ]
    if not rows:
        return html.Markup("")
    return html.join(
        html.tag("h3", html.text(title)),
        html.table(("", "Check", "Value", "Against its bar"), rows, "checks"),
    )


def figure(check: Check) -> str:
    """The value with its interval."""
    value = plots.short(check.value)
    if check.low is None or check.high is None:
        return value
    return f"{value} ({plots.short(check.low)} to {plots.short(check.high)})"


def examples_html(examples: tuple[BothAnswers, ...]) -> html.Markup:
    """What both versions answered to the same held-out prompts."""
    if not examples:
        return html.Markup("")
    blocks = "".join(
        f'<div class="op-example"><p class="op-asked">{escape(one.prompt)}</p><div class="hone-two">'
        f"{_answer('Champion', one.champion)}{_answer('Candidate', one.candidate)}</div></div>"
        for one in examples
    )
    return html.join(html.tag("h3", "Replies to held-out prompts"), blocks)


def _answer(who: str, reply: str) -> str:
    return f'<div><span class="hone-label">{who}</span><div class="hone-md">{to_html(reply)}</div></div>'
