"""Blocks of the cache: never given twice, found again by what they hold, taken back when room is needed."""

from hypothesis import given
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from assistant.engines.kv_blocks import BLOCK, LEFT, Held, KvBlocks

WHOLE = some.lists(some.integers(0, 1), min_size=1, max_size=4).map(
    lambda kinds: [kind for kind in kinds for _ in range(BLOCK)]
)
"""Texts made of few kinds of whole blocks: they often begin alike."""

TEXT = some.builds(
    lambda whole, kind, size: [*whole, *[kind] * size],
    WHOLE,
    some.integers(0, 1),
    some.sampled_from((0, 1, 7, BLOCK - 1)),
)
"""The same, most with a last block that is not full."""


def test_a_prompt_seen_before_is_found_but_for_its_last_block() -> None:
    blocks = KvBlocks(8)
    tokens = list(range(3 * BLOCK))
    first = blocks.hold(tokens, 3 * BLOCK)
    assert first is not None
    assert first.known == 0
    blocks.computed(first, tokens, 3 * BLOCK)
    blocks.release(first)
    again = blocks.hold(tokens, 4 * BLOCK)
    assert again is not None
    assert again.known == 2 * BLOCK  # two tokens at least are left to compute


def test_a_text_that_goes_on_where_another_ended_begins_in_a_copy_of_its_last_block() -> None:
    blocks = KvBlocks(8)
    turn = list(range(BLOCK + 9))
    more = [*turn, 99, 99]
    first = _computed(blocks, turn)
    went_on = blocks.hold(more, 3 * BLOCK)
    assert went_on is not None
    assert blocks.alike(went_on, more) is None  # while the first goes on, its last block is its own
    last = first.blocks[1]
    blocks.release(first)
    assert blocks.alike(went_on, more) == (last, went_on.blocks[1])
    assert (went_on.known, went_on.found) == (len(turn), len(turn))
    assert blocks.alike(went_on, more) is None  # once


def test_texts_that_part_within_a_block_share_what_stands_before() -> None:
    blocks = KvBlocks(8)
    system = list(range(BLOCK + 20))
    first = _computed(blocks, [*system, *[7] * BLOCK])
    other = _computed(blocks, [*system[:-4], *[8] * BLOCK])
    second = blocks.hold([*system, 9, 9], 3 * BLOCK)
    assert second is not None
    assert blocks.alike(second, [*system, 9, 9]) == (first.blocks[1], second.blocks[1])  # not the other's
    assert second.known == len(system)
    assert first.blocks[1] != other.blocks[1]


def test_at_least_two_tokens_are_left_to_compute() -> None:
    blocks = KvBlocks(8)
    text = list(range(9))
    blocks.release(_computed(blocks, text))
    again = blocks.hold(text, BLOCK)
    assert again is not None
    assert blocks.alike(again, text) is not None
    assert again.known == 9 - LEFT == 7
    long = list(range(100, 100 + BLOCK + 1))
    blocks.release(_computed(blocks, long))
    again = blocks.hold(long, 2 * BLOCK)
    assert again is not None
    assert again.known == 0
    assert blocks.next_key(again, long) is None
    assert blocks.alike(again, long) is not None
    assert again.known == BLOCK - 1


def _computed(blocks: KvBlocks, text: list[int]) -> Held:
    held = blocks.hold(text, len(text))
    assert held is not None
    blocks.computed(held, text, len(text))
    return held


def test_two_who_begin_alike_share_blocks_while_both_run() -> None:
    blocks = KvBlocks(8)
    start = list(range(BLOCK))
    first = blocks.hold([*start, 1, 1], 2 * BLOCK)
    assert first is not None
    blocks.computed(first, [*start, 1, 1], BLOCK + 2)
    second = blocks.hold([*start, 2, 2], 2 * BLOCK)
    assert second is not None
    assert second.known == BLOCK
    assert second.blocks[0] == first.blocks[0]
    assert second.blocks[1] != first.blocks[1]
    assert blocks.used == 3


def test_who_waits_takes_over_what_another_has_computed_meanwhile() -> None:
    blocks = KvBlocks(8)
    start = list(range(2 * BLOCK))
    first, second = (blocks.hold([*start, end, end], 3 * BLOCK) for end in (1, 2))
    assert first is not None
    assert second is not None
    assert blocks.next_key(first, [*start, 1, 1]) == blocks.next_key(second, [*start, 2, 2])
    assert not blocks.find_more(second, [*start, 2, 2])
    blocks.computed(first, [*start, 1, 1], 2 * BLOCK + 2)
    assert blocks.find_more(second, [*start, 2, 2])
    assert (second.known, second.found) == (2 * BLOCK, 2 * BLOCK)
    assert second.blocks[:2] == first.blocks[:2]
    assert second.blocks[2] != first.blocks[2]
    assert blocks.used == 4
    assert blocks.next_key(second, [*start, 2, 2]) is None


