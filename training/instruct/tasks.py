"""Tasks: which fields rows of a kind have, and the templates that put them as questions; a YAML file each.

A template is checked when its file is read, and named with its line when it cannot be used: so what is drawn
later can only give good rows. It runs in the sandbox of strategies; what stands in a row is data.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, TemplateError, TemplateSyntaxError, nodes

from feedback.errors import NotFoundError
from prompts import section_files
from prompts.frontmatter import FormatError, Section
from prompts.sandbox import compile_text, line_of, names_in, render_text

FOLDER = Path(__file__).parent.parent / "data" / "instruct"
SHIPPED = ("nli", "qa", "sentiment", "summarisation", "translation")
"""The tasks that come with Hone."""
OPTIONS = "options"
"""What the target is picked from, in a new order each time: the name of a list in templates."""
KEYS = ("about", "fields", "target", "labels", "templates")


@dataclass(frozen=True)
class Field:
    """A part of a row. `columns`: by which names a file may have it. `told`: where a row has it, a question
    about the row makes no sense without it, be it to answer or to find.
    """

    name: str
    columns: tuple[str, ...]
    optional: bool
    told: bool


class UnfitError(Exception):
    """A template cannot put a row. `key`: ask or answer. `line`: of its text, None where it is all of it."""

    def __init__(self, key: str, line: int | None, reason: str) -> None:
        self.key, self.line = key, line
        super().__init__(reason)


@dataclass(frozen=True)
class Template:
    """One way to put a row: `ask` and `answer` are Jinja over its fields.

    `words`: what the task's labels are called here, in their order; empty: by their own names. `inverted`:
    the target is given, and something else is the answer.
    """

    name: str
    ask: str
    answer: str
    words: tuple[str, ...]
    inverted: bool

    @cached_property
    def fields(self) -> frozenset[str]:
        """What a row must have for it."""
        return _names(self.ask) | _names(self.answer)

    @property
    def lists_options(self) -> bool:
        return OPTIONS in _names(self.ask)

    def put(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Question and answer. Raises UnfitError for values that it cannot put."""
        return _written("ask", self.ask, values), _written("answer", self.answer, values)


@dataclass(frozen=True)
class Task:
    """A kind of rows. `target`: the field that is asked for. `labels`: what it is one of, where that is the
    same for all rows; a row of a file counts them from 0.
    """

    name: str
    fields: tuple[Field, ...]
    target: str
    labels: tuple[str, ...]
    templates: tuple[Template, ...]

    @property
    def told(self) -> frozenset[str]:
        """The fields that a question must tell, of a row that has them."""
        return frozenset(field.name for field in self.fields if field.told)

    @property
    def subject(self) -> str:
        """The field that tells rows apart: two that share it are about the same."""
        return self.fields[0].name


@cache
def load(name_or_file: str) -> Task:
    """A task by its name, or from a YAML file of one's own. NotFoundError when it is neither."""
    if name_or_file in SHIPPED:
        return read(FOLDER / f"{name_or_file}.yaml")
    if (file := Path(name_or_file).expanduser()).suffix in (".yaml", ".yml") and file.is_file():
        return read(file)
    raise NotFoundError(
        f"There is no task {name_or_file!r}.",
        f"Hone has {', '.join(SHIPPED)}.",
        "Name one of them, or a .yaml file written like those.",
    )


def read(file: Path) -> Task:
    """The task in `file`. HoneError, with the line, for whatever in it cannot be used."""
    return section_files.read(
        file,
        KEYS,
        lambda section: _task(file.stem, section),
        f"The task {file.name}",
        "docs/training.md shows how a task is written.",
    )


