"""The prompt page, Trial: a strategy's conversations divided between versions, and how each does."""

import gradio as gr

from assistant.prompt_ask import Asked
from assistant.prompt_page import asking, html
from assistant.prompt_page.desk import Desk, version_choices
from assistant.prompt_page.serving import Picked
from feedback import parts
from feedback.errors import HoneError
from feedback.handlers import Part, button, confirmation, redrawn, say, shown
from feedback.ids import PromptVersionId
from feedback.people import Person
from feedback.store import Store
from prompts import labels, library, standings, trials
from prompts.bradley_terry import votes_needed
from prompts.retrain import percent
from prompts.standings import People
from prompts.trials import Arm, Trial


def build(desk: Desk, picked: Picked) -> Part:
    """Lay the part out in the current tab."""
    status = gr.HTML(padding=False)
    worthwhile = gr.Slider(
        0.52, 0.8, standings.WORTHWHILE, step=0.01, elem_id="pp-worthwhile",
        label="Difference worth finding: how often the better version wins",
    )  # fmt: skip
    with gr.Column() as form:
        arms = gr.Dropdown(
            [], multiselect=True, label="Versions, the present one first", elem_id="pp-arms", filterable=False
        )
        with gr.Row():
            shares = gr.Textbox(
                label="Their shares, in the same order (empty: all alike)", placeholder="80, 20",
                elem_id="pp-shares", max_lines=1,
            )  # fmt: skip
            note = gr.Textbox(label="What is to be found out?", elem_id="pp-trial-note", max_lines=1)
        with gr.Row(elem_classes="hone-actions"):
            start = gr.Button("Start the trial", variant="primary", scale=0, elem_id="pp-start-trial")
            why_not = gr.HTML(padding=False)
    with gr.Row(elem_classes="hone-actions", visible=False) as running:
        opener = gr.Button("Stop the trial...", scale=0, elem_id="pp-stop-trial")
    asked = confirmation(desk, opener, "Yes, stop it", "stop")
    asking.build(desk, [picked.strategy], lambda name: makers(desk.store, name), "each version of the trial")
    history = gr.HTML(padding=False)

    def begin(
        person: Person, name: str | None, chosen: list[str], said: str, noted: str
    ) -> tuple[object, ...]:
        trials.start(desk.store, person.id, name or "", arms_of(chosen, said), noted)
        say("The trial runs, from each conversation's next reply on.")
        return gr.update(value=[]), "", ""

    def end(person: Person, name: str | None) -> object:
        trials.stop(desk.store, person.id, name or "")
        say("The trial is ended. What is in production answers again.")
        return shown(False)

    acts = [
        start.click(desk.handler(begin), [picked.strategy, arms, shares, note], [arms, shares, note]),
        asked.yes.click(desk.handler(end), picked.strategy, asked.group),
    ]

    def draw(person: Person, name: str | None, wanted: float, chosen: list[str]) -> tuple[object, ...]:
        trial = trials.running(desk.store, name) if name else None
        choices = version_choices(desk.store, name)
        values = [value for _, value in choices]
        kept = [one for one in chosen or () if one in values] or likely_arms(desk.store, name)
        why = why_none(desk.store, name)
        question = (
            f"Stop the trial? {labels.in_production(desk.store, name or '')} then answers everybody again."
        )
        return (
            trial_html(desk.store, desk.people(), name, wanted),
            shown(trial is None),
            redrawn(choices, chosen, kept),
            button(not why),
            parts.note(why),
            shown(trial is not None),
            parts.note(question),
            history_html(desk.store, name),
        )

    outputs = [status, form, arms, start, why_not, running, asked.question, history]
    return Part([picked.strategy, worthwhile, arms], outputs, draw, acts, touched=[worthwhile.release])


