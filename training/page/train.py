"""The operator page, Train: watch a run, cancel it, resume it, repeat it, and compare it with others."""

from collections.abc import Sequence
from datetime import UTC, datetime

import gradio as gr

from feedback import parts as html
from feedback import plots
from feedback.ids import RunId
from feedback.statistics import wilson
from feedback.store import Store
from training import curves, heads, metrics_copy, repeats, rounds, runs
from training.classify import heads as classifiers
from training.classify.heads import HeadInfo
from training.curves import Figures
from training.heads import Head
from training.methods import METHODS
from training.page import classifier, start
from training.page.desk import Desk, Part, Person, button, confirmation, say, shown
from training.repeats import Comparison
from training.reward_report import Bin
from training.runs import MetricPoint, Run

LOG_BYTES = 6000
STATE_TONES: dict[str, html.Tone] = {
    "done": "good", "failed": "bad", "interrupted": "unsure", "cancelled": "plain", "queued": "plain",
    "running": "busy", "evaluating": "busy",
}  # fmt: skip


def build(desk: Desk) -> tuple[Part, Part, Part]:
    """Lay the part out in the current tab: the form with the list of runs, the run that is looked at, and
    those that it can be compared with.
    """
    with gr.Row(elem_classes="op-split"):
        with gr.Column(scale=2, min_width=300):
            form, started, picker = start.build(desk)
        with gr.Column(scale=3, min_width=320):
            panel = gr.HTML(padding=False)
            with gr.Row(elem_classes="hone-actions"):
                opener = gr.Button("Cancel run...", scale=0, elem_id="op-cancel")
                resume = gr.Button("Resume", scale=0, elem_id="op-resume")
                again = gr.Button("Repeat", scale=0, elem_id="op-repeat")
                why_not = gr.HTML(padding=False)
            asked = confirmation(desk, opener, "Yes, cancel it", "stop")
            compare = gr.Dropdown(
                [], label="Compare with", multiselect=True, max_choices=curves.COMPARED, elem_id="op-compare"
            )
            with gr.Accordion("Log", open=False):  # not <details>: that would fold at each tick
                log = gr.HTML(padding=False)

    def draw(person: Person, run_id: str | None, beside: list[str] | None) -> tuple[object, ...]:
        runs.sweep(desk.store)
        run = runs.get(desk.store, run_id) if run_id else None
        if run is None:
            return (no_run_html(), button(False), button(False), button(False), "", "", "")
        question = (
            f"Cancel {run.id}? What it has learnt so far stays in its last checkpoint; it can be resumed."
        )
        return (
            html.join(
                run_html(
                    run,
                    runs.metrics(desk.store, run.id),
                    _beside(desk.store, run, beside or []),
                    rounds.told(desk.store, run.method, run.base_version_id),
                ),
                repeat_html(run, repeats.compare(desk.store, desk.home, run)),
                copy_html(metrics_copy.shown_by(desk.home, run)),
                head_html(heads.of_run(desk.store, run.id)),
                classifier.under_run(classifier_of(desk, run)),
            ),
            button(run.state not in ("done", "failed", "cancelled") and not run.cancel_requested),
            button(run.state in runs.RESUMABLE),
            button(run.is_over),
            html.note(why_no_button(run)),
            html.note(question),
            log_html(runs.log_text(desk.home, run.id, LOG_BYTES)),
        )

    def cancel(person: Person, run_id: str) -> object:
        runs.cancel(desk.store, person.id, RunId(run_id))
        say("The run ends at its next step.")
        return shown(False)

    def go_on(person: Person, run_id: str) -> None:
        say(f"The run is {runs.resume(desk.home, desk.store, person.id, RunId(run_id)).state}.")

    def repeat(person: Person, run_id: str) -> object:
        return start.begun(desk, repeats.create(desk.store, desk.home, person.id, RunId(run_id)))

    acts = [
        asked.yes.click(desk.handler(cancel), picker, asked.group),
        resume.click(desk.deed(go_on), picker, None),
        again.click(desk.handler(repeat), picker, picker),
    ]
    outputs = [panel, opener, resume, again, why_not, asked.question, log]
    looks = [picker.change, compare.input]
    looked_at = Part([picker, compare], outputs, draw, [started, *acts], looks, live=True)
    others = Part([], [compare], lambda person: gr.update(choices=start.run_choices(desk.store)))
    return form, looked_at, others


def _beside(store: Store, run: Run, ids: Sequence[str]) -> list[Figures]:
    """The runs to compare with, and their figures; the run itself is not one of them."""
    found = [runs.get(store, one) for one in ids if one != run.id][: curves.COMPARED]
    return [(one, runs.metrics(store, one.id)) for one in found]


def why_no_button(run: Run) -> str:
    """Why Resume, Repeat or Cancel cannot be pressed; empty when what is over can be resumed."""
    if run.state == "done":
        makes_version = METHODS[run.method].makes == "version"
        return f"It is done: see its {'candidate under Gate' if makes_version else 'report above'}."
    if run.is_over:
        return ""
    if run.cancel_requested:
        return "It was asked to end, and will at its next step."
    return "It can be repeated when it is over."


