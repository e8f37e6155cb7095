"""Instructions that the model writes: from examples, from a better one, from what went wrong.

Induction from examples and rewording are APE's (Zhou et al., 2023, section 3), criticism before rewriting is
ProTeGi's (Pryzant et al., 2023). What a model writes here is data: the value of an instruction.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from feedback.conversations import Sampling
from prompts.chat import ChatMessage
from prompts.evaluation.asking import Asking
from prompts.evaluation.columns import Outcome
from prompts.evaluation.model import Written
from prompts.examples import Example
from prompts.window import prompt_budget

WARM = Sampling(temperature=0.9, top_p=0.95, max_tokens=80, seed=0)
"""Proposals must differ; each gets a seed of its own."""
LONGEST = 400
"""Characters of an instruction. More is not followed better, and costs every question."""
SHOWN, FAILURES = 6, 4
"""Examples to induce from, and failures to criticise."""
CUT = 300
"""Characters of an example that are shown here."""

_LABEL = re.compile(
    r"^\s*(?:\**(?:the |new |better )?instructions?\**|answer|input|output)\s*:\s*", re.IGNORECASE
)


@dataclass(frozen=True)
class Failure:
    """A question that was answered wrongly."""

    question: str
    said: str
    gold: str


def failures(outcomes: Sequence[Outcome]) -> list[Failure]:
    """Those of `outcomes` that are wrong."""
    return [Failure(one.question, one.read or one.said, one.gold) for one in outcomes if one.value == 0]


def from_options(options: Sequence[str]) -> str:
    """What always can be said of a choice, without a model; "" for none."""
    if len(options) < 2:
        return ""
    return f"Answer with one of these and nothing else: {', '.join(options)}."


INDUCE = """Here are inputs, each with its right output.

{shown}

Write the instruction, in one or two sentences, that says how to find the output for any such input. Write \
the instruction alone."""
REWORD = """Instruction: {instruction}

Say this instruction in other words, clearer and shorter, with the same meaning. Write the new instruction \
alone."""
WRONG = """Instruction: {instruction}

Under it these answers were wrong.

{shown}"""
CRITICISE = """{wrong}

What does the instruction lack? One sentence."""
REWRITE = """{wrong}

Criticism: {criticism}

Write a better instruction, in one or two sentences. Write the instruction alone."""


@dataclass(frozen=True)
class Writer:
    """Writes instructions with the model behind `asking`. `seed`: of the first; the others follow from it."""

    asking: Asking
    seed: int

    def induced(self, examples: Sequence[Sequence[Example]]) -> list[str]:
        """One instruction for each set of examples: what takes each input to its output."""
        return self._written([INDUCE.format(shown=_pairs(shown[:SHOWN])) for shown in examples])

    def reworded(self, instructions: Sequence[str]) -> list[str]:
        """Each instruction in other words."""
        return self._written([REWORD.format(instruction=one) for one in instructions])

    def criticised(self, attempts: Sequence[tuple[str, Sequence[Failure]]]) -> list[str]:
        """Each instruction rewritten after a criticism of what went wrong under it."""
        wrong = [
            WRONG.format(instruction=said or "none", shown=_faults(failed[:FAILURES]))
            for said, failed in attempts
        ]
        criticisms = self._written([CRITICISE.format(wrong=one) for one in wrong])
        both = zip(wrong, criticisms, strict=True)
        return self._written([REWRITE.format(wrong=one, criticism=criticism) for one, criticism in both])

    def _written(self, asks: Sequence[str]) -> list[str]:
        """What the model writes to each, cleaned; "" where nothing is left."""
        model = self.asking.model
        prompts = [model.template.text([ChatMessage("user", ask)]) for ask in asks]
        budget = prompt_budget(WARM.max_tokens, model.window)
        fits = [place for place, one in enumerate(prompts) if model.count_tokens(one) <= budget]
        kept = self.asking.write([(prompts[at], replace(WARM, seed=self.seed + at)) for at in fits])
        found = [""] * len(asks)
        for place, one in zip(fits, kept, strict=True):
            found[place] = cleaned(one.answer.text) if isinstance(one.answer, Written) else ""
        return found


def cleaned(written: str) -> str:
    """The instruction in what a model wrote: its first paragraph, without a label or quotes around it. "" for
    one that ends where it should begin, as in "Do this:".
    """
    paragraph = written.strip().partition("\n\n")[0]
    plain = " ".join(_LABEL.sub("", paragraph).split()).strip("\"'“”*` ")
    if plain.endswith(":"):
        return ""
    if len(plain) <= LONGEST:
        return plain
    sentences = re.split(r"(?<=[.!?])\s", plain[:LONGEST])
    return " ".join(sentences[:-1]).strip()


def _pairs(shown: Sequence[Example]) -> str:
    return "\n\n".join(f"Input: {_cut(one.question)}\nOutput: {_cut(one.answer)}" for one in shown)


def _faults(failed: Sequence[Failure]) -> str:
    return "\n\n".join(
        f"Input: {_cut(one.question)}\nAnswered: {_cut(one.said)}\nRight: {_cut(one.gold)}" for one in failed
    )


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= CUT else f"{flat[:CUT].rstrip()}..."
