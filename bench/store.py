"""What the one SQLite file carries: votes, messages and readings a second, with many writers at once.

`python bench/store.py [--seconds 3] [--writers 8]` prints one table, in well under a minute. Every write is a
transaction of its own through the room's public door, synced to the disc, as the server's threads write. The
readings are those of a page: a person's list of conversations, a conversation's path.
"""

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from feedback import conversations, votes  # noqa: E402
from feedback.conversations import Partial, ReplyEnd  # noqa: E402
from feedback.ids import LOCAL_USER, UserId  # noqa: E402
from feedback.store import Store  # noqa: E402
from tests import build  # noqa: E402

FULL = 2000
"""Conversations in the store before anything is measured."""
GROWING = 32


def filled(folder: Path) -> tuple[Store, list[build.Asked]]:
    """A store with `FULL` conversations of two replies."""
    store = build.store(folder)
    with store.transaction():
        asked = [
            build.asked(store, f"What is thing {n}?", "A thing of some kind. " * 20, "I do not know. " * 20)
            for n in range(FULL)
        ]
    return store, asked


def rate(
    work: Callable[[int], None], numbers: Iterator[int], threads: int, seconds: float
) -> tuple[float, float]:
    """(calls a second, milliseconds of the slowest twentieth) of `threads` that call `work` all the time."""
    until = time.perf_counter() + seconds
    times: list[float] = []

    def go() -> None:
        while (begun := time.perf_counter()) < until:
            work(next(numbers))
            times.append(time.perf_counter() - begun)

    workers = [threading.Thread(target=go) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(times) / seconds, 1000 * sorted(times)[int(len(times) * 0.95)]


def works(store: Store, asked: list[build.Asked]) -> dict[str, Callable[[int], None]]:
    """What is measured, by name; each is called with a number of its own."""
    people = [UserId(build.person(store, f"p{n}")) for n in range(50)]

    def vote(n: int) -> None:
        about, person = asked[n % FULL], people[(n // FULL) % len(people)]
        votes.record(store, votes.NewVote(person, about.prompt_id, about.replies, (1, 2), "api"))

    def turn(n: int) -> None:
        """A question and its reply: what one chat turn writes, the saves of what is half written aside."""
        conversation_id = asked[n % FULL].conversation_id
        with store.transaction():
            message_id = conversations.add_user_message(store, conversation_id, None, "And what else?")
            reply_id = conversations.start_reply(store, message_id, build.START)
        conversations.finish_reply(store, reply_id, ReplyEnd("complete", "It is " * 100))

    with store.transaction():
        growing = [
            conversations.start_reply(store, one.prompt_id, build.START, hidden=True)
            for one in asked[:GROWING]
        ]

    def save(n: int) -> None:
        """What the server does once a second for all replies in progress."""
        text = f"It is {n} " * 50
        conversations.save_partials(store, [Partial(one, text, "", ()) for one in growing])

    def listing(n: int) -> None:
        conversations.listing(store, LOCAL_USER)

    def path(n: int) -> None:
        conversations.path(store, asked[n % FULL].replies[0])

    return {
        "votes": vote,
        "chat turns (message and start, end: 2 writes)": turn,
        f"saves of {GROWING} replies in progress (1 write)": save,
        "readings of a conversation": path,
        f"readings of a list of {FULL} conversations": listing,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seconds", type=float, default=3.0, help="for each line of the table")
    options.add_argument("--writers", type=int, default=8, help="threads at once in the second column")
    chosen = options.parse_args()
    sys.stdout.write(f"| a second | one thread | slowest 5 % | {chosen.writers} threads | slowest 5 % |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        store, asked = filled(Path(folder))
        for name, work in works(store, asked).items():
            numbers = itertools.count()
            cells = [rate(work, numbers, threads, chosen.seconds) for threads in (1, chosen.writers)]
            told = " | ".join(f"{a_second:.0f} | {slow_ms:.1f} ms" for a_second, slow_ms in cells)
            sys.stdout.write(f"| {name} | {told} |\n")
        size_bytes = sum(file.stat().st_size for file in Path(folder).glob("hone.db*"))
        rows = store.row("SELECT count(*) AS n FROM messages")
        assert rows is not None
        sys.stdout.write(f"\n{size_bytes / rows['n']:.0f} bytes of file a message, votes included.\n")


if __name__ == "__main__":
    main()
