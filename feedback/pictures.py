"""Plots as files of their own: SVG that carries its colours, light and dark, for a browser or a README."""

from collections.abc import Sequence
from html import escape

from feedback import look, plots

GAP = 16
HEAD, FOOT = 24, 14
"""Above a curve its title and its newest value, below it the name of the axis."""
CELL = HEAD + plots.HEIGHT + FOOT
ROW = 18
"""The height of one name in the legend."""
SCALE = 1.5
"""How large the picture is shown where nobody says a size."""

OWN = """
svg.plot .ground { fill: var(--hone-surface); }
svg.plot text.title { font-size: 13px; fill: var(--hone-text); }
svg.plot text.now { font-weight: 600; }
"""


def curves(found: Sequence[plots.Curve], names: Sequence[str] = ()) -> str:
    """The curves, two a row. `names`: whose the lines are, the curves' own first, then their `others`."""
    columns = min(2, max(1, len(found)))
    rows = -(-len(found) // columns)
    width = columns * (plots.WIDTH + GAP) + GAP
    cells = [
        _moved(GAP + at % columns * (plots.WIDTH + GAP), GAP + at // columns * (CELL + GAP), _cell(one))
        for at, one in enumerate(found)
    ]
    top = GAP + rows * (CELL + GAP)
    keys = [_moved(GAP, top + at * ROW, _key(at, name)) for at, name in enumerate(names)]
    said = "; ".join(f"{one.title}: {one.now}" for one in found)
    return file(width, top + len(keys) * ROW, said, "".join([*cells, *keys]))


def file(width: int, height: int, said: str, body: str, style: str = "") -> str:
    """SVG text that stands alone: `body` on a ground, under the colours of Hone's pages and the `style`."""
    sheet = (
        f":root {{{look.LIGHT} --hone-font: {', '.join(look.FONT)}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{{look.DARK}}} }}\n"
        f"{plots.SHEET.read_text('utf-8')}{OWN}{style}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {width} {height}" '
        f'width="{width * SCALE:.0f}" height="{height * SCALE:.0f}" role="img" '
        f'aria-label="{escape(said, quote=True)}">\n<style>{escape(sheet, quote=False)}</style>\n'
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>{body}</svg>\n'
    )


def _cell(one: plots.Curve) -> str:
    end = plots.WIDTH - plots.RIGHT
    middle = (plots.LEFT + end) / 2
    return (
        f'<text class="title" x="0" y="14">{escape(one.title)}</text>'
        f'<text class="title now" x="{end}" y="14" text-anchor="end">{escape(one.now)}</text>'
        + _moved(0, HEAD, plots.lines(one))
        + f'<text x="{middle:.0f}" y="{CELL - 4}" text-anchor="middle">step</text>'
    )


def _key(at: int, name: str) -> str:
    kind = f"curve other o{at - 1}" if at else "curve"
    return f'<line class="{kind}" x1="0" y1="6" x2="26" y2="6"/><text x="34" y="10">{escape(name)}</text>'


def _moved(x: float, y: float, body: str) -> str:
    return f'<g transform="translate({x:g} {y:g})">{body}</g>'
