"""The reliability diagram: how often a classifier is right, against how sure it says it is. SVG text.

As in Niculescu-Mizil & Caruana (2005), with the interval of each bin, and how many texts it holds.
"""

from collections.abc import Sequence

from feedback.plots import Scale, short
from training.classify.measure import Bin, Calibration

SIDE, LEFT, TOP, BOTTOM, RIGHT = 300, 44, 14, 40, 12
COUNTS = 60
"""The height of the strip of counts below."""


def reliability(title: str, found: Calibration) -> str:
    """Bars reach to the share that is right; the diagonal is where they would be if every probability were
    true.
    """
    x = Scale(0, 1, LEFT, SIDE - RIGHT)
    y = Scale(0, 1, SIDE - BOTTOM, TOP)
    parts = [_axes(x, y), _line("ideal", x(0), y(0), x(1), y(1))]
    parts += [_bar(one, x, y) for one in found.bins if one.right]
    parts.append(_counts(found.bins, x))
    said = f"{title}: calibration error {found.ece:.3f}"
    height = SIDE + COUNTS
    svg = (
        f'<svg class="plot" viewBox="0 0 {SIDE} {height}" role="img" aria-label="{said}">'
        f"{''.join(parts)}</svg>"
    )
    return (
        f"<figure><figcaption>{title}: T = {found.temperature:.2f}, ECE <b>{found.ece:.3f}</b>, "
        f"log loss {found.log_loss:.3f}</figcaption>{svg}</figure>"
    )


def _axes(x: Scale, y: Scale) -> str:
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    lines = [
        _line("grid", x(0), y(tick), x(1), y(tick)) + _text(x(0) - 6, y(tick) + 4, short(tick), "end")
        for tick in ticks
    ]
    marks = [_text(x(tick), y(0) + 15, short(tick), "middle") for tick in ticks]
    names = (
        _text((x(0) + x(1)) / 2, y(0) + 32, "probability of the label it says", "middle")
        + f'<text transform="translate(11 {(y(0) + y(1)) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        "share that is right</text>"
    )
    return "".join([*lines, *marks, names])


def _bar(one: Bin, x: Scale, y: Scale) -> str:
    assert one.right is not None
    left, wide = x(one.low) + 1.5, x(one.high) - x(one.low) - 3
    middle = x(one.confidence)
    said = (
        f"{one.count} texts between {one.low:.1f} and {one.high:.1f}: mean probability {one.confidence:.3f}, "
        f"right {one.right.value:.3f} ({one.right.low:.3f} to {one.right.high:.3f})"
    )
    return (
        f'<g><title>{said}</title><rect class="bar" x="{left:.1f}" y="{y(one.right.value):.1f}" '
        f'width="{wide:.1f}" height="{y(0) - y(one.right.value):.1f}"/>'
        f"{_line('range', middle, y(one.right.low), middle, y(one.right.high))}"
        f'<circle class="dot" cx="{middle:.1f}" cy="{y(one.right.value):.1f}" r="3"/></g>'
    )


def _counts(bins: Sequence[Bin], x: Scale) -> str:
    """How many texts each bin holds, as bars below the diagram."""
    most = max(one.count for one in bins)
    floor, room = SIDE + COUNTS - 6, COUNTS - 24
    parts = []
    for one in bins:
        if not one.count:
            continue
        high = max(1.0, one.count / most * room)
        wide = x(one.high) - x(one.low) - 3
        parts.append(
            f'<rect class="count" x="{x(one.low) + 1.5:.1f}" y="{floor - high:.1f}" width="{wide:.1f}" '
            f'height="{high:.1f}"/>'
            + _text(x(one.low) + 1.5 + wide / 2, floor - high - 3, str(one.count), "middle")
        )
    return "".join(parts) + _text(LEFT - 6, floor, "texts", "end")


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
