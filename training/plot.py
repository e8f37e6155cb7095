"""The gate's plot: each held-out prompt's margin as a dot, and their mean with its interval against the
bar. SVG text.
"""

from collections.abc import Callable, Sequence

from training.gate import GateReport

WIDTH, HEIGHT = 640, 150
LEFT, RIGHT = 24, 616
DOTS_Y, MEAN_Y, AXIS_Y = 50, 96, 122


def svg(report: GateReport) -> str:
    """An SVG that stands alone, in the page's own text colour. Empty for a report without margins."""
    margin = next((check for check in report.checks if check.name == "margin"), None)
    if margin is None or margin.low is None or margin.high is None:
        return ""
    reach = max([abs(m) for m in report.margins_nats] + [abs(margin.low), abs(margin.high), 1e-6]) * 1.05

    def x(nats: float) -> float:
        return round(LEFT + (nats + reach) / (2 * reach) * (RIGHT - LEFT), 1)

    colour = "#16803c" if margin.ok else "#b45309"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" width="100%" '
        f'style="max-width:{WIDTH}px" fill="currentColor" font-family="system-ui" font-size="12">',
        f"<title>{margin.sentence}</title>",
        _line(x(0), x(0), 18, AXIS_Y, 'stroke="currentColor" stroke-dasharray="3 3"'),
        f'<text x="{x(0)}" y="12" text-anchor="middle">as the champion</text>',
        *_dots(report.margins_nats, x),
        _line(x(margin.low), x(margin.high), MEAN_Y, MEAN_Y, f'stroke="{colour}" stroke-width="4"'),
        f'<circle cx="{x(margin.value)}" cy="{MEAN_Y}" r="6" fill="{colour}"/>',
        _line(LEFT, RIGHT, AXIS_Y, AXIS_Y, 'stroke="currentColor" opacity="0.4"'),
        f'<text x="{LEFT}" y="{AXIS_Y + 18}">{-reach:.1f} nats: away from the chosen answer</text>',
        f'<text x="{RIGHT}" y="{AXIS_Y + 18}" text-anchor="end">towards it: {reach:.1f} nats</text>',
        "</svg>",
    ]
    return "".join(parts)


def _dots(margins: Sequence[float], x: Callable[[float], float]) -> list[str]:
    """One dot a prompt, spread over a few rows so that like margins do not hide each other."""
    return [
        f'<circle cx="{x(m)}" cy="{DOTS_Y + (i * 7) % 29 - 14}" r="3.5" opacity="0.55"/>'
        for i, m in enumerate(margins)
    ]


def _line(x1: float, x2: float, y1: float, y2: float, look: str) -> str:
    return f'<line x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}" {look}/>'
