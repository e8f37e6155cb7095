"""The operator page as a whole: header, the job under way, five tabs, and when each is drawn anew."""

from pathlib import Path
from typing import Any

import gradio as gr

from assistant.base import BaseChoice
from assistant.turns import Turns
from feedback import look, plots
from feedback import parts as html
from feedback.handlers import wire
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.people import CurrentUser, Role
from training import runs
from training.jobs import Job, Jobs
from training.page import data, gate, history, now, train
from training.page.desk import Desk, Part, Person, shown

STYLE = Path(__file__).parent.parent / "static" / "operate.css"
TICK_S = 2.0
NOBODY: frozenset[Role] = frozenset()
SERVED = BaseChoice()
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden"}


def build(
    turns: Turns,
    home: Home,
    current_user: CurrentUser,
    choice: BaseChoice = SERVED,
    jobs: Jobs | None = None,
) -> gr.Blocks:
    """The page, to be mounted at /operate with `look.theme()` and `look.head()`.

    `choice`: the base that this server runs on, for the runs that are started here. `jobs`: shared with the
    API, where there is one.
    """
    desk = Desk(turns.store, home, turns.engine, current_user, choice, turns.traffic, jobs or Jobs())
    style = html.style(plots.SHEET, STYLE)
    with gr.Blocks(title="Operate - Hone", analytics_enabled=False, fill_width=True) as page:
        header = gr.HTML(style + look.nav("operate", NOBODY), padding=False)
        with gr.Column(elem_id="hone-page"):
            job = _job(desk)
            parts: list[Part] = []
            with gr.Tabs(elem_id="op-tabs") as tabs:
                with gr.Tab("Now"):
                    parts.append(now.build(desk))
                with gr.Tab("Data"):
                    parts.append(data.build(desk))
                with gr.Tab("Train"):
                    parts += train.build(desk)
                with gr.Tab("Gate"):
                    parts.append(gate.build(desk))
                with gr.Tab("History"):
                    parts.append(history.build(desk))
        timer, ended = gr.Timer(TICK_S, active=False), gr.State(None)

        def greet(person: Person) -> str:
            return style + look.nav("operate", person.roles, "" if person.id == LOCAL_USER else person.name)

        page.load(desk.handler(greet), None, header, **QUIET)
        pulse = _pulse(desk, page, timer, ended)
        wire(desk, [job, *parts, pulse], [tabs.select, ended.change], timer=timer)
    return page


def _pulse(desk: Desk, page: gr.Blocks, timer: gr.Timer, ended: gr.State) -> Part:
    """The timer ticks only while something runs. `ended`: how much has ended; its change draws everything,
    for what ended in the middle of a draw is on some parts of the page alone. So does the page's load.
    """

    def draw(person: Person) -> tuple[object, ...]:
        job, over = desk.jobs.latest, [run.is_over for run in runs.listing(desk.store)]
        working = job is not None and job.running
        jobs_ended = job.number - working if job else 0
        return gr.Timer(active=working or not all(over)), (jobs_ended, sum(over))

    return Part([], [timer, ended], draw, touched=[page.load], live=True, tells=True)


def _job(desk: Desk) -> Part:
    """What the server is doing for an operator, above all tabs."""
    with gr.Row(visible=False, elem_classes="op-job") as row:
        progress = gr.HTML(padding=False)
        stop = gr.Button("Stop", scale=0, min_width=90, elem_id="op-stop-job")

    def act(person: Person) -> None:
        desk.jobs.stop()

    def draw(person: Person) -> tuple[object, ...]:
        job = desk.jobs.latest
        if job is None:
            return shown(False), "", shown(False)
        stoppable = job.running and not job.stopping
        return shown(True), job_html(job), gr.update(visible=job.running, interactive=stoppable)

    done = stop.click(desk.deed(act), None, None)
    return Part([], [row, progress, stop], draw, [done], live=True)


def job_html(job: Job) -> html.Markup:
    """How far it is, or what came of it."""
    if not job.running:
        return html.note(job.said, "bad" if job.failed else "good")
    amount = f", {job.done} of {job.total}" if job.total else ""
    stopping = " Stopping after this step." if job.stopping else ""
    return html.bar(job.done, job.total, f"{job.title}{amount}.{stopping}")
