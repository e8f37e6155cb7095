"""The operator page: how a classifier is shown, in the list of all and under the run that made it."""

from urllib.parse import quote

from feedback import parts as html
from training.classify.heads import HeadInfo

LABELS_SHOWN = 4


def under_run(info: HeadInfo | None) -> html.Markup:
    """What was measured of the classifier that a run made; empty for a run that made none."""
    if info is None:
        return html.join()
    report = html.tag("p", html.join("Accuracy ", accuracy(info)))
    about = html.join(html.note(labels_of(info)), report, html.tag("p", report_link(info)))
    return html.join(html.tag("h4", html.text(info.name)), '<div data-testid="classifier">', about, "</div>")


def labels_of(info: HeadInfo) -> str:
    """Its labels; the first of many."""
    shown = ", ".join(info.labels[:LABELS_SHOWN])
    more = len(info.labels) - LABELS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def accuracy(info: HeadInfo) -> html.Markup:
    """With its interval, and on what."""
    measured, on_test = info.metrics["measured"], info.metrics["on"] == "test"
    found, texts = measured["accuracy"], html.plural(measured["examples"], "text")
    figure = f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
    told = f"{texts} of the test data" if on_test else f"{texts} that chose it, which flatters"
    return html.join(
        html.tag("span", html.text(figure), "hone-figure"), html.note(told, "plain" if on_test else "unsure")
    )


def report_link(info: HeadInfo) -> html.Markup:
    """A link to its report, in a tab of its own."""
    address = f"/api/classifiers/{quote(info.name, safe='')}/report"
    return html.Markup(f'<a href="{address}" target="_blank" rel="noopener">Its report</a>')
