"""Replies that share the forward passes of a transformers model. Knows rows and versions; no text, no store.

Each step reads a piece of one unread prompt and computes one token of every reply (continuous batching, Yu
et al. 2022, Orca, OSDI): a prompt is read on its own, then its row joins those that write, until it is over.

Not the library's own continuous batching (transformers' ContinuousBatchingManager): it draws each token
itself, from torch's one random state, so it has no place for a reply's own seed and sampler, and it knows no
adapter per row.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from assistant.engines.decode import PREFILL_TOKENS, Decoding, Forward
from assistant.engines.sequences import Writing
from assistant.engines.served_model import ServedModel
from feedback.errors import HoneError

ROWS = 64
"""Replies computed side by side; more wait."""
BATCH_ROWS = 32
"""Of these, what batches may fill: drawing or evaluation slows a chat down and never keeps it waiting."""


@dataclass(eq=False)
class _Group:
    """Rows of one forward pass. A row is None once its reply is over, until it leaves.

    alone: a pass that it shared failed; it shares no more.
    """

    rows: list[Writing | None]
    decoding: Decoding
    alone: bool = False

    def live(self) -> list[int]:
        return [at for at, row in enumerate(self.rows) if row is not None]

    def writings(self) -> list[Writing]:
        return [row for row in self.rows if row is not None]


class Lane:
    """Rows share a pass when their cache can be joined and their versions are one, or mix (`ServedModel`);
    others take turns, a pass a step each. Lives on the model's thread: every method is called there.
    """

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._chats: deque[Writing] = deque()
        self._batches: deque[deque[Writing]] = deque()
        self._groups: list[_Group] = []
        self._joinable = Decoding(served.model, [[0]]).joinable
        self._going = False

    def add(self, writing: Writing) -> None:
        """Begin this reply as soon as there is a row."""
        self._chats.append(writing)
        self._go_on()

    def add_batch(self, writings: Sequence[Writing]) -> None:
        """Begin these as rows come free that no chat wants; several batches take turns."""
        self._batches.append(deque(writings))
        self._go_on()

    def _go_on(self) -> None:
        """Have one step done, behind whatever else the thread is asked for; and after it the next."""
        if not self._going:
            try:
                self._served.start(self._turn)
                self._going = True
            except HoneError:  # closed
                self._end(None)

    def _turn(self) -> None:
        self._going = False
        try:
            if self._served.closed:
                self._end(None)
            else:
                self._step()
        except Exception as error:  # noqa: BLE001 - those who wait must hear of it, and the thread must live
            self._end(error)
        if self._chats or self._batches or self._groups:
            self._go_on()

    @torch.inference_mode()
    def _step(self) -> None:
        self._clear()
        self._admit()
        unread = [group for group in self._groups if group.decoding.reading]
        if unread:  # short prompts first, so that they are not stuck behind long ones
            group = min(unread, key=lambda one: one.decoding.unread)
            self._try(self._read, group)
            self._settle(group)
        for group in [one for one in self._groups if not one.decoding.reading]:
            self._try(self._write, group)

    def _end(self, error: BaseException | None) -> None:
        """Every reply ends now, with `error` where there is one."""
        waiting = [*self._chats, *(one for batch in self._batches for one in batch)]
        for writing in [*waiting, *(one for group in self._groups for one in group.writings())]:
            writing.finish(error)
        self._chats, self._batches, self._groups = deque(), deque(), []

    def _clear(self) -> None:
        """Who is over is told so; a group without replies is gone."""
        for queue in (self._chats, *self._batches):
            for writing in [one for one in queue if one.over()]:
                queue.remove(writing)
                writing.finish()
        self._batches = deque(batch for batch in self._batches if batch)
        for group in self._groups:
            _let_go(group)
        self._groups = [group for group in self._groups if group.live()]

    def _admit(self) -> None:
        """First come, first served, chats before batches, as far as rows reach."""
        rows = sum(len(group.live()) for group in self._groups)
        while rows < ROWS and self._chats:
            rows += self._open(self._chats, ROWS - rows)
        while rows < BATCH_ROWS and self._batches:
            batch = self._batches.popleft()
            rows += self._open(batch, BATCH_ROWS - rows)
            if batch:
                self._batches.append(batch)

    def _open(self, queue: deque[Writing], most: int) -> int:
        """Take up the first of a queue, and those after it whose prompts can be read in the same piece."""
        taken = [queue.popleft()]
        longest = len(taken[0].tokens)
        while queue and len(taken) < most and self._together([taken[0], queue[0]]):
            longest = max(longest, len(queue[0].tokens))
            if longest * (len(taken) + 1) > PREFILL_TOKENS:
                break
            taken.append(queue.popleft())
        self._groups.append(self._group(taken))
        return len(taken)

    def _group(self, rows: Sequence[Writing], alone: bool = False) -> _Group:
        prefix = self._served.prefix(rows[0].reply.request.version)
        tokens = [row.tokens for row in rows]
        return _Group(list(rows), Decoding(self._served.model, tokens, prefix), alone)

    def _together(self, rows: Sequence[Writing]) -> bool:
        """Whether these prompts can be read in one pass. One that begins with a soft prompt is read alone."""
        begun = any(self._served.prefix(row.reply.request.version) is not None for row in rows)
        return self._joinable and not begun and self._match(rows)

    def _match(self, rows: Sequence[Writing]) -> bool:
        versions = [row.reply.request.version for row in rows]
        return len({one.id for one in versions}) == 1 or all(self._served.mixes(one) for one in versions)

    def _read(self, group: _Group) -> None:
        logits = group.decoding.read(self._forward(group))
        if logits is not None:
            _take(group, logits)

    def _settle(self, group: _Group) -> None:
        """A group that has just read its prompts joins another that writes, if one will have it."""
        read = group in self._groups and not group.decoding.reading and group.live()
        if not read or group.alone or not self._joinable:
            return
        for other in self._groups:
            apart = other is group or other.alone or other.decoding.reading
            if not apart and self._match([*other.writings(), *group.writings()]):
                self._try(self._join, other, group)
                return

    def _join(self, group: _Group, new: _Group) -> None:
        group.decoding.join(group.live(), new.decoding, new.live())
        group.rows = [*group.writings(), *new.writings()]
        self._groups.remove(new)

    def _write(self, group: _Group) -> None:
        _let_go(group)
        live = group.live()
        if not live:
            return
        if group.decoding.wasteful(live):
            group.decoding.keep(live)
            group.rows = list(group.writings())
        tokens = [row.tokens[-1] if row else None for row in group.rows]
        _take(group, group.decoding.step(tokens, self._forward(group)))

    def _forward(self, group: _Group) -> Forward:
        """As the rows' versions. What a row that is over would have been is perhaps no longer loaded."""
        any_live = group.writings()[0]
        return self._served.forward([(row or any_live).reply.request.version for row in group.rows])

    def _try(self, work: Callable[..., None], *groups: _Group) -> None:
        """Do `work` on these groups. When it fails (memory ran out, say) their rows are read again and go on
        alone, so that one cannot end the others; one that was alone ends with the error.
        """
        try:
            work(*groups)
        except Exception as error:  # noqa: BLE001 - each reply hears of it, or goes on
            self._groups = [one for one in self._groups if one not in groups]
            rows = [row for group in groups for row in group.writings()]
            if len(groups) == 1 and len(groups[0].rows) == 1:
                rows[0].finish(error)
            else:
                self._groups += [self._group([row], alone=True) for row in rows]


def _take(group: _Group, logits: torch.Tensor) -> None:
    """Each row draws its next token from its logits, (rows, vocabulary)."""
    for at, (row, scores) in enumerate(zip(group.rows, logits.numpy(), strict=True)):
        if row is None or row.over():
            continue
        try:
            row.take(scores[None], range(len(row.tokens) - 1, len(row.tokens)), ())
        except Exception as error:  # noqa: BLE001 - a reply that cannot go on is no other's concern
            row.finish(error)
            group.rows[at] = None
        else:
            row.tell()
    _let_go(group)


def _let_go(group: _Group) -> None:
    for at, row in enumerate(group.rows):
        if row is not None and row.over():
            row.finish()
            group.rows[at] = None
