"""The bench of a prompt engineer: drafts checked, looked at as tokens, and tried, on the model that answers.

What pages and routes share; it knows the store and one engine. Whoever calls has checked the role.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from assistant import registry
from assistant.engines.interface import Engine
from assistant.example_pools import ExamplePools
from assistant.prompt_preview import StepPreview, preview
from assistant.prompt_tries import MOST_SIDES, Asked, Tries, Try
from feedback.conversations import SEEDS, Sampling
from feedback.errors import HoneError
from feedback.ids import PromptVersionId, UserId
from feedback.store import Store
from prompts import library
from prompts.library import PromptVersion
from prompts.strategy import Strategy, parse

UNSAVED = PromptVersionId("unsaved")

_FILE = re.compile(r"The template (\S+) cannot be used\.")
_LINE = re.compile(r"Line (\d+): ")


@dataclass(frozen=True)
class Problem:
    """Why a source cannot be used. `file` "" and `line` None: nowhere in particular."""

    file: str
    line: int | None
    reason: str
    sentence: str


class PromptBench:
    """One for each server. Safe to use from many threads."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store, self.engine = store, engine
        self._pools = ExamplePools(store)
        self._tries = Tries()

    def preview(
        self, user_id: UserId, strategy: Strategy, question: str, max_tokens: int = Sampling().max_tokens
    ) -> tuple[StepPreview, ...]:
        """What the model would read, step by step. HoneError for no question, or one that does not fit."""
        pool = self._pools.of(user_id, strategy)
        return preview(self.engine, strategy, _asked(question), max_tokens, pool)

    def begin_try(
        self, user_id: UserId, versions: Sequence[PromptVersion], question: str, sampling: Sampling
    ) -> Try:
        """Let one to four versions answer side by side, with one seed. HoneError for none, or no question."""
        if not 1 <= len(versions) <= MOST_SIDES:
            raise HoneError(f"1 to {MOST_SIDES} versions can be tried at once, not {len(versions)}.")
        asked, champion = _asked(question), registry.champion(self.store)
        self.engine.load(champion)
        seeded = replace(sampling, seed=secrets.randbelow(SEEDS)) if sampling.seed is None else sampling
        pools = [self._pools.of(user_id, version.strategy) for version in versions]
        wanted = Asked(user_id, champion, versions, asked, seeded, pools)
        return self._tries.begin(user_id, lambda: Try(self.engine, wanted))

    def stop_try(self, user_id: UserId) -> None:
        """End what this person tries, if anything."""
        self._tries.stop(user_id)


def check(name: str, files: Mapping[str, str]) -> Problem | None:
    """Why a source cannot be kept, with file and line; None when it can."""
    try:
        unsaved(name, files)
    except HoneError as error:
        return problem(error)
    return None


def unsaved(name: str, files: Mapping[str, str]) -> PromptVersion:
    """A source as a version that is not in the store. Raises HoneError, with file and line."""
    library.check_name(name)
    return PromptVersion(UNSAVED, name, parse(name, library.check_files(files)))


def problem(error: HoneError) -> Problem:
    """The place in a template's refusal, taken out of its sentence."""
    file, line = _FILE.fullmatch(error.what), _LINE.match(error.why)
    if file is None:
        return Problem("", None, str(error), str(error))
    reason = error.why[line.end() :] if line else error.why
    return Problem(PurePosixPath(file[1]).name, int(line[1]) if line else None, reason, str(error))


def _asked(question: str) -> str:
    if not question.strip():
        raise HoneError("There is no question.", todo="Type one first.")
    return question