def arms_of(chosen: list[str], shares: str) -> list[Arm]:
    """The versions with what was typed as their shares. HoneError for what is no list of numbers above 0."""
    said = [one for one in shares.replace(";", ",").replace("%", "").split(",") if one.strip()]
    try:
        numbers = [float(one) for one in said] or [1.0] * len(chosen)
    except ValueError as error:
        raise HoneError("The shares are not numbers.", todo="Write them like 80, 20.") from error
    if len(numbers) != len(chosen):
        raise HoneError(
            f"There are {len(chosen)} versions and {len(numbers)} shares.", todo="Give one for each, or none."
        )
    return [Arm(PromptVersionId(one), share) for one, share in zip(chosen, numbers, strict=True)]


def likely_arms(store: Store, name: str | None) -> list[str]:
    """What a trial is mostly about: the version in production, and the draft."""
    both = [labels.in_production(store, name), labels.draft(store, name)] if name else []
    return [str(one) for one in both if one] if len(set(both) - {None}) == 2 else []


def makers(store: Store, name: str | None) -> list[Asked]:
    """Who answers labellers' questions: the versions of the trial. HoneError without one."""
    trial = trials.running(store, name) if name else None
    if trial is None:
        raise HoneError("No trial is running.", todo="Start one first.")
    return [Asked(arm.version_id) for arm in trial.arms]


def why_none(store: Store, name: str | None) -> str:
    """Why no trial can be started; "" when one can."""
    if name is None or labels.in_production(store, name) is None:
        return "Nothing of this strategy is in production."
    if len(library.versions(store, name)) < 2:
        return "It has one version. Save another under Edit."
    return ""


def trial_html(store: Store, people: People, name: str | None, wanted: float) -> parts.Markup:
    """The trial that runs, or what one is."""
    trial = trials.running(store, name) if name else None
    needed = votes_needed(wanted)
    told = (
        f"To tell a version that wins {percent(wanted)} of votes from an equal one takes about"
        f" {parts.plural(needed, 'vote')} that compare the two (95 % confidence, 80 % power)."
    )
    if trial is None:
        return parts.join(
            parts.empty(
                f"No trial of {name} is running.",
                "A trial divides its conversations between versions. Whoever compares replies in one is shown"
                " two of its versions, blind; those votes tell which is better.",
            ),
            parts.note(told),
        )
    return parts.join(_arms(store, people, trial, wanted), parts.note(trial.note), parts.note(told))


def _arms(store: Store, people: People, trial: Trial, wanted: float) -> parts.Markup:
    reference = trial.arms[0].version_id
    found = standings.standings(people, [arm.version_id for arm in trial.arms], reference, wanted)
    rows = []
    for arm, standing in zip(trial.arms, found, strict=True):
        first = arm.version_id == reference
        rate = (
            parts.tag("span", "the others are held against it", "pp-thin")
            if first
            else html.win_rate(standing.win_rate, standing.votes_against)
        )
        to_go = (
            "-"
            if first
            else parts.plural(standing.votes_to_go, "more vote")
            if standing.votes_to_go
            else "enough"
        )
        rows.append(
            (
                parts.join(
                    parts.code(arm.version_id), " ", *map(_badge, labels.labels_of(store, arm.version_id))
                ),
                parts.text(f"{arm.share:.0%}"),
                rate,
                parts.text(to_go),
                html.thumbs(standing),
            )
        )
    head = ("Version", "Share", "Wins against the first", "Still needed", "Thumbs")
    since = parts.join(parts.text("Running since "), parts.when(trial.started_at))
    return parts.join(parts.tag("h3", since), parts.table(head, rows, "trial"))


def _badge(label: str) -> parts.Markup:
    return parts.badge(label, "good" if label == "production" else "busy")


def history_html(store: Store, name: str | None) -> parts.Markup:
    """Trials that are over, the latest first."""
    over = [trial for trial in trials.history(store, name) if trial.ended_at] if name else []
    if not over:
        return parts.Markup("")
    rows = [
        (
            parts.when(trial.started_at),
            parts.when(trial.ended_at),
            parts.join(*(parts.join(parts.code(a.version_id), f" {a.share:.0%} ") for a in trial.arms)),
            parts.text(trial.note),
        )
        for trial in over
    ]
    return parts.join(
        parts.tag("h3", "Trials that are over"), parts.table(("From", "To", "Versions", "Note"), rows)
    )
