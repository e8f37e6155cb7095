"""What a classifier does, as one HTML file that needs no other: figures, confusion, reliability, mistakes.

Texts come from data: they are escaped, and never markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

from feedback.statistics import Interval
from training.classify.heads import HeadInfo
from training.classify.measure import Measured
from training.classify.plot import reliability

PARTS = Path(__file__).parent / "page"
MISTAKES = 25
MOST_LABELS_SHOWN = 30
WORDS_FOR = {
    "frozen": "a head on the frozen trunk",
    "lora": "a head, and a LoRA on the trunk",
    "full": "a head, and the whole trunk tuned",
}


@dataclass(frozen=True)
class Mistake:
    """A text that was taken for `said`, with this probability, where it is `gold`."""

    text: str
    gold: str
    said: str
    probability: float


def page(info: HeadInfo, on: str, found: Measured, mistakes: Sequence[Mistake]) -> str:
    """The whole file. `on`: the part that `found` and `mistakes` come from."""
    flattering = (
        "" if on == "test" else "<p><b>Measured on the calibration part, which flatters: it chose.</b></p>"
    )
    return _part("report.html").format(
        style=_part("report.css"),
        name=escape(info.name),
        about=escape(
            f"{WORDS_FOR[info.method]}, {info.base_id}, {info.created_at[:16].replace('T', ' ')} UTC; "
            f"texts put as {info.wording.name}"
        ),
        flattering=flattering,
        headline=_headline(found),
        labels=_labels(found),
        confusion=_confusion(found),
        before=reliability("As trained", found.before),
        after=reliability("With T fitted", found.after),
        mistakes=_mistakes(mistakes),
        shown=min(MISTAKES, len(mistakes)),
        wrong=len(mistakes),
    )


@lru_cache
def _part(file: str) -> str:
    return (PARTS / file).read_text("utf-8")


def _headline(found: Measured) -> str:
    facts = (
        ("accuracy", _told(found.accuracy)),
        ("macro F1", f"{found.macro_f1:.3f}"),
        ("ECE", f"{found.before.ece:.3f}, with temperature {found.after.ece:.3f}"),
        ("texts", str(found.examples)),
    )
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)


def _told(share: Interval | None) -> str:
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})" if share else "-"


def _labels(found: Measured) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(one.label)}</th><td class="n">{one.examples}</td>'
        f'<td class="n">{_told(one.precision)}</td><td class="n">{_told(one.recall)}</td>'
        f'<td class="n">{one.f1:.3f}</td></tr>'
        for one in found.labels
    )
    return _table(("label", "texts", "precision (95 %)", "recall (95 %)", "F1"), rows)


def _confusion(found: Measured) -> str:
    """Gold labels down, what was said across; each row's shares as colour."""
    names = [one.label for one in found.labels]
    if len(names) > MOST_LABELS_SHOWN:
        return f"<p>{len(names)} labels are too many for a table; the manifest has the matrix.</p>"
    rows = []
    for at, (name, counts) in enumerate(zip(names, found.confusion, strict=True)):
        total = sum(counts) or 1
        cells = "".join(
            f'<td class="heat{" right" if at == other else ""}{" strong" if count / total >= 0.55 else ""}" '
            f'style="--share:{count / total:.3f}"><b>{count}</b><small>{count / total:.0%}</small></td>'
            for other, count in enumerate(counts)
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return _table(("it is \\ it says", *names), "".join(rows))


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>There is none.</p>"
    worst = sorted(mistakes, key=lambda one: -one.probability)[:MISTAKES]
    rows = "".join(
        f'<tr><td class="n">{one.probability:.3f}</td><td>{escape(one.said)}</td><td>{escape(one.gold)}</td>'
        f"<td>{escape(one.text)}</td></tr>"
        for one in worst
    )
    return _table(("sure", "said", "is", "text"), rows)


def _table(labels: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
