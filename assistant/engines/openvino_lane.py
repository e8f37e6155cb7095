"""One model version in memory: its compiled graph, its cache, and the texts that it computes side by side.

Knows sequences and blocks; no thread, no request and no store. Each step computes one token of every reply
and a piece of the prompts that are still unread (continuous batching, Yu et al. 2022, Orca, OSDI): short
prompts first, so that they are not stuck behind long ones.
"""

import mmap
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from assistant import device
from assistant.base import Base
from assistant.engines import eight_bit, openvino_graph
from assistant.engines.guesses import SIXTEEN_BITS, THIRTY_TWO_BITS, StepCost
from assistant.engines.kv_blocks import BLOCK, LEFT, Held, Key, KvBlocks
from assistant.engines.sampling import Floats
from assistant.engines.sequences import Computed

ROWS = 64
"""Texts computed side by side; more wait."""
STEP_TOKENS, FEWEST_STEP_TOKENS = 512, 64
STEP_S = 0.25
"""Unread prompts are read in pieces of so many tokens, fewer where they would take longer than this: a stop,
everybody's next token and whoever comes next wait for one step.
"""
GUESSING_ROWS = 4
"""With more replies than this side by side, the cores have no time left to check guesses."""
FEW, TOLD_A_SECOND = 8, 320
"""With more than FEW replies side by side, all together are told so many pieces of text a second. Each wakes
a thread, an event loop and a client, on the cores that compute: 32 people would rather have theirs ten times
a second, and sooner.
"""
CACHE_BYTES = 2**30
"""Of keys and values, taken as it fills. A prompt that does not fit waits for others to end."""
SMALL_PAGED_BYTES = 2**21
"""Of each of a cache's tensors: what a chat or two need, in small pages. Beyond it the system may give huge
ones, with which a step of 32 chats is some 2 % shorter (docs/benchmarks.md), taken 2 MB at a time.
"""


@dataclass(frozen=True)
class _Part:
    """What one sequence computes in a step."""

    sequence: Computed
    start: int
    end: int
    guessed: list[int]
    wanted: range


