"""`hone doctor`: what this machine has, which engine would answer, and why not another. Knows no turn."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from assistant import base as bases
from assistant import registry, served_files
from assistant.base import BaseChoice, EngineName, Quantize
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
    return [*_machine(), *_model(home, choice), *_champion(home), _served(home)]


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


def _model(home: Home, choice: BaseChoice) -> list[Finding]:
    try:
        base = bases.resolve(home, choice)
    except HoneError as error:
        return [Finding("model", str(error), False)]
    found = [Finding("model", f"{base.title}. {base.why}", True)]
    try:
        known = open_store(home) if home.store_file.exists() else None
        chosen = choose(base, choice, registry.champion_folder(home, known) if known else None)
        found.append(Finding("engine", f"{chosen.name}: {chosen.why}", True))
    except HoneError as error:
        found.append(Finding("engine", str(error), False))
    hindrance = openvino_hindrance(base)
    found.append(Finding("openvino", hindrance or "can run this model"))
    found.append(Finding("transformers", "can run this model"))
    found.append(Finding("remote", "answers from a server: --engine remote --remote URL"))
    return found


def _champion(home: Home) -> list[Finding]:
    if not home.store_file.exists():
        return [Finding("champion", "there is no store yet; the first start makes the base the champion")]
    try:
        champion = registry.champion(open_store(home))
    except NotFoundError as error:
        return [Finding("champion", str(error))]
    try:
        registry.check_files(home, champion)
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
@click.option("--quantize", default="auto", show_default=True, help="auto, nf4, int8 or none.")
@click.option("--engine", default="auto", show_default=True, help="auto, openvino, transformers or remote.")
@json_option
@home_option
def doctor(home: Home, as_json: bool, **asked: Any) -> None:
    """What this machine has, which engine answers, and why."""
    quantize: Quantize = asked["quantize"]
    engine: EngineName = asked["engine"]
    found = examine(home, BaseChoice(asked["model"], quantize, engine))
    say("\n".join(_line(one) for one in found), [asdict(one) for one in found], as_json)
    if any(one.good is False for one in found):
        raise SystemExit(1)


def _line(one: Finding) -> str:
    return f"{ {True: 'ok', False: 'NO', None: '  '}[one.good] }  {one.what:<13} {one.found}"
