"""Who owns which block of the key-value cache, and which hold text that may come again. Knows ids only.

The cache is cut into blocks of `BLOCK` tokens. A block whose tokens, and all tokens before them, are those of
a new prompt need not be computed again: blocks are found by what they hold (as in vLLM's automatic prefix
caching, Kwon et al. 2023, https://arxiv.org/abs/2309.06180). Blocks that nobody uses stay findable until
their room is needed, the longest unused first.

Texts seldom part, and seldom end, where a block does. So a new text may also go on in a copy of the block
that begins most like it (`alike`): chats that share a system prompt, the next turn of a chat.
"""

from bisect import bisect_left, insort
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 32
LEFT = 2
"""So many of a prompt's tokens are computed at least, though all are known. What an attention computes for a
token does not depend on how many others are computed with it, unless it is the only one of its text, which
takes a kernel of its own that rounds otherwise. With two, a prompt comes to the same bits whether it was read
whole, in pieces, or found.
"""

Key = tuple[int, tuple[int, ...]]
"""(number of the text before, tokens of this block: fewer than BLOCK where a text ended)."""

ROOT = 0


@dataclass
class Held:
    """The blocks of one sequence, in order. `known`: how many of its first tokens need no computing; `found`:
    how many tokens others had computed.
    """

    blocks: list[int]
    known: int
    found: int = 0
    _registered: int = 0  # full blocks that can be found by others
    _text: int = ROOT  # the number of the text in them
    _tail: tuple[int, ...] = ()  # tokens that are computed in the block after them


class KvBlocks:
    """A pool of `count` blocks. Not thread-safe."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count - 1, -1, -1))
        self._users = [0] * count
        self._texts: dict[Key, tuple[int, int]] = {}  # key -> (text's number, block)
        self._key_of: dict[int, Key] = {}  # block -> key
        self._after: dict[int, list[tuple[int, ...]]] = defaultdict(list)  # text's number -> its keys, sorted
        self._idle: OrderedDict[int, None] = OrderedDict()  # findable, unused; the longest unused first
        self._next_text = ROOT + 1

    def hold(self, tokens: Sequence[int], length: int) -> Held | None:
        """Blocks for a sequence that begins with `tokens` and may grow to `length`; None while there is no
        room. At least `LEFT` of `tokens` are left to compute.
        """
        found, text = self._find(tokens)
        needed = -(-length // BLOCK) - len(found)
        spare = len(self._free) + len(self._idle) - sum(block in self._idle for block in found)
        if needed > spare:
            return None
        for block in found:
            self._users[block] += 1
            self._idle.pop(block, None)
        fresh = [self._take() for _ in range(needed)]
        known = len(found) * BLOCK
        return Held([*found, *fresh], known, known, len(found), text)

    def next_key(self, held: Held, tokens: Sequence[int]) -> Key | None:
        """What the next block of a sequence that begins with `tokens` will be found by; None beyond them.
        Whoever computes it spares the others of the same key the work.
        """
        start = held._registered * BLOCK
        within = start + BLOCK <= len(tokens) - LEFT
        return (held._text, tuple(tokens[start : start + BLOCK])) if within else None

    def find_more(self, held: Held, tokens: Sequence[int]) -> bool:
        """Take over what others have computed of `tokens` since; says whether there was anything."""
        before = held.known
        while held.known == held._registered * BLOCK and (key := self.next_key(held, tokens)) is not None:
            if (entry := self._texts.get(key)) is None:
                break
            held._text, block = entry
            self._users[block] += 1
            self._idle.pop(block, None)
            own, held.blocks[held._registered] = held.blocks[held._registered], block
            self._users[own] -= 1
            self._free.append(own)
            held._registered += 1
            held.known += BLOCK
            held.found += BLOCK
        return held.known > before

    def alike(self, held: Held, tokens: Sequence[int]) -> tuple[int, int] | None:
        """(block of another text, block of this one), where the first begins as the second will. Its tokens
        count as known from now on: the caller copies it. None where no block begins so, or where some of
        this one is known.
        """
        at = held._registered * BLOCK
        mine = tuple(tokens[at : min(at + BLOCK, len(tokens) - LEFT)])
        theirs = self._after.get(held._text)
        if held.known != at or not mine or not theirs:
            return None
        place = bisect_left(theirs, mine)  # what is most alike stands beside it
        count, best = max((_same(mine, other), other) for other in theirs[max(0, place - 1) : place + 1])
        if count == 0:
            return None
        held.known += count
        held.found += count
        held._tail = mine[:count]
        return self._texts[held._text, best][1], held.blocks[held._registered]

    def computed(self, held: Held, tokens: Sequence[int], known: int) -> None:
        """The cache now holds the first `known` of the sequence's `tokens`: full blocks become findable."""
        held.known = known
        while (held._registered + 1) * BLOCK <= known:
            at = held._registered
            key = (held._text, tuple(tokens[at * BLOCK : (at + 1) * BLOCK]))
            if key not in self._texts:
                self._register(key, held.blocks[at])
            held._text = self._texts[key][0]
            held._registered += 1
        held._tail = tuple(tokens[held._registered * BLOCK : known])

    def release(self, held: Held) -> None:
        """The sequence is over; what it computed stays findable while there is room."""
        key = (held._text, held._tail)
        if held._tail and key not in self._texts:
            self._register(key, held.blocks[held._registered])
        # The end of a text is the first to go: without its beginning it cannot be found.
        for block in reversed(held.blocks):
            self._users[block] -= 1
            if self._users[block] == 0:
                if block in self._key_of:
                    self._idle[block] = None
                else:
                    self._free.append(block)
        held.blocks = []

    @property
    def used(self) -> int:
        """Blocks that some sequence holds."""
        return self.count - len(self._free) - len(self._idle)

    def _find(self, tokens: Sequence[int]) -> tuple[list[int], int]:
        blocks: list[int] = []
        text = ROOT
        for start in range(0, len(tokens) - LEFT - BLOCK + 1, BLOCK):
            entry = self._texts.get((text, tuple(tokens[start : start + BLOCK])))
            if entry is None:
                break
            text, block = entry
            blocks.append(block)
        return blocks, text

    def _register(self, key: Key, block: int) -> None:
        self._texts[key] = (self._next_text, block)
        self._key_of[block] = key
        self._next_text += 1
        insort(self._after[key[0]], key[1])

    def _take(self) -> int:
        if not self._free:
            block, _ = self._idle.popitem(last=False)
            self._forget(self._key_of.pop(block))
            self._free.append(block)
        block = self._free.pop()
        self._users[block] += 1
        return block

    def _forget(self, key: Key) -> None:
        del self._texts[key]
        siblings = self._after[key[0]]
        del siblings[bisect_left(siblings, key[1])]
        if not siblings:
            del self._after[key[0]]


def _same(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, yours) in pairs if mine != yours), min(len(one), len(other)))
