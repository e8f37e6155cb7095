"""Sources: files of rows of some task, and their rows as its fields. Knows files; draws nothing.

What stands in a file is data: a text is never read as a template.
"""

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from assistant.checksums import sha256_of
from feedback.errors import HoneError
from prompts import section_files
from prompts.evaluation.formats import RowError
from prompts.evaluation.rows import Row
from prompts.frontmatter import FormatError, Section
from training.classify.data import placed
from training.instruct import tasks
from training.instruct.tasks import OPTIONS, Task

KEYS = ("file", "task", "columns", "always", "labels", "weight", "at_most")
MOST_WEIGHT = 1000.0


@dataclass(frozen=True)
class Source:
    """A file and how it is read. `columns`: by field, where a name is not found by itself. `always`: texts by
    field that are the same in all rows, whatever the file has. `labels`: in the order in which the file
    counts them, where it is not the task's. `at_most`: rows; 0: all.
    """

    file: Path
    task: Task
    columns: Mapping[str, str]
    labels: tuple[str, ...] = ()
    weight: Fraction = Fraction(1)
    at_most: int = 0
    always: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """One row: its texts by field, and what the target is picked from, where that is known."""

    texts: Mapping[str, str]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loaded:
    """The different rows of a source. `repeated`: how many were the same again, and left out.

    `sha256`: of the file. `labels`: those of its rows, where they are the same for all.
    """

    source: Source
    examples: tuple[Example, ...]
    repeated: int
    sha256: str

    @property
    def name(self) -> str:
        return self.source.file.stem

    @property
    def labels(self) -> tuple[str, ...]:
        return self.source.labels or self.source.task.labels

    @property
    def rows(self) -> int:
        """How many may be drawn."""
        return min(len(self.examples), self.source.at_most or len(self.examples))


def read_mix(file: Path) -> list[Source]:
    """The sources that a mix names; their paths are relative to it. HoneError with the line that is wrong."""
    return section_files.read(
        file,
        ("sources",),
        lambda section: [_source(one, file.parent) for one in section.some("sources", KEYS, "source")],
        f"The mix {file.name}",
        "docs/training.md shows how a mix is written.",
    )


def _source(section: Section, folder: Path) -> Source:
    named = section.text("task")
    task = tasks.load(named if named in tasks.SHIPPED else str(folder / named))
    columns, always = (
        section.section(key, tuple(one.name for one in task.fields)) for key in ("columns", "always")
    )
    weight = section.number("weight", MOST_WEIGHT)
    if weight == 0:
        raise FormatError(section.line("weight"), "'weight' must be above 0")
    return Source(
        folder / Path(section.text("file")).expanduser(),
        task,
        {name: columns.text(name) for name in columns.nodes} if columns else {},
        tuple(section.texts("labels")) if section.has("labels") else (),
        Fraction(str(weight)) if weight else Fraction(1),
        section.positive("at_most") or 0,
        {name: always.text(name) for name in always.nodes} if always else {},
    )


def columns_of(written: str, task: Task) -> dict[str, str]:
    """`field=column,field=column` by field. HoneError for what is not written so, or no field of the task."""
    return dict(_assigned(part, task, "columns", "COLUMN") for part in filter(None, written.split(",")))


def always_of(written: Iterable[str], task: Task) -> dict[str, str]:
    """`field=text` by field. HoneError as in `columns_of`."""
    return dict(_assigned(one, task, "always", "TEXT") for one in written)


def _assigned(written: str, task: Task, option: str, what: str) -> tuple[str, str]:
    known = [one.name for one in task.fields]
    name, _, value = (piece.strip() for piece in written.partition("="))
    if not value or name not in known:
        raise HoneError(
            f"{written.strip()!r} names no {what.lower()}.",
            f"The fields of {task.name} are {', '.join(known)}.",
            f"Write --{option} {known[0]}={what}.",
        )
    return name, value