class Lane:
    """Not thread-safe: one thread calls `step` and `add`."""

    def __init__(self, compiled: ov.CompiledModel, window: int, guess_cost: StepCost) -> None:
        self._request = compiled.create_infer_request()
        caches = [one for one in compiled.inputs if "_cache." in one.get_any_name()]
        count = _blocks(caches, window)
        self._caches: list[np.ndarray[Any, Any]] = []  # (blocks, heads, BLOCK, numbers of a head)
        for cache in caches:
            sizes = [count, *[side.get_length() for side in list(cache.get_partial_shape())[1:]]]
            tensor = _spacious(cache.get_element_type(), ov.Shape(sizes))
            self._request.set_tensor(cache.get_any_name(), tensor)
            self._caches.append(tensor.data)
        self._blocks = KvBlocks(count)
        self._waiting: deque[Computed] = deque()
        self._active: list[Computed] = []
        self._guess_cost = guess_cost
        self._read_s = 0.0  # of a token, lately

    @property
    def busy(self) -> bool:
        return bool(self._active or self._waiting)

    def add(self, sequence: Computed) -> None:
        self._waiting.append(sequence)

    def step(self) -> None:
        """One step for everybody. Sequences that are over are finished and leave."""
        self._clear()
        self._admit()
        parts = self._parts()
        if not parts:
            return
        began = time.perf_counter()
        logits = self._forward(parts)
        self._learn(parts, time.perf_counter() - began)
        row = 0
        quiet_s = len(parts) / TOLD_A_SECOND if len(parts) > FEW else 0.0
        for part in parts:
            part.sequence.quiet_s = quiet_s
            count = len(part.wanted) + (len(part.guessed) if part.wanted else 0)
            right = 0
            if count:
                right = part.sequence.take(logits[row : row + count], part.wanted, part.guessed)
                row += count
            held = part.sequence.held
            if held is not None:
                self._blocks.computed(held, part.sequence.tokens, part.end + right)
        # Who reads is woken after all have taken theirs: numpy lets go of Python's lock for each row, which
        # whoever is awake would have first.
        for part in parts:
            part.sequence.tell()
        self._clear()

    def abort(self, error: BaseException | None) -> None:
        """Every sequence ends now, with `error` where there is one."""
        for sequence in (*self._active, *self._waiting):
            if sequence.held is not None:
                self._blocks.release(sequence.held)
            sequence.finish(error)
        self._active, self._waiting = [], deque()

    def _clear(self) -> None:
        for sequence in [one for one in self._active if one.over()]:
            self._active.remove(sequence)
            if sequence.held is not None:
                self._blocks.release(sequence.held)
            sequence.finish()
        for sequence in [one for one in self._waiting if one.over()]:
            self._waiting.remove(sequence)
            sequence.finish()

    def _admit(self) -> None:
        """First come, first served, as far as rows and cache reach."""
        while self._waiting and len(self._active) < ROWS:
            first = self._waiting[0]
            held = self._blocks.hold(first.cacheable, first.longest)
            if held is None:
                return
            first.begin(held)
            self._active.append(self._waiting.popleft())

    def _parts(self) -> list[_Part]:
        guessing = len(self._active) <= GUESSING_ROWS
        room = self._room()
        parts: list[_Part] = []
        given = 0
        reading: set[Key] = set()
        for sequence in sorted(self._active, key=_unread):
            held = sequence.held
            if held is None or room <= 0 or self._others_read(sequence, held, reading):
                continue
            self._begin_alike(sequence, held)
            start = held.known
            end = _piece_end(start, len(sequence.tokens), room)
            wanted = sequence.wanted(start, end)
            guessed = list[int]()
            if guessing and wanted and end - start == 1:  # a prompt's first token comes sooner without
                costs = self._guess_cost.costs(end, len(self._active), given)
                guessed = sequence.guess(costs)[: len(held.blocks) * BLOCK - end]
                given += len(guessed)
            parts.append(_Part(sequence, start, end, guessed, wanted))
            room -= end - start if end - start > 1 else 0  # who is writing is never kept waiting
        return parts

    def _others_read(self, sequence: Computed, held: Held, reading: set[Key]) -> bool:
        """Whether another sequence computes the same tokens in this step: this one takes them over after it.
        So a beginning that many prompts share is read once, even when all are asked at the same moment.
        """
        if held.known >= len(sequence.cacheable):
            return False
        if self._blocks.find_more(held, sequence.cacheable):
            sequence.begin(held)
        key = self._blocks.next_key(held, sequence.cacheable)
        if key is None:
            return False
        waits = key in reading
        reading.add(key)
        return waits

    def _begin_alike(self, sequence: Computed, held: Held) -> None:
        """Copy what another text has of the next block: less than reading a token of it takes."""
        if held.known < len(sequence.cacheable) and (pair := self._blocks.alike(held, sequence.cacheable)):
            source, own = pair
            for cache in self._caches:
                cache[own] = cache[source]
            sequence.begin(held)

    def _learn(self, parts: list[_Part], seconds: float) -> None:
        """What this step says of the next ones' cost."""
        tokens = sum(part.end - part.start for part in parts)
        if tokens >= FEWEST_STEP_TOKENS:
            self._read_s = seconds / tokens

    def _room(self) -> int:
        """Tokens of unread prompts in the next step."""
        if self._read_s == 0:
            return STEP_TOKENS
        return min(STEP_TOKENS, max(FEWEST_STEP_TOKENS, int(STEP_S / self._read_s)))

    def _forward(self, parts: list[_Part]) -> Floats:
        """Logits of all wanted and guessed places, part by part, (places, vocabulary)."""
        ids: list[int] = []
        places: list[int] = []
        wanted: list[int] = []
        begins, block_begins, blocks, pasts = [0], [0], list[int](), list[int]()
        longest = 0
        for part in parts:
            first = len(ids) - part.start
            new = [*part.sequence.tokens[part.start : part.end], *part.guessed]
            ids += new
            end = part.start + len(new)
            places += range(part.start, end)
            wanted += [first + place for place in part.wanted]
            if part.wanted:
                wanted += range(first + part.end, first + end)
            begins.append(len(ids))
            pasts.append(part.start)
            used = part.sequence.held.blocks[: -(-end // BLOCK)] if part.sequence.held else []
            blocks += used
            block_begins.append(len(blocks))
            longest = max(longest, end)
        given: dict[str, Any] = {
            "input_ids": np.array(ids, np.int64),
            "position_ids": np.array(places, np.int64),
            "past_lens": np.array(pasts, np.int32),
            "subsequence_begins": np.array(begins, np.int32),
            "block_indices": np.array(blocks, np.int32),
            "block_indices_begins": np.array(block_begins, np.int32),
            "max_context_len": np.array(longest, np.int32),
            "wanted": np.array(wanted or [0], np.int64),  # a step that only reads asks for one all the same
        }
        for name, array in given.items():
            self._request.set_tensor(name, ov.Tensor(array))
        self._request.infer()
        logits = self._request.get_output_tensor(0).data
        return logits.reshape(len(logits), -1)


def _spacious(kind: ov.Type, shape: ov.Shape) -> ov.Tensor:
    """A tensor of zeros whose memory is taken when it is written to. It is private: shared memory would have
    no huge pages.
    """
    size = int(np.prod(list(shape))) * kind.size
    if not hasattr(mmap, "MADV_HUGEPAGE") or size <= SMALL_PAGED_BYTES:  # not Linux, or a small one
        return ov.Tensor(kind, shape)
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE, SMALL_PAGED_BYTES)
    return ov.Tensor(np.frombuffer(memory, np.uint8), shape, kind)


def open_lane(
    core: ov.Core, base: Base, shape: openvino_graph.Shape, adapter: Path | None, kept: Path
) -> Lane:
    """`base` with the adapter in that folder merged, its weights kept in `kept` (see `eight_bit.prepare`).

    Keys and values keep 16 bits: in 8, OpenVINO's default, they were slower here and less exact.
    """
    weights = eight_bit.prepare(base.folder, adapter, kept)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "KV_CACHE_PRECISION": "f16",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(eight_bit.GROUP),
        "INFERENCE_PRECISION_HINT": "bf16" if _in_bfloat16(base) else "f32",
    }
    compiled = core.compile_model(openvino_graph.build(shape, weights), "CPU", settings)
    weights.forget()  # the plugin laid most of them out anew
    return Lane(compiled, shape.window, SIXTEEN_BITS if base.dtype == "bfloat16" else THIRTY_TWO_BITS)


