"""Labelled texts from files, and the part of them that calibrates. Knows no model.

What stands in a file is data: a text is never read as a template.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedback.datasets import Example, Labelled
from feedback.errors import HoneError
from prompts.evaluation import rows
from prompts.evaluation.formats import FORMATS, SENTIMENTS, TOPICS, RowError

FORMATS_WITH_LABELS = {"sst2": SENTIMENTS, "ag-news": TOPICS}
"""The formats of evaluation whose answers are the same few labels for every row."""
TEXT_FIELDS, LABEL_FIELDS = ("text", "sentence"), ("label_name", "label")
FEWEST_A_LABEL = 2
"""One text to learn from and one to calibrate on."""


def place(written: str) -> tuple[Path, str]:
    """The file of `FILE` or `FORMAT:FILE`, and the name of its format; "" for none."""
    name, colon, rest = written.partition(":")
    has_format = bool(colon) and name in FORMATS_WITH_LABELS
    return Path(rest if has_format else written).expanduser(), name if has_format else ""


def read(written: str, known: Sequence[str] = ()) -> Labelled:
    """The labelled texts in `FILE`, or in `FORMAT:FILE` for a format of `FORMATS_WITH_LABELS`.

    A plain row has `text` or `sentence`, and `label_name` or `label`, which is text or a whole number.
    `known`: where given, the labels that may occur. HoneError names the line. Labels stand in the format's
    order, else sorted.
    """
    file, name = place(written)
    form = FORMATS[name] if name else None
    if not file.is_file():
        raise HoneError(
            f"There is no data file {file}.",
            "",
            f"Give a file, or FORMAT:FILE where FORMAT is one of {', '.join(FORMATS_WITH_LABELS)}.",
        )
    found: list[Example] = []
    for where, row in placed(file, form.columns if form else ()):
        try:
            if form:
                example = Example(str(form.fields(row)["text"]).strip(), form.gold(row).answer)
            else:
                example = Example(_text(row), _label(row))
            if not example.text:
                raise RowError("its text is empty")
            if known and example.label not in known:
                raise RowError(f"its label is {example.label!r}, not one of {', '.join(known)}")
        except RowError as error:
            raise _unusable(file, where, error) from error
        found.append(example)
    seen = {example.label for example in found}
    order = FORMATS_WITH_LABELS[name] if form else sorted(seen, key=_by_number)
    labels = tuple(label for label in order if label in seen)
    return Labelled(labels, form.question if form else "", tuple(found))


def placed(file: Path, columns: Sequence[str] = ()) -> list[tuple[str, rows.Row]]:
    """Each row with its place: its line, where a line is a row. HoneError as `rows.read`."""
    read_rows = rows.read(file, columns)
    if file.suffix.lower() in (".jsonl", ".ndjson"):
        lines = file.read_text("utf-8-sig").split("\n")
        numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
        return [(f"Line {number}", row) for number, row in zip(numbers, read_rows, strict=True)]
    return [(f"Row {number}", row) for number, row in enumerate(read_rows, 1)]


def text_of(file: Path, where: str, row: rows.Row) -> str:
    """The text of a row that needs no label. HoneError, with its place, where it has none."""
    try:
        if text := _text(row):
            return text
        raise RowError("its text is empty")
    except RowError as error:
        raise _unusable(file, where, error) from error


def _unusable(file: Path, where: str, error: RowError) -> HoneError:
    why = str(error)
    return HoneError(f"{where} of {file.name} cannot be used.", f"{why[0].upper()}{why[1:]}.", "Mend it.")


def _text(row: rows.Row) -> str:
    for name in TEXT_FIELDS:
        if isinstance(row.get(name), str):
            return str(row[name]).strip()
    raise RowError(
        f"it has no text in {' or '.join(TEXT_FIELDS)}; it has {', '.join(sorted(row)) or 'nothing'}"
    )


def _label(row: rows.Row) -> str:
    """The label as text: "1" for 1, so that CSV and JSON agree."""
    given = next((row[name] for name in LABEL_FIELDS if row.get(name) is not None), None)
    if isinstance(given, bool) or not isinstance(given, (str, int)) or not str(given).strip():
        raise RowError(
            f"its label is {given!r}, not text or a whole number" if given is not None else "it has no label"
        )
    return str(given).strip()


def _by_number(label: str) -> tuple[bool, int, str]:
    """Numbers by their size, before words."""
    whole = label.lstrip("-").isdecimal()
    return (not whole, int(label) if whole else 0, label)


@dataclass(frozen=True)
class Split:
    """Examples to learn from, examples that choose and calibrate, and how many were left out, and why."""

    train: tuple[Example, ...]
    calibration: tuple[Example, ...]
    repeated: int
    in_test: int

    @property
    def sentence(self) -> str:
        said = f"{len(self.train)} examples to learn from, {len(self.calibration)} to choose and calibrate by"
        if self.repeated:
            said += f"; {self.repeated} left out, the same text and label again"
        if self.in_test:
            said += f"; {self.in_test} left out, their text is in the test data"
        return said + "."


def split(examples: Sequence[Example], share: float, test: Sequence[Example] = ()) -> Split:
    """Divide by text, so that none is on both sides; `share` of each label's texts calibrate, one at least.

    A text's place hangs on its own hash: the order of the file changes nothing. What is tested on is left
    out. HoneError for fewer than two labels, or a label with fewer than `FEWEST_A_LABEL` texts.
    """
    tested = {example.text for example in test}
    distinct = list(dict.fromkeys(examples))
    kept = [example for example in distinct if example.text not in tested]
    texts_of: dict[str, list[str]] = {}
    for text, label in {example.text: example.label for example in kept}.items():
        texts_of.setdefault(label, []).append(text)
    if not kept:
        raise HoneError(
            "There is nothing to learn from.",
            "Every text is in the test data.",
            "Give other data to one of them.",
        )
    _check(texts_of)
    chosen: set[str] = set()
    for texts in texts_of.values():
        count = min(len(texts) - 1, max(1, round(share * len(texts))))
        chosen.update(sorted(texts, key=_hashed)[:count])
    return Split(
        tuple(example for example in kept if example.text not in chosen),
        tuple(example for example in kept if example.text in chosen),
        len(examples) - len(distinct),
        len(distinct) - len(kept),
    )


def _check(texts_of: Mapping[str, Sequence[str]]) -> None:
    if len(texts_of) < 2:
        raise HoneError(
            "There is nothing to tell apart.",
            f"All texts carry one label, {next(iter(texts_of))}.",
            "Give examples of at least two labels.",
        )
    rare = [label for label, texts in texts_of.items() if len(texts) < FEWEST_A_LABEL]
    if rare:
        raise HoneError(
            f"There are too few examples of {', '.join(sorted(rare))}.",
            "Each label needs a text to learn from and another to calibrate on.",
            "Add examples, or leave that label out.",
        )


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