def no_run_html() -> html.Markup:
    return html.empty(
        "No run yet.", "Freeze a snapshot under Data or make a dataset, choose a preset, and start one."
    )


def run_html(
    run: Run, points: Sequence[MetricPoint], beside: Sequence[Figures] = (), begun: str = ""
) -> html.Markup:
    """One run: what, how far, and its curves, over those of the runs `beside` it. `begun`: of rounds.told."""
    head = html.join(
        f'<h3 class="op-run">{html.text(run.recipe.name)} {html.code(run.id)} ',
        html.badge(run.state, STATE_TONES[run.state], "run-state"),
        "</h3>",
        html.note(f"On {', '.join(filter(None, (run.source, begun, how_long(run))))}."),
    )
    tone: html.Tone = "busy" if not run.is_over else STATE_TONES[run.state]
    progress = html.bar(run.step, run.total_steps or int(run.is_over), how_far(run, datetime.now(UTC)), tone)
    wrong = html.join(html.note(run.error or "", "bad"), html.note(run.warning or "", "unsure"))
    figures = [plots.curve(one) for one in curves.of_run(run, points, beside)]
    drawn = html.tag("div", "".join(figures), "op-curves") if figures else ""
    if drawn and beside:
        drawn = plots.legend(curves.name_of(run), [curves.name_of(other) for other, _ in beside]) + drawn
    waiting = html.note("Its curves appear with its first steps.") if not figures and not run.is_over else ""
    return html.join(head, progress, wrong, drawn, waiting)


def repeat_html(run: Run, compared: Comparison | None) -> html.Markup:
    """Of which run this is a repetition, and whether it came to the same numbers; empty for any other run."""
    if run.repeats_id is None:
        return html.join()
    if compared is None:
        return html.note(f"It repeats {run.repeats_id}.")
    return html.note(compared.sentence(), "good" if compared.same else "unsure")


def copy_html(command: str) -> html.Markup:
    """How the copy of the run's curves is looked at; empty without one."""
    if not command:
        return html.join()
    return html.join(html.note("Its curves are copied. Look, on the server's machine:"), html.code(command))


def head_html(head: Head | None) -> html.Markup:
    """What was measured of a reward model; empty for a run that made none."""
    if head is None:
        return html.join()
    if head.report is None:
        return html.note(f"{head.name} is kept. No pair was held out, so nothing was measured.")
    rows = [(f"{one.said:.0%}", f"{one.right:.0%}", _strip(one), str(one.pairs)) for one in head.report.bins]
    return html.join(
        html.tag("h4", html.text(head.name)),
        html.note(" ".join(head.report.sentences())),
        html.table(("How sure it was", "How often it was right", "", "Pairs"), rows, "reward-report"),
    )


def _strip(one: Bin) -> str:
    """How often it was right, with its interval, against how sure it was."""
    share = wilson(one.right * one.pairs, one.pairs)
    right = share.low <= one.said <= share.high
    return plots.interval(share.value, share.low, share.high, one.said, right, axis=(0.0, 1.0))


def classifier_of(desk: Desk, run: Run) -> HeadInfo | None:
    """What came out of a run that makes classifiers."""
    return classifiers.of_run(desk.home, run.id) if METHODS[run.method].makes == "classifier" else None


def how_long(run: Run) -> str:
    """What the recipe asks for, in words."""
    recipe = run.recipe
    if recipe.adapt == "frozen":
        return "the head alone"
    if recipe.max_steps:
        passes = f"{html.plural(recipe.max_steps, 'step')} at most"
    else:
        passes = f"{recipe.epochs:g} epoch{'' if recipe.epochs == 1 else 's'}"
    return f"{passes}, rate {recipe.learning_rate:g}"


def how_far(run: Run, at: datetime) -> str:
    """Steps and time in words."""
    if run.state == "queued":
        return "Waiting for its turn: one run trains at a time."
    if run.state == "evaluating":
        return "Trained. The gate is measuring the candidate against the champion."
    took = elapsed(run, at)
    steps = (
        f"{run.step} of {run.total_steps} steps"
        if run.total_steps
        else "not begun"
        if run.is_over
        else "preparing"
    )
    if run.is_over or not run.step or not run.total_steps:
        return f"{steps}, {duration(took)}."
    left = took / run.step * (run.total_steps - run.step)
    return f"{steps}, {duration(took)} so far, about {duration(left)} to go."


def elapsed(run: Run, at: datetime) -> float:
    """Seconds from the run's start to its end, or to `at`."""
    if run.started_at is None:
        return 0.0
    end = datetime.fromisoformat(run.ended_at) if run.ended_at else at
    return max(0.0, (end - datetime.fromisoformat(run.started_at)).total_seconds())


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def log_html(log: str) -> html.Markup:
    """The end of the log, as a terminal would show it."""
    if not log.strip():
        return html.note("Nothing yet.")
    # A terminal's progress bar writes over its own line; keep what would be seen.
    lines = [line.rsplit("\r", 1)[-1] for line in log.replace("\r\n", "\n").splitlines()]
    return html.join('<pre class="op-log">', html.text("\n".join(lines)), "</pre>")
