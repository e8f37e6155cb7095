"""What the prompt page shows, as HTML: tokens, differences, replies being tried, win rates. Pure."""

from collections.abc import Sequence
from html import escape

from assistant.prompt_bench import Problem
from assistant.prompt_preview import KINDS, Kind, StepPreview
from assistant.reply_state import ReplyState
from feedback import parts, plots
from feedback.markdown import to_html
from feedback.parts import Markup
from feedback.statistics import Interval
from prompts.diff import FileDiff
from prompts.retrain import percent
from prompts.standings import Standing

MOST_TOKENS = 6000
"""Shown of one step; beyond that a browser would grow slow."""

NAMES: dict[Kind, str] = {
    "template": "template", "example": "examples", "step": "earlier steps", "question": "question",
}  # fmt: skip


def preview(steps: Sequence[StepPreview]) -> Markup:
    """Every step's exact text with its tokens, and where they come from."""
    return parts.join(*(_step(step, len(steps)) for step in steps))


def _step(step: StepPreview, of: int) -> Markup:
    counts = step.counts
    keys = "".join(
        f'<span class="pp-key {kind}"><b>{counts[kind]:,}</b> {NAMES[kind]}</span>'
        for kind in KINDS
        if counts[kind]
    )
    title = f"<b>{escape(step.title)}:</b>" if of > 1 else ""
    left_out = f" {parts.plural(step.dropped, 'example')} left out for lack of room." if step.dropped else ""
    shown = step.tokens[:MOST_TOKENS]
    body = "".join(f'<span class="t {token.kind}">{_visible(token.text)}</span>' for token in shown)
    rest = len(step.tokens) - len(shown)
    more = parts.note(f"{rest:,} more tokens are not shown.") if rest else ""
    return Markup(
        f'<div class="pp-step" data-testid="preview"><p class="pp-counts">{title}'
        f'<b data-testid="tokens">{len(step.tokens):,} tokens</b>{keys}'
        f'<span class="pp-room">room for a reply of {step.room:,}.{left_out}</span></p>'
        f'<pre class="pp-tokens" tabindex="0" aria-label="The exact text, token by token">{body}</pre>'
        f"{more}</div>"
    )


def _visible(piece: str) -> str:
    """A token's text with its line ends marked; one that completes nothing is a thin mark."""
    return escape(piece).replace("\n", "<i>⏎</i>\n") if piece else "<i>·</i>"


def diff(files: Sequence[FileDiff], old: str, new: str) -> Markup:
    """What `new` changes of `old`, file by file."""
    if not files:
        return parts.empty("The same text.", f"{new} changes nothing of {old}.")
    return parts.join(*(_file(one) for one in files))


def _file(one: FileDiff) -> Markup:
    marks = {"added": "+", "removed": "−", "same": "", "skipped": ""}
    rows = "".join(
        f'<tr class="{line.kind}"><td>{line.old or ""}</td><td>{line.new or ""}</td>'
        f"<td>{marks[line.kind]}</td><td>{escape(line.text)}</td></tr>"
        for line in one.lines
    )
    name = one.new or one.old
    said = "" if one.old and one.new else " (new)" if one.new else " (gone)"
    renamed = f"{one.old} → " if one.old and one.new and one.old != one.new else ""
    head = f"{escape(renamed + name + said)} <span>+{one.added} −{one.removed}</span>"
    return Markup(
        f'<div class="pp-diff" data-testid="diff"><p>{head}</p><div class="hone-scroll">'
        f"<table><tbody>{rows}</tbody></table></div></div>"
    )


def problem(found: Problem | None, files: dict[str, str]) -> Markup:
    """Why a source cannot be kept, with the lines around the place; a word of ease when it can."""
    if found is None:
        return Markup('<p class="pp-ok" role="status" data-testid="check">It can be saved.</p>')
    where = f"{found.file}, line {found.line}" if found.line else found.file
    place = f"<b>{escape(where)}</b> " if where else ""
    return Markup(
        f'<div class="pp-problem" role="status" data-testid="check"><p>{place}{escape(found.reason)}</p>'
        f"{_excerpt(files.get(found.file, ''), found.line)}</div>"
    )


def _excerpt(text: str, line: int | None) -> str:
    if line is None or not text:
        return ""
    lines = text.split("\n")
    around = range(max(1, line - 1), min(len(lines), line + 1) + 1)
    rows = "".join(
        f'<span class="{"here" if at == line else ""}"><i>{at}</i>{escape(lines[at - 1])}\n</span>'
        for at in around
    )
    return f"<pre>{rows}</pre>"


def side(name: str, state: ReplyState | None) -> Markup:
    """One side of a try: what was written so far."""
    head = f'<p class="hone-label">{escape(name)}</p>'
    if state is None:
        return Markup(f'<div class="pp-side" data-testid="side">{head}</div>')
    steps = "".join(_aside(step.title, step.text) for step in state.steps)
    thought = _aside("Thinking", state.reasoning) if state.reasoning else ""
    error = parts.note(state.error, "bad")
    status = {"writing": "Being written.", "stopped": "Stopped.", "complete": "", "failed": ""}[state.status]
    return Markup(
        f'<div class="pp-side {state.status}" data-testid="side" data-status="{state.status}">{head}{steps}'
        f'{thought}<div class="hone-md">{to_html(state.content)}</div>'
        f"{error}{parts.note(status)}{parts.note(_length(state))}</div>"
    )


def _aside(title: str, text: str) -> str:
    """What was written on the way to the answer."""
    return f'<div class="pp-aside"><span class="hone-label">{escape(title)}</span>{to_html(text)}</div>'


def _length(state: ReplyState) -> str:
    if not state.finished or not state.prompt_tokens:
        return ""
    words = parts.plural(len(state.content.split()), "word")
    return f"The prompt took {state.prompt_tokens:,} tokens, the answer has {words}."


def win_rate(rate: Interval | None, votes: int) -> Markup:
    """A win rate with its interval, as a strip and in words."""
    if rate is None:
        return parts.tag("span", escape("no votes yet" if not votes else "no votes lead to it"), "pp-thin")
    told = True if rate.low > 0.5 else False if rate.high < 0.5 else None
    words = (
        f"{percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)}), {parts.plural(votes, 'vote')}"
    )
    return parts.join(
        plots.interval(rate.value, rate.low, rate.high, 0.5, told, axis=(0.0, 1.0)),
        parts.tag("div", words, "pp-rate"),
    )


def thumbs(found: Standing) -> Markup:
    """The share of thumbs up, with its interval."""
    return liked(found.liked, found.thumbs.total)


def liked(share: Interval | None, total: int) -> Markup:
    """A share of thumbs up, with its interval."""
    if share is None:
        return parts.tag("span", "none", "pp-thin")
    return parts.text(
        f"{percent(share.value)} up ({percent(share.low)} to {percent(share.high)}), {total} given"
    )
