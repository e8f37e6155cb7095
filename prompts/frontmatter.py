"""The YAML at the head of a template, read strictly. Knows YAML; not what the keys mean.

Unknown, repeated and wrongly typed keys are refused with their line.
"""

from dataclasses import dataclass

import yaml

FENCE = "---"


class FormatError(Exception):
    """What is wrong, and on which line of the file (None: nowhere in particular). Never leaves this room."""

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


@dataclass(frozen=True)
class Section:
    """A YAML mapping with the line of each key."""

    nodes: dict[str, yaml.Node]
    lines: dict[str, int]
    first_line: int

    def has(self, key: str) -> bool:
        return key in self.nodes

    def line(self, key: str) -> int | None:
        return self.lines.get(key, self.first_line)

    def text(self, key: str) -> str:
        """A text that is not blank."""
        node = self.nodes.get(key)
        if node is None:
            raise FormatError(self.first_line, f"{key!r} is missing")
        if not isinstance(node, yaml.ScalarNode) or not str(node.value).strip():
            raise FormatError(self.lines[key], f"{key!r} must be a text")
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise FormatError(self.lines[key], f"{key!r} holds half a character")
        return str(node.value)

    def positive(self, key: str) -> int | None:
        """A whole number above 0, or None where the key is absent."""
        node = self.nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or not node.value.isascii() or not node.value.isdigit():
            raise FormatError(self.lines[key], f"{key!r} must be a whole number")
        if int(node.value) == 0:
            raise FormatError(self.lines[key], f"{key!r} must be above 0")
        return int(node.value)

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
    return Section(values, lines, first_line)
