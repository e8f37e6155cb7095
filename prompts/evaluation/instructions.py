"""IFEval's checks, by the library if-verifiable, which a person installs; Hone ships none of its own.

The library is not among Hone's packages: it brings nltk, whose sentence and word data are no package and come
by a download of their own. An instruction that needs them where they are missing is not judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from feedback.errors import HoneError
from prompts.evaluation.items import ByRule, Item, Score, extra_of

INSTALL = "pip install if-verifiable==0.1.2"


@dataclass(frozen=True)
class Instructions(ByRule):
    """All of a prompt's instructions are followed, to the letter ("strict" in Zhou et al. 2023)."""

    name: str = "ifeval"
    rule: str = "Every instruction in the question is followed to the letter, as if-verifiable checks it."

    def score(self, said: str, item: Item) -> Score:
        """HoneError without the library, for an instruction that it does not know or that lacks a setting, or
        without its data.
        """
        wanted = extra_of(item)
        checks, known = _library()
        for name, settings in zip(wanted["ids"], wanted["kwargs"], strict=True):
            _check(name, settings, known)
        try:
            results, scores = checks(
                response=said,
                instruction_id_list=wanted["ids"],
                kwargs_list=wanted["kwargs"],
                prompt=wanted["prompt"],
                instruction_registry=known,
            )
        except LookupError as error:
            raise HoneError(
                "An instruction cannot be checked here.",
                "Its check needs data of nltk that are not installed.",
                "Run: python -m nltk.downloader punkt punkt_tab",
            ) from error
        broken = ", ".join(one.instruction_id for one in results if not one.strict_pass)
        return Score(float(scores.binary_strict), f"broken: {broken}" if broken else "")


def check_installed() -> None:
    """HoneError without the library: said before anything is computed."""
    _library()


def _check(name: str, settings: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """HoneError for what the library would pass over, or fill in by chance."""
    if name not in known:
        raise HoneError(f"The instruction {name} cannot be checked.", "if-verifiable has no check.")
    needed = known[name](name).get_instruction_args_keys()
    if missing := [key for key in needed if settings.get(key) is None]:
        raise HoneError(f"The instruction {name} cannot be checked.", f"Its kwargs have no {missing[0]}.")


@lru_cache(maxsize=1)
def _library() -> tuple[Any, dict[str, Any]]:
    """The check, and the instructions by name. Languages are told by langdetect, which draws lots: always the
    same ones here. It is made ready at once, since two threads that come first would be in each other's way.
    """
    try:
        from if_verifiable.common import evaluate_instructions
        from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT
        from langdetect import detector_factory
    except ImportError as error:
        raise HoneError(
            "IFEval's instructions cannot be checked here.",
            f"The library if-verifiable is not installed ({error}).",
            f"Run: {INSTALL}",
        ) from error
    detector_factory.DetectorFactory.seed = 0
    detector_factory.init_factory()
    return evaluate_instructions, INSTRUCTION_DICT
