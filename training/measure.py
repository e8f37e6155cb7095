"""What the gate looks at: a candidate and the champion, measured side by side through the serving engine.

Everything goes through `Engine`, so what is judged is what would be served. Knows no verdicts and no store.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import exp
from pathlib import Path

from assistant.engines.interface import Answered, AnswerLogprob, Engine, Request
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.snapshots import SnapshotPair
from prompts.chat import neutral
from prompts.plain import plain_messages
from prompts.strategy import Strategy

SAMPLE_FILE = Path(__file__).parent / "data" / "sample.txt"
REPLY_PROMPTS = 24
REPLY_TOKENS = 160
GREEDY = Sampling(temperature=0.0, max_tokens=REPLY_TOKENS, seed=0)

Progress = Callable[[str, int, int], None]
"""Called with what is being measured, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class PairScore:
    """One held-out pair under both versions.

    `margin_nats` = (candidate(chosen) - champion(chosen)) - (candidate(rejected) - champion(rejected)), in
    whole-answer log-probabilities: DPO's implicit reward margin without beta. The `_gap` figures are mean
    log-probability a token of the chosen answer less that of the rejected one, in nats a token.
    """

    prompt_sha256: str
    margin_nats: float
    candidate_gap: float
    champion_gap: float


@dataclass(frozen=True)
class SampledReply:
    """A greedy reply to one held-out prompt. `endless`: it hit the limit without ending.

    `champion_nats`: how likely the champion finds it, in nats a token (0 at most).
    """

    text: str
    tokens: int
    endless: bool
    champion_nats: float = 0.0

    @property
    def empty(self) -> bool:
        return not self.text.strip()


@dataclass(frozen=True)
class ReplyPair:
    """What both versions answered to one held-out prompt."""

    prompt: str
    candidate: SampledReply
    champion: SampledReply


@dataclass(frozen=True)
class Measurement:
    """All that was measured. Perplexities are on training/data/sample.txt, per token.

    `too_long`: held-out pairs left out because they do not fit the engine's window.
    """

    pairs: tuple[PairScore, ...]
    candidate_perplexity: float
    champion_perplexity: float
    replies: tuple[ReplyPair, ...]
    too_long: int = 0

    def swap(self) -> "Measurement":
        """The same measurement seen from the other side. Nothing may depend on who is called candidate."""
        return Measurement(
            tuple(
                replace(
                    p, margin_nats=-p.margin_nats, candidate_gap=p.champion_gap, champion_gap=p.candidate_gap
                )
                for p in self.pairs
            ),
            self.champion_perplexity,
            self.candidate_perplexity,
            tuple(ReplyPair(r.prompt, r.champion, r.candidate) for r in self.replies),
            self.too_long,
        )


@dataclass(frozen=True)
class Asked:
    """What both versions are asked: held-out pairs, and the strategy through which their prompts are put."""

    held_out: tuple[SnapshotPair, ...]
    strategy: Strategy


def measure(
    engine: Engine,
    candidate: ModelVersion,
    champion: ModelVersion,
    asked: Asked,
    progress: Progress | None = None,
) -> Measurement:
    """Measure both versions on the held-out pairs, the fixed text sample and replies to held-out prompts."""
    report = progress or _silent
    texts = [_texts(engine, asked, pair) for pair in asked.held_out]
    fitting = [i for i, text in enumerate(texts) if text.fits(engine)]
    held_out, texts = [asked.held_out[i] for i in fitting], [texts[i] for i in fitting]
    scored = [_score(engine, version, texts, report) for version in (candidate, champion)]
    return Measurement(
        tuple(_pair_score(*each) for each in zip(held_out, *scored, strict=True)),
        perplexity(engine, candidate, sample(), report),
        perplexity(engine, champion, sample(), report),
        _replies(engine, (candidate, champion), held_out, texts, report),
        too_long=len(asked.held_out) - len(held_out),
    )