def _in_bfloat16(base: Base) -> bool:
    """Whether the graph is computed in bfloat16. With AMX the plugin would no longer multiply in 8 bits, but
    unpack all weights for each step of five rows or more, and round these otherwise than fewer: long prompts
    are read sooner so, all else takes longer (docs/benchmarks.md).
    """
    return base.dtype == "bfloat16" and not device.has_amx()


def _piece_end(start: int, tokens: int, room: int) -> int:
    """Where a piece that begins at `start` of so many `tokens` ends, so that `LEFT` at least are read at a
    time, were it beyond `room`. A reply has one token to compute, the last that it wrote.
    """
    if tokens - start < 2 * LEFT:
        return tokens
    end = min(tokens, start + max(room, LEFT))
    return tokens - LEFT if tokens - LEFT < end < tokens else end


def _unread(sequence: Computed) -> int:
    return len(sequence.tokens) - (sequence.held.known if sequence.held else 0)


def _blocks(caches: list[Any], window: int) -> int:
    """How many blocks fit into CACHE_BYTES, but at least those of one whole window."""
    bytes_a_block = sum(
        int(np.prod([side.get_length() for side in list(cache.get_partial_shape())[1:]]))
        * cache.get_element_type().size
        for cache in caches
    )
    return max(CACHE_BYTES // bytes_a_block, -(-window // BLOCK) + 1)
