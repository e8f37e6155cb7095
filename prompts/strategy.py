"""Strategies: ways to put a question, written as files of front matter and Jinja. Knows no store, no model.

A strategy of one step is `NAME.jinja`; a chain is a folder `NAME/` with `strategy.yaml` (title, description,
the steps' names in order) and one `STEP.jinja` a step. A later step may use the output of an earlier one by
its name.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from feedback.conversations import Turn
from feedback.errors import HoneError
from prompts.chat import ChatMessage
from prompts.frontmatter import FormatError, Section, mapping, split
from prompts.sandbox import compile_body, line_of, render_messages

GIVEN = ("question", "history", "examples")
"""The variables that every template may declare, beside the outputs of earlier steps."""

CHAIN_FILE = "strategy.yaml"


@dataclass(frozen=True)
class Example:
    """A question and the answer that a few-shot prompt shows."""

    question: str
    answer: str


@dataclass(frozen=True)
class Step:
    """One request to the model.

    `file`: where it was written. `body`: Jinja, its line numbers those of the file. `max_tokens`: at most
    this many for this step; None: the person's limit. `marker`: what parts reasoning from answer; None: all
    is answer.
    """

    name: str
    title: str
    file: str
    body: str
    variables: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    max_tokens: int | None = None
    marker: str | None = None

    def messages(
        self, question: str, history: Sequence[Turn] = (), outputs: Mapping[str, str] | None = None
    ) -> list[ChatMessage]:
        """The messages that put `question`, after `history`, with the `outputs` of earlier steps by name.

        Values are data: nothing in them is read as template. Raises HoneError when the template fails.
        """
        known = {
            "question": question,
            "history": tuple(history),
            "examples": self.examples,
            **(outputs or {}),
        }
        try:
            template = compile_body(self.body, self.variables)
            written = render_messages(template, {name: known[name] for name in self.variables})
        except (TemplateError, TypeError, ValueError) as error:
            raise _refused(self.file, line_of(error), str(error)) from error
        if not written or written[-1].role != "user":
            raise _refused(self.file, None, "the last message must be the user's")
        if any(message.role == "system" for message in written[1:]):
            raise _refused(self.file, None, "only the first message may be the system's")
        return written


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
        if path.is_dir() and (path / CHAIN_FILE).exists():
            files = {part.name: part.read_text("utf-8") for part in sorted(path.iterdir()) if part.is_file()}
        elif path.suffix == ".jinja":
            files = {path.name: path.read_text("utf-8")}
        else:
            continue
        name = path.name.removesuffix(".jinja")
        if name in found:
            raise _refused(path.name, None, "a file and a folder have the same name")
        found[name] = parse(name, files)
    return found


def parse(name: str, files: Mapping[str, str]) -> Strategy:
    """The strategy `name` from its source, file name to text. Raises HoneError with file and line."""
    parts = tuple(sorted(files.items()))
    if CHAIN_FILE in files:
        return _chain(name, parts)
    file = f"{name}.jinja"
    if set(files) != {file}:
        raise _refused(
            file, None, f"a strategy is this one file, or has a {CHAIN_FILE}; found {', '.join(files)}"
        )
    step, description = _step(name, file, files[file], outputs=())
    strategy = Strategy(name, step.title, description or "", (step,), parts)
    _try(strategy)
    return strategy


def _chain(name: str, parts: tuple[tuple[str, str], ...]) -> Strategy:
    files = dict(parts)
    try:
        section = mapping(files[CHAIN_FILE], first_line=1, keys=("title", "description", "steps"))
        title, description = section.text("title"), section.text("description")
        names = section.names("steps")
    except FormatError as error:
        raise _refused(CHAIN_FILE, error.line, error.reason) from error
    wanted = [f"{step}.jinja" for step in names]
    if sorted([*wanted, CHAIN_FILE]) != sorted(files):
        reason = f"the steps are {', '.join(wanted)}, but the folder holds {', '.join(sorted(files))}"
        raise _refused(CHAIN_FILE, section.line("steps"), reason)
    if clash := [step for step in names if step in GIVEN]:
        raise _refused(CHAIN_FILE, section.line("steps"), f"{clash[0]!r} is the name of a given variable")
    steps = []
    for position, step_name in enumerate(names):
        step, extra = _step(
            step_name, wanted[position], files[wanted[position]], outputs=tuple(names[:position])
        )
        if extra is not None:
            raise _refused(step.file, 1, f"the description belongs in {CHAIN_FILE}")
        if step.marker is not None and position < len(names) - 1:
            raise _refused(step.file, 1, "only the last step may have an `answer` rule")
        steps.append(step)
    strategy = Strategy(name, title, description, tuple(steps), parts)
    _try(strategy)
    return strategy


def _step(name: str, file: str, text: str, outputs: tuple[str, ...]) -> tuple[Step, str | None]:
    """One step and the description in its front matter, if any."""
    keys = ("title", "description", "variables", "examples", "answer", "max_tokens")
    try:
        front, body = split(text)
        section = mapping(front, first_line=2, keys=keys)
        variables = section.names("variables")
        if unknown := [v for v in variables if v not in (*GIVEN, *outputs)]:
            can_be = ", ".join((*GIVEN, *outputs))
            raise FormatError(
                section.line("variables"), f"{unknown[0]!r} is not known here; known are {can_be}"
            )
        examples = tuple(_example(part) for part in section.sections("examples", ("question", "answer")))
        if bool(examples) != ("examples" in variables):
            raise FormatError(
                section.line("variables"), "`examples` must be both given and declared as a variable"
            )
        answer = section.section("answer", ("marker",))
        step = Step(
            name=name,
            title=section.text("title"),
            file=file,
            body=body,
            variables=tuple(variables),
            examples=examples,
            max_tokens=section.positive("max_tokens"),
            marker=answer.text("marker") if answer else None,
        )
        compile_body(step.body, step.variables)
        return step, section.text("description") if section.has("description") else None
    except FormatError as error:
        raise _refused(file, error.line, error.reason) from error
    except TemplateSyntaxError as error:
        raise _refused(file, error.lineno, error.message or "the template cannot be read") from error


def _example(section: Section) -> Example:
    return Example(section.text("question"), section.text("answer"))


def _try(strategy: Strategy) -> None:
    """Renders each step once, so that a template that fails does so when it is loaded and not in a chat."""
    history: Any = (Turn("user", "Hello."), Turn("assistant", "Hello!"))
    outputs = {step.name: "A text." for step in strategy.steps}
    for step in strategy.steps:
        step.messages("A question?", history, outputs)
        step.messages("A question?", (), dict.fromkeys(outputs, ""))


def _refused(file: str, line: int | None, reason: str) -> HoneError:
    where = f"Line {line}: " if line else ""
    reason = reason.rstrip(".")
    return HoneError(
        f"The template {file} cannot be used.",
        f"{where}{reason}.",
        "Mend the file; docs/prompts.md says what a template may hold.",
    )
