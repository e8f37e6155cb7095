"""Strategies: ways to put a question, written as files of front matter and Jinja. Knows no store, no model.

A strategy of one step is `NAME.jinja`; a chain is a folder `NAME/` with `strategy.yaml` (title, description,
the steps' names in order) and one `STEP.jinja` a step. A later step may use the output of an earlier one by
its name.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.conversations import Turn
from prompts.examples import Example
from prompts.frontmatter import FormatError, mapping
from prompts.source import Place, read_step
from prompts.step import GIVEN, Step, refused

CHAIN_FILE = "strategy.yaml"


@dataclass(frozen=True)
class Strategy:
    """Steps in order; the last one answers. `files` is the source: (file name, text), sorted by name."""

    name: str
    title: str
    description: str
    steps: tuple[Step, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def sha256(self) -> str:
        """Identifies the name and every byte of the source."""
        return hashlib.sha256(json.dumps([self.name, self.files]).encode()).hexdigest()


def load(folder: Path) -> dict[str, Strategy]:
    """Every strategy in `folder`, by name. Raises HoneError with file and line if one cannot be used."""
    found: dict[str, Strategy] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(path.glob("*.jinja")) and not (path / CHAIN_FILE).exists():
            raise refused(f"{path.name}/{CHAIN_FILE}", None, "a folder with steps needs this file")
        if path.is_dir() and (path / CHAIN_FILE).exists():
            files = {part.name: _text(part) for part in sorted(path.iterdir()) if part.is_file()}
        elif path.suffix == ".jinja":
            files = {path.name: _text(path)}
        else:
            continue
        name = path.name.removesuffix(".jinja")
        if name in found:
            raise refused(path.name, None, "a file and a folder have the same name")
        found[name] = parse(name, files)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refused(path.name, None, f"it cannot be read as UTF-8 text ({error})") from error


def parse(name: str, files: Mapping[str, str]) -> Strategy:
    """The strategy `name` from its source, file name to text. Raises HoneError with file and line."""
    parts = tuple(sorted(files.items()))
    if CHAIN_FILE in files:
        return _chain(name, parts)
    file = f"{name}.jinja"
    if set(files) != {file}:
        raise refused(
            file, None, f"a strategy is this one file, or has a {CHAIN_FILE}; found {', '.join(files)}"
        )
    step, description = read_step(name, file, files[file], Place())
    strategy = Strategy(name, step.title, description or "", (step,), parts)
    _try(strategy)
    return strategy


def _chain(name: str, parts: tuple[tuple[str, str], ...]) -> Strategy:
    files, head = dict(parts), f"{name}/{CHAIN_FILE}"
    try:
        section = mapping(files[CHAIN_FILE], first_line=1, keys=("title", "description", "steps"))
        title, description = section.text("title"), section.text("description")
        names = section.names("steps")
    except FormatError as error:
        raise refused(head, error.line, error.reason) from error
    wanted = [f"{step}.jinja" for step in names]
    if sorted([*wanted, CHAIN_FILE]) != sorted(files):
        reason = f"the steps are {', '.join(wanted)}, but the folder holds {', '.join(sorted(files))}"
        raise refused(head, section.line("steps"), reason)
    if clash := [step for step in names if step in GIVEN]:
        raise refused(head, section.line("steps"), f"{clash[0]!r} is the name of a given variable")
    steps = []
    for position, step_name in enumerate(names):
        place = Place(tuple(names[:position]), tuple(names[position + 1 :]))
        file = wanted[position]
        step, extra = read_step(step_name, f"{name}/{file}", files[file], place)
        if extra is not None:
            raise refused(step.file, 1, f"the description belongs in {CHAIN_FILE}")
        steps.append(step)
    strategy = Strategy(name, title, description, tuple(steps), parts)
    _try(strategy)
    return strategy


def _try(strategy: Strategy) -> None:
    """Renders each step once, so that a template that fails does so when it is loaded and not in a chat."""
    history: Any = (Turn("user", "Hello."), Turn("assistant", "Hello!"))
    outputs = {step.name: "A text." for step in strategy.steps}
    for step in strategy.steps:
        examples = step.examples or ((Example("Another?", "Yes."),) if step.pool else ())
        step.messages("A question?", history, outputs, examples)
        # A step may be skipped, and examples may find no room.
        step.messages("A question?", (), dict.fromkeys(outputs, ""), ())
