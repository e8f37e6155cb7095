"""Rows of text as columns for a terminal."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], ruled: bool = False) -> list[str]:
    """A line for each row, each column as wide as its widest cell. `ruled`: a line of dashes below the first.
    ValueError for rows of different lengths.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)) for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]] if ruled else lines
