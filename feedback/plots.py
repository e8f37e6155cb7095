"""Curves, a histogram, strips and stacked bars for pages, as SVG text. Pure: numbers in, SVG out.

Colours come from CSS variables of what they stand in (a page, or a file of feedback.pictures), so that one
picture serves light and dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10
from pathlib import Path

SHEET = Path(__file__).parent / "static" / "plots.css"
"""How curves look; the rest stands with the pages."""
WIDTH, WIDE, HEIGHT = 320, 480, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 22
SMALLEST_SPAN = 1e-300
"""Below it numbers lose their digits, and a part of it may be nothing."""


@dataclass(frozen=True)
class Scale:
    """Maps values in [low, high] onto pixels in [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span else self.start


def nice_ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high], increasing."""
    size = max(abs(low), abs(high))
    if high - low < max(SMALLEST_SPAN, size * 1e-9):  # flat, as far as an axis can tell
        half = size / 2 if size >= SMALLEST_SPAN else 0.5
        low, high = low - half, high + half
    raw = (high - low) / max(1, wanted - 1)
    power = 10.0 ** floor(log10(raw))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= raw * (1 - 1e-9))
    first = floor(low / step + 1e-9)
    ticks = [first * step]
    while ticks[-1] < high - step * 1e-9:
        ticks.append((first + len(ticks)) * step)
    return ticks


def short(value: float) -> str:
    """A number for an axis: three significant digits at most, no trailing noise."""
    text = f"{value:.3g}"
    return "0" if text in ("-0", "0") else text.replace("e-0", "e-").replace("e+0", "e")


@dataclass(frozen=True)
class Curve:
    """A line over steps. `points`: (step, value). `last_x`: where the axis ends. `level`: a dashed mark.

    `others`: lines to compare with, in the order of their `legend`; one without points keeps its place.
    """

    title: str
    points: Sequence[tuple[float, float]]
    last_x: float | None = None
    level: float | None = None
    others: Sequence[Sequence[tuple[float, float]]] = ()

    @property
    def now(self) -> str:
        """Its newest value, in words."""
        return short(self.points[-1][1]) if self.points else "no values yet"


def curve(one: Curve) -> str:
    """The curve as a piece of a page."""
    body = _svg(WIDTH, HEIGHT, f"{one.title}: {one.now}", lines(one))
    return f"<figure><figcaption>{escape(one.title)} <b>{escape(one.now)}</b></figcaption>{body}</figure>"


def lines(one: Curve) -> str:
    """What stands inside the curve's SVG, WIDTH by HEIGHT."""
    everything = [point for line in (one.points, *one.others) for point in line]
    values = [value for _, value in everything] + ([one.level] if one.level is not None else [])
    ticks = nice_ticks(min(values, default=0.0), max(values, default=1.0))
    x = Scale(0, max([one.last_x or 0, *(at for at, _ in everything), 1]), LEFT, WIDTH - RIGHT)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_grid(ticks, y), _x_axis(x)]
    if one.level is not None:
        parts.append(_line(LEFT, y(one.level), WIDTH - RIGHT, y(one.level), "level"))
    parts += [_path(line, x, y, f"curve other o{place}") for place, line in enumerate(one.others) if line]
    if one.points:
        at, value = one.points[-1]
        parts.append(_path(one.points, x, y, "curve"))
        parts.append(f'<circle class="dot" cx="{x(at):.1f}" cy="{y(value):.1f}" r="3"/>')
    return "".join(parts)


def legend(name: str, others: Sequence[str]) -> str:
    """Which line of a `curve` is whose, each by its colour and its dashes."""
    keys = [("curve", name), *((f"curve other o{place}", one) for place, one in enumerate(others))]
    items = "".join(
        f'<li><svg class="plot" viewBox="0 0 26 8" aria-hidden="true">{_line(1, 4, 25, 4, kind)}</svg>'
        f"<span>{escape(said)}</span></li>"
        for kind, said in keys
    )
    return f'<ul class="legend">{items}</ul>'


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale, kind: str) -> str:
    path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def word_histogram(chosen: Sequence[int], rejected: Sequence[int]) -> str:
    """How long chosen and rejected replies are, in words: two bars a bin; the longest 2 % share the last."""
    everything = sorted([*chosen, *rejected])
    if not everything:
        return ""
    top = max(10, everything[min(len(everything) - 1, int(len(everything) * 0.98))])
    edges = nice_ticks(0, top, 9)
    width = edges[1] - edges[0]
    counts = [_binned(values, width, len(edges) - 1) for values in (chosen, rejected)]
    high = nice_ticks(0, max(*counts[0], *counts[1], 1), 3)
    x = Scale(0, edges[-1], LEFT, WIDE - RIGHT)
    y = Scale(0, high[-1], HEIGHT - BOTTOM, TOP)
    each = (x(width) - x(0)) / 2 - 2
    bars = []
    for side, name in enumerate(("chosen", "rejected")):
        for at, count in enumerate(counts[side]):
            left = x(at * width) + 1 + side * (each + 1)
            said = f"{count} {name} replies of {short(at * width)} to {short((at + 1) * width)} words"
            bars.append(
                f'<rect class="{name}" x="{left:.1f}" y="{y(count):.1f}" width="{each:.1f}" rx="1.5" '
                f'height="{y(0) - y(count):.1f}"><title>{said}</title></rect>'
            )
    labels = "".join(_text(x(edge), HEIGHT - 6, short(edge), "middle") for edge in edges)
    grid = _grid(high, y, WIDE)
    legend = '<span class="key chosen">chosen</span> <span class="key rejected">rejected</span>'
    body = _svg(WIDE, HEIGHT, "Words in chosen and rejected replies", grid + "".join(bars) + labels)
    return f"<figure><figcaption>Words in a reply {legend}</figcaption>{body}</figure>"


