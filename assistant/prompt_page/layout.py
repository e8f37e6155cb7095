"""The prompt page as a whole: header, pickers, six tabs, and when each is drawn anew."""

from pathlib import Path

import gradio as gr

from assistant.prompt_bench import PromptBench
from assistant.prompt_page import comparing, editor, retraining, serving, transfer, trial
from assistant.prompt_page.desk import Desk
from feedback import look, parts
from feedback.handlers import QUIET, wire
from feedback.ids import LOCAL_USER
from feedback.people import CurrentUser, Person, Role

STYLE = Path(__file__).parent.parent / "static" / "prompts.css"
NOBODY: frozenset[Role] = frozenset()
UPLOADS_STAY_S = 3600


def build(bench: PromptBench, current_user: CurrentUser) -> gr.Blocks:
    """The page, to be mounted at /prompts with `look.theme()` and `look.head()`."""
    desk = Desk(bench, current_user)
    style = parts.style(STYLE)
    with gr.Blocks(
        title="Prompts - Hone", analytics_enabled=False, fill_width=True,
        delete_cache=(UPLOADS_STAY_S, UPLOADS_STAY_S),
    ) as page:  # fmt: skip
        header = gr.HTML(style + look.nav("prompts", NOBODY), padding=False)
        with gr.Column(elem_id="hone-page", elem_classes="pp-page"):
            picked, top = serving.build(desk, page)
            shown = [top]
            with gr.Tabs(elem_id="pp-tabs") as tabs:
                with gr.Tab("Versions"):
                    shown.append(serving.build_list(desk, picked))
                with gr.Tab("Edit"):
                    files, saved = editor.build(desk, picked)
                with gr.Tab("Compare"):
                    shown.append(comparing.build(desk, picked, files))
                with gr.Tab("Trial"):
                    shown.append(trial.build(desk, picked))
                with gr.Tab("Prompt or retrain?"):
                    shown.append(retraining.build(desk, picked))
                with gr.Tab("Files"):
                    shown.append(transfer.build(desk, picked))

        def greet(person: Person) -> str:
            return style + look.nav("prompts", person.roles, "" if person.id == LOCAL_USER else person.name)

        def leave(person: Person) -> None:
            desk.bench.stop_try(person.id)

        page.load(desk.handler(greet), None, header, **QUIET)
        page.unload(desk.deed(leave))
        wire(desk, shown, [picked.shown.change, tabs.select], [saved])
    return page
