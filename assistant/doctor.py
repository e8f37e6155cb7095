"""`hone doctor`: what this machine has, which engine would answer, and why not another. Knows no turn."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

import click

from assistant import base as bases
from assistant import registry, served_files
from assistant.base import Base, BaseChoice, EngineName, Quantize
from assistant.engines import mixing
from assistant.engines.choose import choose, openvino_hindrance
from assistant.registry import ModelVersion
from feedback.command_line import home_option, json_option, open_store, say
from feedback.errors import HoneError, NotFoundError
from feedback.home import Home

PACKAGES = ("torch", "transformers", "openvino", "bitsandbytes", "gradio")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `good`: True fine, False something to mend, None only to know."""

    what: str
    found: str
    good: bool | None = None


def examine(home: Home, choice: BaseChoice) -> list[Finding]:
    """Everything that decides how answers are computed here, in the order in which it matters."""
    try:
        base = bases.resolve(home, choice)
    except HoneError as error:
        model = [Finding("model", str(error), False)]
        return [*_machine(), *model, *_champion(home), _served(home)]
    return [*_machine(), *_model(home, base, choice), *_champion(home, base), _served(home)]


def _machine() -> list[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    found = [
        Finding("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        Finding("memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are free"),
        Finding("Python", platform.python_version()),
    ]
    for name in PACKAGES:
        try:
            found.append(Finding(name, version(name), True))
        except PackageNotFoundError:
            found.append(Finding(name, "is not installed", None if name == "openvino" else False))
    return found


def _model(home: Home, base: Base, choice: BaseChoice) -> list[Finding]:
    found = [Finding("model", f"{base.title}. {base.why}", True)]
    folder = None
    try:
        known = open_store(home) if home.store_file.exists() else None
        folder = registry.champion_folder(home, known) if known else None
        chosen = choose(base, choice, folder)
        found.append(Finding("engine", f"{chosen.name}: {chosen.why}", True))
    except HoneError as error:
        found.append(Finding("engine", str(error), False))
    hindrance = openvino_hindrance(base)
    found.append(Finding("openvino", hindrance or "can run this model"))
    found.append(Finding("transformers", "can run this model"))
    if not choice.remotes:
        found.append(Finding("remote", "answers from a server: --engine remote --remote URL"))
    return found + [_server(base, url, adapted=folder is not None) for url in choice.remotes]


def _server(base: Base, url: str, adapted: bool) -> Finding:
    """Who is at `url`, and what it can do; bad where the champion is `adapted` and it loads no adapters."""
    from assistant.engines import remote_engine, remote_probe
    from assistant.engines.remote_http import Line, Patience, Watch

    watch = Watch()
    try:
        served = remote_probe.probe(Line(url, Patience(), watch), remote_engine.local(base))
    except HoneError as error:
        return Finding("remote", str(error), False)
    finally:
        watch.close()
    can = {
        "loads adapters while it runs": served.loads_adapters,
        "holds replies to a JSON schema": "json_schema" in served.abilities,
        "tells log-probabilities": "token_logprobs" in served.abilities,
        "scores answers": served.scores,
    }
    words = "; ".join(name if able else f"not: {name}" for name, able in can.items())
    about = f"{url} ({served.dialect.kind}) serves it as {served.model}: {served.window} tokens, {words}"
    return Finding("remote", about, served.loads_adapters or not adapted)


def _champion(home: Home, base: Base | None = None) -> list[Finding]:
    if not home.store_file.exists():
        return [Finding("champion", "there is no store yet; the first start makes the base the champion")]
    try:
        champion = registry.champion(open_store(home))
    except NotFoundError as error:
        return [Finding("champion", str(error))]
    try:
        registry.check_files(home, champion)
        if base is not None:
            registry.check_base(champion, base.id, bases.chat_template(base).sha256)
    except HoneError as error:
        return [Finding("champion", str(error), False)]
    return [
        Finding("champion", f"{champion.name} on {champion.base_id}; its files are whole", True),
        *_passes(home, champion),
    ]


def _passes(home: Home, champion: ModelVersion) -> list[Finding]:
    """Whether the transformers engine can compute the champion's replies together with other versions'."""
    if champion.adapter_dir is None:
        return []
    file = home.path / champion.adapter_dir / "adapter_config.json"
    hindrance = mixing.hindrance(json.loads(file.read_text("utf-8")))
    told = (
        f"of its own: {hindrance}" if hindrance else "shared with other versions, where its build allows it"
    )
    return [Finding("its passes", f"{told} (transformers engine)")]


def _served(home: Home) -> Finding:
    files = served_files.kept(home)
    size = sum(file.stat().st_size for file in files)
    return Finding(
        "served",
        f"{len(files)} files, {size / 1e9:.2f} GB in {home.served}; `hone models clean` deletes them",
    )


@click.command()
@click.option("--model", default="embedded", show_default=True, help="embedded, a folder, or a Hub id.")
@click.option("--quantize", default="auto", show_default=True, type=click.Choice(get_args(Quantize)))
@click.option("--engine", default="auto", show_default=True, type=click.Choice(get_args(EngineName)))
@click.option(
    "--remote", "remotes", multiple=True, metavar="URL", help="A server to look at. May be repeated."
)
@json_option
@home_option
def doctor(home: Home, as_json: bool, **asked: Any) -> None:
    """What this machine has, which engine answers, and why."""
    quantize: Quantize = asked["quantize"]
    engine: EngineName = asked["engine"]
    found = examine(home, BaseChoice(asked["model"], quantize, engine, asked["remotes"]))
    say("\n".join(_line(one) for one in found), [asdict(one) for one in found], as_json)
    if any(one.good is False for one in found):
        raise SystemExit(1)


def _line(one: Finding) -> str:
    return f"{ {True: 'ok', False: 'NO', None: '  '}[one.good] }  {one.what:<13} {one.found}"
