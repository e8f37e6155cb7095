"""`hone prompts auto`: what `auto` would take, and why, without asking a model anything. Knows click."""

from dataclasses import asdict

import click

from assistant import registry
from feedback.command_line import home_option, json_option, say
from feedback.home import Home
from prompts import own
from prompts.auto import Auto
from prompts.kinds import KINDS, kind_of


@click.command("auto")
@click.argument("question", required=False)
@click.option("--model", default=registry.CHAMPION, show_default=True, help="A model version.")
@json_option
@home_option
def auto(home: Home, question: str | None, model: str, as_json: bool) -> None:
    """What the strategy auto takes for QUESTION, or for each kind of question, and why."""
    store = own.opened(home)
    champion = model == registry.CHAMPION
    version = registry.champion(store) if champion else registry.get(store, model)
    chooses = Auto(store)
    kinds = KINDS if question is None else (kind_of(question),)
    found = [chooses.of_kind(kind, version.id) for kind in kinds]
    lines = [f"{one.kind:<9} {one.name:<22} {one.because}" for one in found]
    following = "Next: `hone prompts evaluate --by generation` measures strategies as a chat asks them."
    say("\n".join([*lines, "", following]), {"choices": [asdict(one) for one in found]}, as_json)