def _binned(values: Sequence[int], width: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int(value / width))] += 1
    return counts


def interval(
    value: float,
    low: float | None,
    high: float | None,
    bar: float | None,
    ok: bool | None,
    axis: tuple[float, float] | None = None,
) -> str:
    """One check as a strip: a dot for the value, a line for its interval, a mark for the bar. `axis`: from
    where to where, for strips below each other that are to be compared; None: what this one has.
    """
    shown = axis or [number for number in (value, low, high, bar) if number is not None]
    pad = 0.0 if axis else (max(shown) - min(shown) or abs(value) or 1.0) * 0.15
    x = Scale(min(shown) - pad, max(shown) + pad, 6, 154)
    parts = [_line(6, 11, 154, 11, "rail")]
    if low is not None and high is not None:
        parts.append(_line(x(low), 11, x(high), 11, "range"))
    if bar is not None:
        parts.append(_line(x(bar), 2, x(bar), 20, "bar"))
    parts.append(f'<circle class="dot" cx="{x(value):.1f}" cy="11" r="4"/>')
    kind = {True: "ok", False: "no", None: "plain"}[ok]
    said = f"{short(value)}" + (f", bar {short(bar)}" if bar is not None else "")
    return _svg(160, 22, said, "".join(parts), f"strip {kind}")


def stacked(title: str, parts: Sequence[tuple[str, float]], limit: float, unit: str, limit_said: str) -> str:
    """What a sum is made of, and below it how much of `limit` the sum takes.

    `parts`: (name, value), in the order in which they are drawn; those of 0 are left out.
    """
    shown = [(name, value) for name, value in parts if value > 0]
    total = sum(value for _, value in shown)
    whole, room = Scale(0, total, 0, WIDE), Scale(0, max(total, limit), 0, WIDE)
    bars, keys, at = [], [], 0.0
    for number, (name, value) in enumerate(shown):
        said = f"{name}: {value:.2f} {unit}"
        width = max(0.0, whole(at + value) - whole(at) - 1)
        bars.append(_bar(whole(at), 0, width, 30, f"part p{number}", said))
        keys.append(f'<li class="p{number}"><span>{escape(name)}</span><b>{value:.2f}</b></li>')
        at += value
    kind = "used over" if total > limit else "used"
    bars.append(_bar(0, 42, room(limit), 10, "room", limit_said))
    bars.append(_bar(0, 42, room(total), 10, kind, f"{total:.2f} {unit}"))
    if total > limit:
        bars.append(_line(room(limit), 38, room(limit), 56, "bar"))
    body = _svg(WIDE, 58, f"{title}: {total:.2f} {unit}, {limit_said}", "".join(bars), "plot stacked")
    head = f"<figcaption>{escape(title)} <b>{total:.2f} {escape(unit)}</b></figcaption>"
    return f'<figure class="stacked">{head}{body}<p>{escape(limit_said)}</p><ul>{"".join(keys)}</ul></figure>'


def _bar(x: float, y: float, width: float, height: float, kind: str, said: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2">'
        f"<title>{escape(said)}</title></rect>"
    )


def _grid(ticks: Sequence[float], y: Scale, width: int = WIDTH) -> str:
    return "".join(
        _line(LEFT, y(tick), width - RIGHT, y(tick), "grid")
        + _text(LEFT - 6, y(tick) + 3.5, short(tick), "end")
        for tick in ticks
    )


def _x_axis(x: Scale) -> str:
    middle = round(x.high / 2)
    marks = sorted({0, middle, round(x.high)} if x.high >= 4 else {0, round(x.high)})
    return "".join(_text(x(at), HEIGHT - 6, str(at), "middle") for at in marks)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: int, height: int, said: str, body: str, kind: str = "plot") -> str:
    label = escape(said, quote=True)
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{body}</svg>'
