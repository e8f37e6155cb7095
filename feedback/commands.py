"""`hone feedback ...`: what the memory says of itself. Knows click; holds no rule."""

import click

from feedback import stats as statistics
from feedback.command_line import HoneGroup, home_option, json_option, open_store, say
from feedback.home import Home


@click.group(cls=HoneGroup)
def feedback() -> None:
    """What people said about replies."""


@feedback.command()
@home_option
@json_option
def stats(home: Home, as_json: bool) -> None:
    """Count conversations, votes, ratings, demonstrations and the pairs that follow from them."""
    counts = statistics.counts(open_store(home))
    say(_table(counts, home), counts, as_json)


def _table(counts: statistics.Counts, home: Home) -> str:
    lines = [
        ("conversations", counts.conversations, ""),
        ("messages", counts.messages, f"{counts.replies} of them replies"),
        ("votes", sum(counts.votes.values()), _each(counts.votes)),
        (
            "ratings",
            counts.ratings_up + counts.ratings_down,
            f"{counts.ratings_up} up, {counts.ratings_down} down",
        ),
        ("demonstrations", counts.demonstrations, ""),
        ("withdrawn", counts.withdrawn, "votes, ratings and demonstrations that count no more"),
        ("pairs", counts.pairs, "derived from all that counts"),
        ("no pair", sum(counts.dropped.values()), _each(counts.dropped)),
        ("label tasks", counts.label_tasks_open, f"open, {counts.label_tasks_done} done"),
    ]
    rows = [f"{name:<16}{number:>8}  {remark}".rstrip() for name, number, remark in lines]
    following = (
        "`hone snapshot create` freezes the pairs for training."
        if counts.pairs
        else "Compare replies on the chat page or rank them on the label page to make pairs."
    )
    return "\n".join([f"Store: {home.store_file}", *rows, f"Next: {following}"])


def _each(numbers: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in numbers.items())