def test_nothing_is_held_when_there_is_no_room_for_all_of_it() -> None:
    blocks = KvBlocks(2)
    assert blocks.hold([1], 3 * BLOCK) is None
    assert blocks.used == 0


def test_the_longest_unused_text_makes_room_first() -> None:
    blocks = KvBlocks(4)
    for kind in (1, 2):
        held = blocks.hold([kind] * (BLOCK + 2), 2 * BLOCK)
        assert held is not None
        blocks.computed(held, [kind] * (BLOCK + 2), BLOCK + 2)
        blocks.release(held)
    crowd = blocks.hold([3], 3 * BLOCK)  # takes the two free blocks, and one that was findable
    assert crowd is not None
    blocks.release(crowd)
    known = {}
    for kind in (1, 2):
        held = blocks.hold([kind] * (BLOCK + 2), 2 * BLOCK)
        assert held is not None
        known[kind] = held.known
        blocks.release(held)
    assert known == {1: 0, 2: BLOCK}


@given(text=WHOLE, other=WHOLE)
def test_what_is_found_is_a_common_beginning(text: list[int], other: list[int]) -> None:
    blocks = KvBlocks(16)
    held = blocks.hold(text, len(text))
    assert held is not None
    blocks.computed(held, text, len(text))
    found = blocks.hold(other, len(other))
    assert found is not None
    assert other[: found.known] == text[: found.known]
    most = next((at for at, pair in enumerate(zip(text, other, strict=False)) if pair[0] != pair[1]), None)
    alike = most if most is not None else min(len(text), len(other))
    assert found.known == min(alike, len(other) - LEFT) // BLOCK * BLOCK


class Pool(RuleBasedStateMachine):
    """Sequences come, compute and go in any order. `written`: what was computed at each place of a block,
    told by all tokens up to there, on which keys and values depend.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = KvBlocks(12)
        self.running: list[tuple[Held, list[int]]] = []
        self.written: dict[tuple[int, int], tuple[int, ...]] = {}

    @rule(text=TEXT, more=some.integers(0, 2))
    def begin(self, text: list[int], more: int) -> None:
        held = self.blocks.hold(text, len(text) + more * BLOCK)
        if held is not None:
            assert held.known < len(text)
            self.running.append((held, text))

    @precondition(lambda self: self.running)
    @rule(data=some.data())
    def compute(self, data: some.DataObject) -> None:
        held, text = data.draw(some.sampled_from(self.running))
        if held.known < len(text):
            known = data.draw(some.integers(held.known + 1, len(text)))
            for place in range(held.known, known):
                self.written[_place(held, place)] = tuple(text[: place + 1])
            self.blocks.computed(held, text, known)

    @invariant()
    def what_is_known_was_computed(self) -> None:
        for held, text in self.running:
            for place in range(held.known):
                assert self.written[_place(held, place)] == tuple(text[: place + 1])

    @precondition(lambda self: self.running)
    @rule(data=some.data())
    def find_more(self, data: some.DataObject) -> None:
        held, text = data.draw(some.sampled_from(self.running))
        before = held.known
        assert self.blocks.find_more(held, text) == (held.known > before)
        assert held.known < len(text) or held.known == before

    @precondition(lambda self: self.running)
    @rule(data=some.data())
    def copy_what_is_alike(self, data: some.DataObject) -> None:
        held, text = data.draw(some.sampled_from(self.running))
        pair = self.blocks.alike(held, text)
        if pair is None:
            return
        source, own = pair
        assert own == held.blocks[(held.known - 1) // BLOCK]
        for place in range(BLOCK):
            if (source, place) in self.written:
                self.written[own, place] = self.written[source, place]
        assert held.known < len(text)

    @precondition(lambda self: self.running)
    @rule(data=some.data())
    def end(self, data: some.DataObject) -> None:
        at = data.draw(some.integers(0, len(self.running) - 1))
        self.blocks.release(self.running.pop(at)[0])

    @invariant()
    def blocks_that_differ_in_text_are_never_shared(self) -> None:
        owners: dict[int, tuple[int, ...]] = {}
        for held, text in self.running:
            for place, block in enumerate(held.blocks):
                begins = tuple(text[: (place + 1) * BLOCK])
                whole = len(begins) == (place + 1) * BLOCK
                assert block not in owners or (whole and owners[block] == begins)
                owners[block] = begins
        assert self.blocks.used == len(owners)


def _place(held: Held, place: int) -> tuple[int, int]:
    return held.blocks[place // BLOCK], place % BLOCK


TestPool = Pool.TestCase
