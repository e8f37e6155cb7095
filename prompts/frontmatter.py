"""The YAML at the head of a template, read strictly. Knows YAML; not what the keys mean.

Unknown, repeated and wrongly typed keys are refused with their line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

FENCE = "---"

T = TypeVar("T", bound=str)

_DECIMAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")


class FormatError(Exception):
    """What is wrong, and on which line of the file (None: nowhere in particular). Told in words by whoever
    reads the file (`section_files.read`)."""

    def __init__(self, line: int | None, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(reason)


def split(text: str) -> tuple[str, str]:
    """Front matter and body. The body opens with as many line ends as stood before it: line numbers hold."""
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if line.rstrip() == FENCE][:2]
    if len(fences) < 2 or fences[0] != 0:
        raise FormatError(1, f"a template opens with front matter between two lines of {FENCE}")
    end = fences[1]
    return "\n".join(lines[1:end]), "\n" * (end + 1) + "\n".join(lines[end + 1 :])


def with_values(text: str, changes: Mapping[str, Any]) -> str:
    """`text`, a template, with these keys of its front matter set; None: taken out. All else stays letter by
    letter, but for comments that stand inside a value or between it and the next key. A new key comes last.

    Values are texts, numbers, and lists and mappings of them. FormatError where `text` has no front matter.
    """
    front, body = split(text)
    node = yaml.compose(front, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise FormatError(2, "the front matter must be `key: value`, a line each")
    lines = front.split("\n")
    begins = [(str(key.value), int(key.start_mark.line)) for key, _ in node.value]
    ends = [begin for _, begin in begins[1:]] + [len(lines)]
    head = lines[: begins[0][1]]
    kept = [
        _written(key, changes[key]) if key in changes else lines[begin:end]
        for (key, begin), end in zip(begins, ends, strict=True)
    ]
    new = [_written(key, value) for key, value in changes.items() if key not in dict(begins)]
    written = [line for part in (head, *kept, *new) for line in part]
    return "\n".join([FENCE, *written, FENCE, body[len(lines) + 2 :]])


def _written(key: str, value: Any) -> list[str]:
    """The lines of one key."""
    if value is None:
        return []
    dumped: str = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=100)
    return dumped.rstrip("\n").split("\n")


@dataclass(frozen=True)
class Section:
    """A YAML mapping with the line of each key, and the one it opens at. first_line: of all the YAML."""

    nodes: dict[str, yaml.Node]
    lines: dict[str, int]
    opens: int
    first_line: int

    def has(self, key: str) -> bool:
        return key in self.nodes

    def line(self, key: str) -> int:
        return self.lines.get(key, self.opens)

    def text(self, key: str) -> str:
        """A text that is not blank."""
        node = self.nodes.get(key)
        if node is None:
            raise FormatError(self.opens, f"{key!r} is missing")
        if not isinstance(node, yaml.ScalarNode) or not str(node.value).strip():
            raise FormatError(self.lines[key], f"{key!r} must be a text")
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise FormatError(self.lines[key], f"{key!r} holds half a character")
        return str(node.value)

    def positive(self, key: str, most: int = 1_000_000) -> int | None:
        """A whole number from 1 to `most`, or None where the key is absent."""
        node = self.nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or not node.value.isascii() or not node.value.isdigit():
            raise FormatError(self.lines[key], f"{key!r} must be a whole number")
        digits = node.value.lstrip("0")
        if not digits:
            raise FormatError(self.lines[key], f"{key!r} must be above 0")
        if len(digits) > len(str(most)) or int(digits) > most:
            raise FormatError(self.lines[key], f"{key!r} may be {most} at most")
        return int(digits)

    def number(self, key: str, most: float, least: float = 0.0) -> float | None:
        """A decimal number from `least` to `most`, or None where the key is absent."""
        node = self.nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or not _DECIMAL.fullmatch(node.value):
            raise FormatError(self.lines[key], f"{key!r} must be a number such as 0.7")
        if float(node.value) > most:
            raise FormatError(self.lines[key], f"{key!r} may be {most:g} at most")
        if float(node.value) < least:
            raise FormatError(self.lines[key], f"{key!r} may be {least:g} at least")
        return float(node.value)

    def true(self, key: str) -> bool:
        """Whether the key is there; where it is, it can only be true."""
        node = self.nodes.get(key)
        if node is not None and (not isinstance(node, yaml.ScalarNode) or node.value != "true"):
            raise FormatError(self.lines[key], f"{key!r} can only be true")
        return node is not None

    def one_of(self, key: str, values: Sequence[T]) -> T:
        """The one of `values` that stands under the key."""
        text = self.text(key)
        for value in values:
            if value == text:
                return value
        raise FormatError(self.lines[key], f"{key!r} must be one of {', '.join(values)}")

    def texts(self, key: str) -> list[str]:
        """A list of texts that are not blank; at least one."""
        node = self.nodes.get(key)
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise FormatError(self.line(key), f"{key!r} must be a list of texts")
        return [self._item(key, item).text(key) for item in node.value]

    def is_mapping(self, key: str) -> bool:
        return isinstance(self.nodes.get(key), yaml.MappingNode)

    def names(self, key: str) -> list[str]:
        """A list of different names, each fit for a variable; at least one."""
        node = self.nodes.get(key)
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise FormatError(self.line(key), f"{key!r} must be a list of names")
        found: list[str] = []
        for item in node.value:
            line = self._line_of(item)
            if not isinstance(item, yaml.ScalarNode) or not (
                item.value.isascii() and item.value.isidentifier()
            ):
                raise FormatError(line, f"{key!r} must hold names of letters, digits and _")
            if item.value in found:
                raise FormatError(line, f"{item.value!r} stands twice under {key!r}")
            found.append(item.value)
        return found

    def section(self, key: str, keys: tuple[str, ...]) -> "Section | None":
        node = self.nodes.get(key)
        return None if node is None else _section(node, self.first_line, keys)

    def sections(self, key: str, keys: tuple[str, ...]) -> list["Section"]:
        node = self.nodes.get(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise FormatError(self.lines[key], f"{key!r} must be a list")
        return [_section(item, self.first_line, keys) for item in node.value]

    def some(self, key: str, keys: tuple[str, ...], one: str) -> list["Section"]:
        """The sections under `key`, `one` of which there must be."""
        found = self.sections(key, keys)
        if not found:
            raise FormatError(self.first_line, f"{key!r} must be a list with at least one {one}")
        return found

    def _item(self, key: str, item: yaml.Node) -> "Section":
        """An item of the list under `key`, as if it stood alone there."""
        line = self._line_of(item)
        return Section({key: item}, {key: line}, line, self.first_line)

    def _line_of(self, node: yaml.Node) -> int:
        return self.first_line + int(node.start_mark.line)


def mapping(text: str, first_line: int, keys: tuple[str, ...]) -> Section:
    """The mapping in `text`, whose first line is `first_line` of its file; only `keys` may stand in it."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError as error:
        raise FormatError(first_line, "the YAML is nested too deeply") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = str(getattr(error, "problem", None) or "the YAML cannot be read")
        raise FormatError(first_line + mark.line if mark else first_line, reason) from error
    return _section(node, first_line, keys)


def _section(node: yaml.Node | None, first_line: int, keys: tuple[str, ...]) -> Section:
    if not isinstance(node, yaml.MappingNode):
        line = first_line + int(node.start_mark.line) if node is not None else first_line
        raise FormatError(line, f"here must stand {', '.join(keys)}")
    values: dict[str, yaml.Node] = {}
    lines: dict[str, int] = {}
    for key_node, value in node.value:
        line, key = first_line + int(key_node.start_mark.line), key_node.value
        if key not in keys:
            raise FormatError(line, f"the key {key!r} is unknown; known are {', '.join(keys)}")
        if key in values:
            raise FormatError(line, f"the key {key!r} stands twice")
        values[key], lines[key] = value, line
    return Section(values, lines, first_line + int(node.start_mark.line), first_line)