def _silent(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class _Texts:
    """A held-out pair as the engine is given it."""

    prompt: str
    chosen: Answered
    rejected: Answered

    def fits(self, engine: Engine) -> bool:
        answers = max(engine.count_tokens(one.answer) for one in (self.chosen, self.rejected))
        return engine.count_tokens(self.prompt) + max(answers + 1, REPLY_TOKENS) <= engine.window


def _texts(engine: Engine, asked: Asked, pair: SnapshotPair) -> _Texts:
    marks = engine.template.control_tokens
    prompt = engine.template.text(plain_messages(pair.turns, asked.strategy, pair.system_text))
    return _Texts(
        prompt,
        Answered(prompt, neutral(pair.chosen, marks), pair.chosen_ended),
        Answered(prompt, neutral(pair.rejected, marks), pair.rejected_ended),
    )


def _score(
    engine: Engine, version: ModelVersion, texts: Sequence[_Texts], report: Progress
) -> list[tuple[AnswerLogprob, AnswerLogprob]]:
    """(chosen, rejected) log-probabilities of each pair under `version`."""
    asked = [answer for text in texts for answer in (text.chosen, text.rejected)]
    found = engine.logprobs(asked, version, partial(report, f"held-out pairs, {version.name}"))
    return list(zip(found[::2], found[1::2], strict=True))


def _pair_score(
    pair: SnapshotPair,
    ours: tuple[AnswerLogprob, AnswerLogprob],
    theirs: tuple[AnswerLogprob, AnswerLogprob],
) -> PairScore:
    return PairScore(
        pair.prompt_sha256,
        margin_nats=(ours[0].total_nats - theirs[0].total_nats) - (ours[1].total_nats - theirs[1].total_nats),
        candidate_gap=_per_token(ours[0]) - _per_token(ours[1]),
        champion_gap=_per_token(theirs[0]) - _per_token(theirs[1]),
    )


def _per_token(answer: AnswerLogprob) -> float:
    return answer.total_nats / max(1, answer.tokens)


@cache
def sample() -> tuple[str, ...]:
    """The fixed text sample, one paragraph an item."""
    return tuple(SAMPLE_FILE.read_text(encoding="utf-8").strip().split("\n\n"))


def perplexity(
    engine: Engine, version: ModelVersion, texts: Sequence[str], report: Progress | None = None
) -> float:
    """exp of the mean negative log-probability a token, each text given its own first three words.

    No end token counts: it would punish a model for expecting to end (or not) after a paragraph.
    """
    heads = [" ".join(text.split(" ")[:3]) for text in texts]
    asked = [Answered(head, text[len(head) :], False) for head, text in zip(heads, texts, strict=True)]
    found = engine.logprobs(asked, version, partial(report or _silent, f"text sample, {version.name}"))
    return exp(-sum(one.total_nats for one in found) / max(1, sum(one.tokens for one in found)))


def _replies(
    engine: Engine,
    versions: tuple[ModelVersion, ModelVersion],
    held_out: Sequence[SnapshotPair],
    texts: Sequence[_Texts],
    report: Progress,
) -> tuple[ReplyPair, ...]:
    """Greedy replies of (candidate, champion) to the first distinct held-out prompts."""
    prompts = {text.prompt: pair.turns[-1].content for text, pair in zip(texts, held_out, strict=True)}
    asked = list(prompts)[:REPLY_PROMPTS]
    both = []
    for version in versions if asked else ():
        requests = [Request(prompt, GREEDY, version) for prompt in asked]
        what = f"replies, {version.name}"
        report(what, 0, len(asked))
        done = engine.batch(requests, partial(report, what))
        both.append([SampledReply(c.text, c.tokens, c.finish == "length") for c in done])
    if not both:
        return ()
    ours, theirs = (_as_the_champion_sees(engine, versions[1], asked, said, report) for said in both)
    return tuple(
        ReplyPair(prompts[prompt], mine, other)
        for prompt, mine, other in zip(asked, ours, theirs, strict=True)
    )


def _as_the_champion_sees(
    engine: Engine,
    champion: ModelVersion,
    prompts: Sequence[str],
    said: Sequence[SampledReply],
    report: Progress,
) -> list[SampledReply]:
    """The same replies, with the champion's log-probability of each. What a candidate says that no champion
    would say is how a collapse shows that no count of words can see.
    """
    answered = [
        Answered(prompt, reply.text, not reply.endless) for prompt, reply in zip(prompts, said, strict=True)
    ]
    found = engine.logprobs(answered, champion, partial(report, "replies, read by the champion"))
    return [replace(reply, champion_nats=_per_token(one)) for reply, one in zip(said, found, strict=True)]