def load(source: Source) -> Loaded:
    """Read a source. HoneError names the file and the line of a row that does not suit its task."""
    file = source.file
    if not file.is_file():
        raise HoneError(f"There is no data file {file}.", "", "Give .jsonl, .json, .csv or .tsv.")
    if source.labels and not source.task.labels:
        raise HoneError(f"{source.task.name} has no labels.", "", "Leave labels out.")
    if OPTIONS in source.always:
        raise HoneError(
            "The options cannot be the same text in all rows.", "", "Name a column that lists them."
        )
    rows = placed(file)
    columns = _columns(source, rows[0][1], {name for _, row in rows for name in row})
    found = []
    for where, row in rows:
        try:
            found.append(_example(source, columns, row))
        except RowError as error:
            raise HoneError(
                f"{where} of {file.name} is no row of {source.task.name}.",
                f"{str(error)[0].upper()}{str(error)[1:]}.",
                "Mend it, or name other columns or labels.",
            ) from error
    distinct = list({(*one.texts.values(), *one.options): one for one in reversed(found)}.values())[::-1]
    return Loaded(source, tuple(distinct), len(found) - len(distinct), sha256_of(file))


def _columns(source: Source, first: Row, held: Iterable[str]) -> dict[str, str]:
    """The column of each field that the file has: as given, else the first that is called so."""
    by_name = {name.strip().lower(): name for name in sorted(held)}
    taken = {name.lower() for name in source.columns.values()}
    found = {}
    for one in source.task.fields:
        if one.name in source.always:
            continue
        given = source.columns.get(one.name)
        names = [given.lower()] if given else [name.lower() for name in one.columns if name not in taken]
        column = next((by_name[name] for name in names if name in by_name), None)
        if column is not None:
            found[one.name] = column
        elif given or not one.optional:
            raise HoneError(
                f"{source.file.name} has no column for {one.name!r} of {source.task.name}.",
                f"Looked for {', '.join(names)}; it has {', '.join(sorted(first))}.",
                f"Say which it is: {one.name}=COLUMN.",
            )
    return found


def _example(source: Source, columns: Mapping[str, str], row: Row) -> Example:
    """A row's fields. RowError for one that is missing or no text, and a target that is no option."""
    task, texts = source.task, {}
    labels = source.labels or task.labels
    options = labels or _options(row.get(columns[OPTIONS]) if OPTIONS in columns else None)
    optional = {one.name for one in task.fields if one.optional}
    said = [(name, column, row.get(column)) for name, column in columns.items() if name != OPTIONS]
    said += [(name, name, text) for name, text in source.always.items()]
    for name, column, value in said:
        text = _text(value, column, name in optional)
        if name == task.target and options:
            text = _picked(text, options, lettered=not labels)
        if text:
            texts[name] = text
    return Example(texts, tuple(dict.fromkeys(options)))  # some sets list one twice


def _text(given: object, column: str, optional: bool) -> str:
    if given is None and optional:
        return ""
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        raise RowError(f"its {column} is {given!r}, not text or a number")
    text = str(given).strip()
    if not text and not optional:
        raise RowError(f"its {column} is empty")
    return text


def _options(given: object) -> tuple[str, ...]:
    if not given:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, (str, int, float)) for one in given):
        raise RowError(f"its {OPTIONS} are {given!r}, not a list of texts")
    return tuple(str(one).strip() for one in given)


def _picked(given: str, options: Sequence[str], lettered: bool) -> str:
    """The option that is meant: by its text, else by a letter from A where `lettered`, or a number from 0."""
    same = [option for option in options if option.lower() == given.lower()]
    if same:
        return given if given in same else same[0]
    letter = given.strip("().").upper()
    if lettered and len(letter) == 1 and letter in string.ascii_uppercase[: len(options)]:
        return options[string.ascii_uppercase.index(letter)]
    if given.isascii() and given.isdigit() and int(given) < len(options):
        return options[int(given)]
    raise RowError(f"{given!r} is not one of {', '.join(options)}, nor the number of one")
