"""The label page: rank the replies to a prompt, blind, by key or click. Layout only; rules live in `label`.

The board (static/label.js) calls the functions below through Gradio. Each asks again who is calling and
whether they may label: the login of a mounted page guards the door, not the handler.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from feedback import label, look
from feedback.errors import HoneError
from feedback.ids import DEFAULT_PROJECT, LOCAL_USER, MessageId, TaskId
from feedback.markdown import to_html
from feedback.people import CurrentUser, Person, Role, allowed
from feedback.store import Store

STATIC = Path(__file__).parent / "static"
LONG_PROMPT_CHARS = 1200
NOBODY: frozenset[Role] = frozenset()
BOARD = '<div class="lb"><div class="lb-board"></div><div class="lb-toast" role="status"></div></div>'

Answer = dict[str, Any]
"""What the board's script reads: {task, progress, can_undo, operator}, or {error}: one sentence."""


def build(store: Store, current_user: CurrentUser) -> gr.Blocks:
    """The page, to be mounted at /label with `look.theme()` and `look.head()`."""
    style = f"<style>{_read('label.css')}</style>"
    with gr.Blocks(title="Label - Hone", analytics_enabled=False, fill_width=True) as page:
        header = gr.HTML(style + look.nav("label", NOBODY), padding=False)
        gr.HTML(
            html_template=BOARD, js_on_load=_read("label.js"), server_functions=handlers(store, current_user),
            elem_id="label-board", apply_default_css=False,
        )  # fmt: skip

        def greet(request: gr.Request) -> str:
            person = allowed(current_user(request), "labeller")
            return style + look.nav("label", person.roles, "" if person.id == LOCAL_USER else person.name)

        page.load(greet, None, header, show_progress="hidden", queue=False)
    return page


def handlers(store: Store, current_user: CurrentUser) -> list[Callable[..., Answer]]:
    """What the board may call, by name: load, rank, skip, undo. Each answers with the board to show next."""

    def answering(act: Callable[[Person, dict[str, Any]], TaskId | None]) -> Callable[..., Answer]:
        @wraps(act)
        def handler(data: Any, request: gr.Request) -> Answer:
            try:
                person = allowed(current_user(request), "labeller")
                return board(store, person, act(person, data if isinstance(data, dict) else {}))
            except HoneError as error:
                return {"error": str(error)}

        handler.__annotations__ = {"request": gr.Request}  # Gradio finds the request by this; wraps() hid it
        del handler.__wrapped__
        return handler

    @answering
    def load(person: Person, data: dict[str, Any]) -> None:
        return None

    @answering
    def rank(person: Person, data: dict[str, Any]) -> None:
        label.rank(store, person.id, TaskId(_text(data, "task_id")), _replies(data), _ranks(data))

    @answering
    def skip(person: Person, data: dict[str, Any]) -> None:
        label.skip(store, person.id, TaskId(_text(data, "task_id")), _text(data, "reason"))

    @answering
    def undo(person: Person, data: dict[str, Any]) -> TaskId | None:
        return label.undo(store, person.id)

    return [load, rank, skip, undo]


def board(store: Store, person: Person, task_id: TaskId | None = None) -> Answer:
    """What to show `person` now: the task named (one just taken back), else the next open one."""
    task = (
        label.task(store, person.id, task_id)
        if task_id
        else label.next_task(store, person.id, DEFAULT_PROJECT)
    )
    progress = label.progress(store, person.id, DEFAULT_PROJECT)
    return {
        "task": _shown(task) if task else None,
        "progress": {"done": progress.done, "skipped": progress.skipped, "open": progress.open},
        "can_undo": progress.done + progress.skipped > 0,
        "operator": "operator" in person.roles,
    }


def _shown(task: label.Task) -> Answer:
    """A task as HTML. Blind: what tells which version or strategy wrote a reply does not leave the server."""
    told = f"The model was told first:\n\n{task.system_text}" if task.system_text else ""
    guidance = "\n\n".join(part for part in (task.guidelines, told) if part.strip())
    return {
        "id": task.id,
        "turns": [
            {"role": turn.role, "html": to_html(turn.content), "long": len(turn.content) > LONG_PROMPT_CHARS}
            for turn in task.turns
        ],
        "replies": [
            {"id": reply.reply_id, "html": to_html(reply.content), "words": len(reply.content.split())}
            for reply in task.replies
        ],
        "guidelines_html": to_html(guidance) if guidance.strip() else "",
    }


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _text(data: dict[str, Any], key: str) -> str:
    if not isinstance(value := data.get(key), str) or not value.strip():
        raise HoneError(f"The request lacks its {key}.", todo="Reload the page.")
    return value


def _replies(data: dict[str, Any]) -> tuple[MessageId, ...]:
    if not isinstance(value := data.get("shown"), list) or not all(isinstance(item, str) for item in value):
        raise HoneError("The request lacks its replies.", todo="Reload the page.")
    return tuple(MessageId(item) for item in value)


def _ranks(data: dict[str, Any]) -> tuple[int, ...] | None:
    """None: all bad."""
    if (value := data.get("ranks")) is None:
        return None
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise HoneError("The ranks are not numbers.", todo="Reload the page.")
    return tuple(value)
