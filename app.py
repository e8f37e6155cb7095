"""The front door: assembles the rooms' pages and the API into one server, and their commands into `hone`."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

import click

from assistant.base import BaseChoice, EngineName, Quantize
from assistant.chat_command import chat
from assistant.commands import models
from assistant.doctor import doctor
from assistant.key_commands import keys_group
from assistant.prompt_auto_command import auto
from assistant.prompt_commands import prompts_group
from assistant.prompt_library_commands import COMMANDS as PROMPT_LIBRARY_COMMANDS
from assistant.prompt_search_command import optimise_prompt
from assistant.user_commands import users
from feedback.command_line import HoneGroup, home_option, open_store
from feedback.commands import feedback as feedback_group
from feedback.home import Home
from training import commands as training_commands
from training import reward_metric
from training.classify.commands import classify
from training.demo_command import demo
from training.instruct.commands import data_group
from training.memory_command import memory_command

if TYPE_CHECKING:
    from fastapi import FastAPI

    from assistant.server import Site
    from assistant.serving import Serving


@click.group(cls=HoneGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hone", prog_name="hone")
@click.pass_context
def cli(context: click.Context) -> None:
    """A chat assistant that its own users make better: chat, vote, retrain, prove, promote."""
    context.obj = reward_metric.opener  # prompts are judged by what only a later room can load


@cli.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Beyond this machine only with accounts."
)
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--name", "names", multiple=True, metavar="HOSTNAME", help="A name that people reach this server by."
)
@click.option("--https", is_flag=True, help="People reach it over https, through a proxy: cookies say so.")
@click.option("--model", default="embedded", show_default=True, help="embedded, a folder, or a Hub id.")
@click.option(
    "--quantize", default="auto", show_default=True, type=click.Choice(["auto", "nf4", "int8", "none"])
)
@click.option(
    "--engine",
    default="auto",
    show_default=True,
    type=click.Choice(get_args(EngineName)),
    help="What computes; `hone doctor` explains.",
)
@click.option(
    "--remote",
    "remotes",
    multiple=True,
    metavar="URL",
    help="A server with OpenAI's API that computes instead (vLLM, llama.cpp, ...). May be repeated.",
)
@home_option
def serve(home: Home, model: str, quantize: str, **where: Any) -> None:
    """Open the chat, the label page, the prompt page and the operator page."""
    from assistant import accounts
    from assistant.server import Site
    from assistant.serving import check_port, claimed

    store = open_store(home)
    click.echo(f"Home: {home.path}", err=True)
    site = Site(where["host"], where["port"], where["names"], where["https"])
    accounts.check_host(store, site.host)
    with claimed(home, _address(site)) as ready:
        check_port(site.host, site.port)
        _serve(home, site, _choice(model, quantize, **where), ready)


def _address(site: "Site") -> str:
    """Where this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(site.host, site.host)
    return f"http://{_shown(host)}:{site.port}"


def _shown(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host


@contextmanager
def _all_stays() -> Iterator[None]:
    """What comes into memory meanwhile, modules and pages, stays until the end: it is not searched for
    garbage, then or later. A search through it all would take a tenth of a second, at any time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _choice(model: str, quantize: str, engine: str, remotes: tuple[str, ...], **_where: Any) -> BaseChoice:
    return BaseChoice(model, cast(Quantize, quantize), cast(EngineName, engine), remotes)


def _serve(home: Home, site: "Site", choice: BaseChoice, ready: Callable[[], None]) -> None:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    from assistant.server import run
    from assistant.serving import open_home

    opened = open_home(home, choice)
    with ThreadPoolExecutor(1) as aside:
        loading = aside.submit(opened.load_champion)  # meanwhile come the pages, whose imports take longer
        server = _assembled(opened, site, choice)
        loading.result()
    click.echo(f"Hone is at http://{_shown(site.host)}:{site.port}  (Ctrl-C ends it)", err=True)
    ready()
    run(server, site)


def _assembled(opened: "Serving", site: "Site", choice: BaseChoice) -> "FastAPI":
    """The rooms' pages and API in one server."""
    with _all_stays():
        import assistant.page
        import assistant.prompt_page
        import feedback.page
        import training.api
        import training.page
        from assistant.accounts import Access
        from assistant.prompt_bench import PromptBench
        from assistant.server import RolePage, make_app
        from assistant.turns import Turns
        from training.api import Shop
        from training.jobs import Jobs

        access = Access(opened.store)
        turns = Turns(opened.store, opened.engine)
        bench = PromptBench(opened.store, opened.engine)
        who, jobs, home = access.current_user, Jobs(), opened.home
        pages = (
            RolePage("/", "chatter", assistant.page.build(opened.store, who), assistant.page.head()),
            RolePage("/label", "labeller", feedback.page.build(opened.store, who)),
            RolePage("/prompts", "engineer", assistant.prompt_page.build(bench, who)),
            RolePage("/operate", "operator", training.page.build(turns, home, who, choice, jobs)),
        )
        site = replace(site, device=opened.base.why)
        return make_app(turns, access, site, pages, [training.api.router(Shop(home, choice, jobs))], bench)


cli.add_command(chat)
cli.add_command(users)
cli.add_command(keys_group)
cli.add_command(feedback_group)
cli.add_command(training_commands.snapshot)
cli.add_command(data_group)
cli.add_command(training_commands.train)
cli.add_command(classify)
cli.add_command(training_commands.runs_group)
cli.add_command(training_commands.evaluate)
cli.add_command(memory_command)
cli.add_command(models)
cli.add_command(prompts_group)
prompts_group.add_command(auto)
for _command in PROMPT_LIBRARY_COMMANDS:
    prompts_group.add_command(_command)
prompts_group.add_command(optimise_prompt)
cli.add_command(demo)
cli.add_command(doctor)


def main() -> None:
    """The console command `hone`."""
    cli(prog_name="hone")


if __name__ == "__main__":
    cli(["serve", *sys.argv[1:]], prog_name="hone")
