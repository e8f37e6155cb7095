"""The engine for CPUs: OpenVINO computes many replies side by side, with weights in 8 bits. Knows no store,
turn or page.

One thread computes; whoever asks waits at a queue. Each model version is a graph of its own, its adapter
merged into the weights, so that champion and candidate answer side by side.
"""

import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import openvino as ov

from assistant import base as bases
from assistant import plain_tokenizer, registry
from assistant.adapters import stored
from assistant.base import Base
from assistant.engines import eight_bit, openvino_graph
from assistant.engines.constraint import Constraint, Grammars
from assistant.engines.interface import (
    Ability,
    Answered,
    AnswerLogprob,
    Completion,
    Progress,
    Request,
    Wanted,
    check_able,
    check_fits,
)
from assistant.engines.openvino_lane import Lane, open_lane
from assistant.engines.reply import Reply, Vocabulary, plain_vocabulary, vocabulary
from assistant.engines.sequences import Computed, Scoring, Writing, read_all
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import ModelVersionId

IDLE_LANES = 3
"""Versions kept though nobody uses them: the champion, the one before it, and a candidate."""

CLOSED = HoneError("The model is shut down.", "", "Start Hone again.")


def unsuited(base: Base) -> str | None:
    """Why this engine cannot answer for `base`, or None when it can."""
    if base.device != "cpu":
        return f"the model runs on {base.device}"
    if base.quantization != "none":
        return f"{base.quantization} quantisation was asked for"
    found = openvino_graph.read_shape(base.folder)
    return found if isinstance(found, str) else None


