"""Who owns which block of the key-value cache, and which hold text that may come again. Knows ids only.

The cache is cut into blocks of `BLOCK` tokens. A block whose tokens, and all tokens before them, are those of
a new prompt need not be computed again: blocks are found by what they hold (as in vLLM's automatic prefix
caching, Kwon et al. 2023, https://arxiv.org/abs/2309.06180). Blocks that nobody uses stay findable until
their room is needed, the longest unused first.

The last block of a text is seldom full. Once the text is over it can be found too, by a text that goes on
where it ended, as the next turn of a chat does; who finds it writes on in it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 32

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
        self._idle: OrderedDict[int, None] = OrderedDict()  # findable, unused; the longest unused first
        self._next_text = ROOT + 1

    def hold(self, tokens: Sequence[int], length: int) -> Held | None:
        """Blocks for a sequence that begins with `tokens` and may grow to `length`; None while there is no
        room. At least the last of `tokens` is left to compute.
        """
        found, text = self._find(tokens)
        needed = -(-length // BLOCK) - len(found)
        spare = len(self._free) + len(self._idle) - sum(block in self._idle for block in found)
        if needed > spare:
            return None
        for block in found:
            self._users[block] += 1
            self._idle.pop(block, None)
        ended = self._ended(text, tokens[len(found) * BLOCK :])
        tail = ended[1] if ended else ()
        over = [self._take_over(ended)] if ended else []
        fresh = [self._take() for _ in range(needed - len(over))]
        known = len(found) * BLOCK + len(tail)
        return Held([*found, *over, *fresh], known, known, len(found), text, tail)

    def next_key(self, held: Held, tokens: Sequence[int]) -> Key | None:
        """What the next block of a sequence that begins with `tokens` will be found by; None beyond them.
        Whoever computes it spares the others of the same key the work.
        """
        start = held._registered * BLOCK
        return (held._text, tuple(tokens[start : start + BLOCK])) if start + BLOCK < len(tokens) else None

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
        for start in range(0, len(tokens) - BLOCK, BLOCK):
            entry = self._texts.get((text, tuple(tokens[start : start + BLOCK])))
            if entry is None:
                break
            text, block = entry
            blocks.append(block)
        return blocks, text

    def _ended(self, text: int, tokens: Sequence[int]) -> Key | None:
        """What ended after the text of that number, and goes on with `tokens`: the most of it."""
        keys = ((text, tuple(tokens[:size])) for size in range(min(BLOCK, len(tokens)) - 1, 0, -1))
        return next((key for key in keys if key in self._texts), None)

    def _take_over(self, key: Key) -> int:
        """The block of a text that ended. It is nobody's: whoever found it before has taken it."""
        _, block = self._texts.pop(key)
        del self._key_of[block], self._idle[block]
        self._users[block] += 1
        return block

    def _register(self, key: Key, block: int) -> None:
        self._texts[key] = (self._next_text, block)
        self._key_of[block] = key
        self._next_text += 1

    def _take(self) -> int:
        if not self._free:
            block, _ = self._idle.popitem(last=False)
            del self._texts[self._key_of.pop(block)]
            self._free.append(block)
        block = self._free.pop()
        self._users[block] += 1
        return block