def _task(name: str, section: Section) -> Task:
    section.text("about")
    fields = tuple(
        Field(one.text("name"), tuple(one.texts("columns")), one.true("optional"), one.true("told"))
        for one in section.sections("fields", ("name", "columns", "optional", "told"))
    )
    target, names = section.text("target"), [field.name for field in fields]
    if target not in names:
        raise FormatError(section.line("target"), f"'target' must be one of the fields, {', '.join(names)}")
    labels = tuple(section.texts("labels")) if section.has("labels") else ()
    known = {*names, *([OPTIONS] if labels else [])}
    templates: list[Template] = []
    for one in section.sections("templates", ("name", "words", "ask", "answer")):
        made = _template(one, target, labels, known)
        if made.name in [other.name for other in templates]:
            raise FormatError(one.line("name"), f"the template {made.name!r} stands twice")
        templates.append(made)
    task = Task(name, fields, target, labels, tuple(templates))
    always = {field.name for field in fields if not field.optional} | known - set(names)
    if not any(not one.inverted and not one.words and one.fields <= always for one in templates):
        raise FormatError(section.line("templates"), f"no template asks every row for its {target}")
    return task


def _template(section: Section, target: str, labels: tuple[str, ...], known: set[str]) -> Template:
    words = tuple(section.texts("words")) if section.has("words") else ()
    if words and len(words) != len(labels):
        raise FormatError(section.line("words"), f"'words' must name each of {len(labels)} labels")
    ask, answer = _source(section, "ask", known), _source(section, "answer", known)
    asked, answered = _names(ask), _names(answer)
    if not answered - {OPTIONS}:
        raise FormatError(section.line("answer"), "the answer names no field, so it is the same for each row")
    if leaked := sorted(asked & answered):
        raise FormatError(section.line("ask"), f"the question tells the answer: both name {leaked[0]!r}")
    alone = re.fullmatch(rf"\{{\{{\s*{re.escape(target)}\s*\}}\}}", answer.strip())
    if OPTIONS in asked and target not in asked and not alone:
        raise FormatError(section.line("answer"), f"with options the answer must be {{{{ {target} }}}} alone")
    made = Template(section.text("name"), ask, answer, words, target not in answered)
    _try(section, made)
    return made


def _source(section: Section, key: str, known: Iterable[str]) -> str:
    """A template that can be read and names known fields alone."""
    source = section.text(key)
    try:
        if unknown := sorted(_names(source) - set(known)):
            line = _line_of_name(source, unknown[0])
            told = f"{unknown[0]!r} is no field of the task; those are {', '.join(sorted(known))}"
            raise FormatError(_line(section, key, line), told)
        compile_text(source)
    except TemplateSyntaxError as error:
        raise FormatError(_line(section, key, error.lineno), error.message or "it is no template") from error
    return source


def _try(section: Section, template: Template) -> None:
    """Put a made-up row, so that what fails does so here."""
    values = {name: ["one", "two"] if name == OPTIONS else "one" for name in template.fields}
    try:
        template.put(values)
    except UnfitError as error:
        line = section.line(error.key) if error.line is None else _line(section, error.key, error.line)
        raise FormatError(line, str(error)) from error


def _written(key: str, source: str, values: Mapping[str, Any]) -> str:
    """What a template writes, without blank space at its ends. Raises UnfitError."""
    try:
        said = render_text(source, values).strip()
    except (TemplateError, TypeError, ValueError) as error:
        raise UnfitError(key, line_of(error) or 1, str(error)) from error
    if not said:
        raise UnfitError(key, None, f"{key!r} writes nothing")
    return said


def _line(section: Section, key: str, within: int) -> int:
    """The line of the file that is line `within` of a text: below its key where the text is a block."""
    node = section.nodes[key]
    if not isinstance(node, yaml.ScalarNode) or node.style != "|":
        return section.line(key)
    return int(section.first_line + node.start_mark.line) + within


def _names(source: str) -> frozenset[str]:
    """The fields that a template names. Raises TemplateSyntaxError."""
    return frozenset(names_in(source))


def _line_of_name(source: str, name: str) -> int:
    parsed = Environment(autoescape=True).parse(source)
    return next(node.lineno for node in parsed.find_all(nodes.Name) if node.name == name)