class OpenVinoEngine:
    """A Llama on the CPU, as itself and with any adapter. Safe to call from many threads."""

    name = "openvino"
    capacity = 32
    abilities: frozenset[Ability] = frozenset(("token_logprobs", "json_schema"))

    def __init__(self, base: Base, home: Home) -> None:
        shape = openvino_graph.read_shape(base.folder)
        if isinstance(shape, str):
            raise HoneError(
                f"OpenVINO cannot run {base.title}.",
                f"In Hone {shape}.",
                "Leave --engine out, or transformers.",
            )
        self._base, self._home, self._shape = base, home, shape
        self.template = bases.chat_template(base)
        self.window = shape.window
        self._words = _vocabulary(base)
        self._grammars = Grammars(self._words)
        self._core = ov.Core()
        self._lanes: dict[ModelVersionId, Lane] = {}  # the least recently used first
        self._loading = threading.Lock()
        self._wake = threading.Condition()
        self._incoming: list[tuple[ModelVersion, Computed]] = []
        self._closed = False
        self._thread = threading.Thread(target=self._compute, name="hone-model", daemon=True)
        self._thread.start()

    def check(self, wanted: Wanted) -> None:
        """See `Engine.check`."""
        self._constraint(wanted)

    def count_tokens(self, text: str) -> int:
        """Tokens in `text`, none added."""
        return len(self._words.ids(text))

    def tokens(self, text: str) -> list[str]:
        """See `Engine.tokens`."""
        return self._words.pieces(text)

    def stream(self, request: Request) -> Generator[str, None, Completion]:
        """See `Engine.stream`. What is read comes to the same bits, whether it was found in the cache or not.
        What is written does so too, but for guesses, which round otherwise and are made only where few others
        are computed at the same time. An earlier reply counts as it was written while the cache holds it.
        """
        return (yield from self._begin(request).read())

    def batch(self, requests: Sequence[Request], on_progress: Progress | None = None) -> list[Completion]:
        """See `Engine.batch`."""
        return read_all([self._begin(request) for request in requests], on_progress)

    def logprobs(
        self,
        answers: Sequence[Answered],
        version: ModelVersion,
        on_progress: Progress | None = None,
    ) -> list[AnswerLogprob]:
        """See `Engine.logprobs`. A prompt that stands before several answers is read once, and answers that
        differ in their last token alone take one pass: the options of most choices are a token each.
        """
        alike: dict[tuple[int, ...], list[int]] = {}
        asked = []
        found: dict[int, AnswerLogprob] = {}
        for place, one in enumerate(answers):
            prompt, answer = self._words.scored(one)
            check_fits(self.window, prompt, len(prompt) + len(answer) - 1)
            asked.append((prompt, answer))
            if answer:
                alike.setdefault((len(prompt), *prompt, *answer[:-1]), []).append(place)
            else:
                found[place] = AnswerLogprob(0.0, 0)
        self.load(version)
        groups = [(places, _scoring([asked[place] for place in places])) for places in alike.values()]
        self._submit([(version, scoring) for _, scoring in groups])
        for places, scoring in groups:
            result = scoring.done.get()
            if isinstance(result, BaseException):
                raise result
            found |= dict(zip(places, result, strict=True))
            if on_progress is not None:
                on_progress(len(found), len(asked))
        return [found[place] for place in range(len(asked))]

    def load(self, version: ModelVersion) -> None:
        """See `Engine.load`. Other versions answer meanwhile."""
        with self._loading:
            with self._wake:
                if version.id in self._lanes:
                    self._lanes[version.id] = self._lanes.pop(version.id)
                    return
            lane = self._compile(version)
            with self._wake:
                self._lanes[version.id] = lane
                idle = [key for key, one in self._lanes.items() if not one.busy and key != version.id]
                waited_for = {found.id for found, _ in self._incoming}
                for key in [key for key in idle if key not in waited_for][: -IDLE_LANES + 1 or None]:
                    del self._lanes[key]

    def warm_up(self, version: ModelVersion) -> None:
        """See `Engine.warm_up`. The first step allocates what all later ones use."""
        self.logprobs([Answered("a", "b", ended=False)], version)

    def close(self) -> None:
        """Running replies end as stopped; then the models are freed."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join()
        self._lanes.clear()

    def _begin(self, request: Request) -> Writing:
        constraint = self._constraint(request.wanted)
        reply = Reply(request, self._words, self.window, lambda: self._closed, constraint)
        check_fits(self.window, reply.prompt_ids, len(reply.prompt_ids) + 1)
        self.load(request.version)
        writing = Writing(reply)
        self._submit([(request.version, writing)])
        return writing

    def _constraint(self, wanted: Wanted) -> Constraint | None:
        check_able(self, wanted)
        return None if wanted.json_schema is None else self._grammars.constraint(wanted.json_schema)

    def _submit(self, asked: list[tuple[ModelVersion, Computed]]) -> None:
        with self._wake:
            if self._closed:
                raise CLOSED
            self._incoming += asked
            self._wake.notify_all()

    def _compute(self) -> None:
        """The life of the one thread that computes."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._incoming or self._closed or self._busy())
                incoming, self._incoming = self._incoming, []
                lanes = dict(self._lanes)
            for version, computed in incoming:
                if lane := lanes.get(version.id):
                    lane.add(computed)
                else:  # so many versions were loaded since that this one had to go
                    computed.finish(HoneError(f"{version.name} was unloaded.", "", "Ask again."))
            if self._closed:
                for lane in lanes.values():
                    lane.abort(None)
                return
            for lane in lanes.values():
                _step(lane)

    def _busy(self) -> bool:
        return any(lane.busy for lane in self._lanes.values())

    def _compile(self, version: ModelVersion) -> Lane:
        if version.base_id != self._base.id:
            raise HoneError(
                f"The model version {version.name} cannot answer here.",
                f"It belongs to the base {version.base_id}, and {self._base.id} is loaded.",
                "Start Hone with that base.",
            )
        adapter: Path | None = None
        if version.adapter_dir is not None:
            registry.check_files(self._home, version)
            adapter = self._home.path / version.adapter_dir
            _check_merges(version, adapter)
        weights = version.adapter_sha256 or _file_name(self._base.id)
        kept = self._home.served / f"{weights}.{eight_bit.GROUP}.safetensors"
        try:
            return open_lane(self._core, self._base, self._shape, adapter, kept)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise HoneError(
                f"The adapter of {version.name} does not fit the base."
                if adapter
                else f"{self._base.title} cannot be loaded.",
                (str(error).strip() or type(error).__name__).splitlines()[0],
                "Train it again on this base." if adapter else "Start Hone with --engine transformers.",
            ) from error


def _check_merges(version: ModelVersion, adapter: Path) -> None:
    """HoneError for a version that has no plain weights: its graph would be another one."""
    try:
        why = stored.why_not_merged(adapter)
    except ValueError as error:
        why = str(error).rstrip(".")
    if why is not None:
        raise HoneError(
            f"OpenVINO cannot answer as {version.name}.",
            f"It computes with merged weights, and {why}.",
            "Start Hone with --engine transformers.",
        )


def _scoring(alike: Sequence[tuple[list[int], list[int]]]) -> Scoring:
    """One pass for answers to one prompt that differ in their last token; each (prompt, answer)."""
    prompt, answer = alike[0]
    return Scoring(prompt, answer[:-1], [one[-1] for _, one in alike])


def _vocabulary(base: Base) -> Vocabulary:
    ends = bases.limits(base)[1]
    if (plain := plain_tokenizer.read(base.folder)) is not None:
        return plain_vocabulary(plain, ends)
    return vocabulary(bases.load_tokenizer(base), bases.chat_template(base), ends)


def _step(lane: Lane) -> None:
    if not lane.busy:
        return
    try:
        lane.step()
    except Exception as error:  # noqa: BLE001 - those who wait must hear of it, and the thread must live
        lane.abort(error)


def _file_name(base_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in base_id)
