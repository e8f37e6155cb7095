"""DSPy's search for a prompt on SST-2, over an OpenAI-compatible server: the peer of `hone prompts optimise`.

Runs in an environment of its own and knows nothing of Hone but a URL:

    make .peers/dspy/.made
    .peers/dspy/bin/python bench/search_dspy.py --url http://127.0.0.1:7860/v1 --adapter plain \
        --optimiser random-search --train sst2_train.jsonl --held-out sst2_dev.jsonl

One line of JSON goes to stdout, DSPy's own words to stderr. The search sees training rows only, some of which
it keeps to score candidates on. It ends by itself, or at `--questions` or `--minutes`: then the best prompt
scored so far counts. It is asked the held-out items. An answer that cannot be read is wrong, and counted.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import dspy
from dspy.lm15 import AccessPolicy, ModelSupport, OpenAIChatCompat, ProviderDefinition, register_provider
from dspy.utils.callback import BaseCallback
from dspy.utils.exceptions import AdapterParseError

LABELS = ("negative", "positive")
ANSWER_TOKENS = {"chat": 48, "json": 24, "plain": 8}
"""Room for an answer in each format, twice what a good one takes: a model that rambles costs budget."""
PROPOSAL_TOKENS = 200
"""Room for an instruction or a summary that the model writes in the search."""
THREADS = 8
"""The quickest: 100 items took 17 s. With 32 they took 38 s: all those read the same examples at first."""
MANY = 10**9
"""DSPy gives up after so many unreadable answers; a small model gives many, and they are counted as wrong."""


class Sentiment(dspy.Signature):
    """Say whether the movie review is positive or negative."""

    review: str = dspy.InputField()
    sentiment: Literal["positive", "negative"] = dspy.OutputField()


class PlainAdapter(dspy.Adapter):
    """Bare words for small models, for signatures with one output: `Review: ...\\nSentiment:` and the answer.

    DSPy's own formats put markers or JSON around each value, which a small model has to get right as well.
    """

    def format_system_message(self, signature: Any) -> str:
        return str(signature.instructions)

    def format_user_message_content(
        self,
        signature: Any,
        inputs: dict[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> str:
        given = [f"{_title(name)}: {inputs[name]}" for name in signature.input_fields if name in inputs]
        (output,) = signature.output_fields
        return "\n".join(part for part in (prefix, *given, f"{_title(output)}:", suffix) if part)

    def format_assistant_message_content(
        self, signature: Any, outputs: dict[str, Any], missing_field_message: str | None = None
    ) -> str:
        (output,) = signature.output_fields
        return str(outputs.get(output, missing_field_message))

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Of a choice, the option that is named first, wherever that is; else the whole text."""
        ((name, field),) = signature.output_fields.items()
        options = get_args(field.annotation)
        if not options:
            return {name: completion.strip()}
        places = {option: completion.lower().find(option) for option in options}
        named = [option for option, place in places.items() if place >= 0]
        if not named:
            raise AdapterParseError(type(self).__name__, signature, completion)
        return {name: min(named, key=places.__getitem__)}


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


ADAPTERS = {"chat": dspy.ChatAdapter, "json": dspy.JSONAdapter, "plain": PlainAdapter}


class Spent(BaseException):
    """The budget is spent. No Exception, so that no part of DSPy takes it for a failed answer."""


class Budget(BaseCallback):
    """Counts what the model is asked, and ends the search as Ctrl-C would: DSPy then drops what waits."""

    def __init__(self, questions: int, minutes: float) -> None:
        self.asked, self.broken = 0, 0
        self._left, self._lock = questions, threading.Lock()
        self._timer = threading.Timer(minutes * 60, self._stop)
        self._timer.daemon = True

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        with self._lock:
            self.asked += 1
            self._left -= 1
            spent = self._left == 0
        if spent:
            self._stop()

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        if exception is not None:
            self.broken += 1

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Spent is raised in here, in the main thread, when the budget is."""
        before = signal.signal(signal.SIGINT, _raise_spent)
        self._timer.start()
        try:
            yield
        finally:
            self._left = -1
            self._timer.cancel()
            signal.signal(signal.SIGINT, before)

    def _stop(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def _raise_spent(number: int, frame: Any) -> None:
    raise Spent


class Scored(BaseCallback):
    """Remembers each program that the search has scored, for when it is ended before it returns one."""

    def __init__(self) -> None:
        self._begun: dict[str, tuple[int, Any]] = {}
        self._ended: list[tuple[int, float, Any]] = []

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        items = inputs.get("devset") or instance.devset
        self._begun[call_id] = len(items), inputs["program"].deepcopy()

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        if outputs is not None:
            items, program = self._begun[call_id]
            self._ended.append((items, outputs.score, program))

    @property
    def best(self) -> Any:
        """The best of those scored on the most items; the first of equals."""
        if not self._ended:
            return None
        most = max(items for items, _, _ in self._ended)
        return max((one for one in self._ended if one[0] == most), key=lambda one: one[1])[2]

    @property
    def programs(self) -> list[dict[str, float]]:
        return [{"items": items, "score": score} for items, score, _ in self._ended]


@dataclass(frozen=True)
class Answer:
    """One held-out item. `said`: None where the answer could not be read."""

    id: str
    said: str | None
    right: bool


@dataclass(frozen=True)
class Found:
    """What the search found, and what it cost. `asked`: everything the model was asked in the search.

    `scored`: programs that the search measured, in order, each with how many training rows and percent right.
    """

    dspy: str
    optimiser: str
    adapter: str
    asked: int
    seconds: float
    ended: str
    scored: list[dict[str, float]]
    items: int
    right: int
    unread: int
    held_out_seconds: float
    prompt: str
    answers: list[Answer]


def rows(path: Path) -> list[Any]:
    """SST-2's rows, `{"id", "text", "label": 0 or 1}` a line, as DSPy's examples."""
    read = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [
        dspy.Example(id=row["id"], review=row["text"], sentiment=LABELS[row["label"]]).with_inputs("review")
        for row in read
    ]


def right(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(prediction.get("sentiment") == example.sentiment)


def model(url: str, tokens: int) -> Any:
    """The server's model, greedy. DSPy is told that it can hold to a schema, which it would not assume."""
    access = AccessPolicy(provider="local-server", base_url=url)
    compat = OpenAIChatCompat.preset("vllm")
    definition = ProviderDefinition.chat(access, compat=compat, placeholder_key="none")
    register_provider(definition, supports=ModelSupport(response_schema=True))
    return dspy.LM("local-server/hone", temperature=0.0, max_tokens=tokens, num_retries=5)


def optimised(args: argparse.Namespace, program: Any, training: list[Any]) -> Any:
    """The program that DSPy makes of it, by the optimiser's own defaults where nothing is asked."""
    held_back, shown = training[: args.validation], training[args.validation :]
    if args.optimiser == "zero-shot":
        return program
    if args.optimiser == "labelled":
        return dspy.LabeledFewShot(k=args.labelled).compile(program, trainset=shown)
    shots = {"max_bootstrapped_demos": args.bootstrapped, "max_labeled_demos": args.labelled}
    if args.optimiser == "random-search":
        search = dspy.BootstrapFewShotWithRandomSearch(
            right, num_candidate_programs=args.candidates, num_threads=args.threads, **shots
        )
        return search.compile(program, trainset=shown, valset=held_back)
    writer = model(args.url, PROPOSAL_TOKENS)
    mipro = dspy.MIPROv2(right, prompt_model=writer, auto=args.auto, num_threads=args.threads, **shots)
    return mipro.compile(program, trainset=shown, valset=held_back)


def searched(args: argparse.Namespace, budget: Budget, scored: Scored) -> tuple[Any, str]:
    """The program that counts, and what ended the search."""
    training = rows(args.train)
    random.Random(args.seed).shuffle(training)
    program = dspy.Predict(Sentiment)
    try:
        with budget.running():
            return optimised(args, program, training), "by itself"
    except Spent:
        return scored.best or program, "budget"


def asked(args: argparse.Namespace, program: Any) -> list[Answer]:
    """What the program says to each held-out item, in the file's order."""
    items = rows(args.held_out)[: args.items]
    evaluate = dspy.Evaluate(devset=items, metric=right, num_threads=args.threads, display_progress=True)
    return [
        Answer(example.id, prediction.get("sentiment"), bool(score))
        for example, prediction, score in evaluate(program).results
    ]


def prompt(program: Any) -> str:
    """The text that is put, as roles and contents, with the place where a review stands."""
    put = dspy.settings.adapter.format(program.signature, program.demos, {"review": "{{ review }}"})
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in put)


def found(args: argparse.Namespace) -> Found:
    budget, scored = Budget(args.questions, args.minutes), Scored()
    # A question asked again costs nothing, but nothing is taken over from an earlier run.
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    dspy.configure(
        lm=model(args.url, ANSWER_TOKENS[args.adapter]),
        adapter=ADAPTERS[args.adapter](),
        callbacks=[budget, scored],
        max_errors=MANY,
    )
    begun = time.perf_counter()
    program, ended = searched(args, budget, scored)
    searched_by, in_search, programs = time.perf_counter(), budget.asked, scored.programs
    budget.broken = 0
    answers = asked(args, program)
    if budget.broken:
        sys.exit(f"The server failed {budget.broken} times while the held-out items were asked; see above.")
    return Found(
        dspy=dspy.__version__,
        optimiser=args.optimiser,
        adapter=args.adapter,
        asked=in_search,
        seconds=round(searched_by - begun, 1),
        ended=ended,
        scored=programs,
        items=len(answers),
        right=sum(answer.right for answer in answers),
        unread=sum(answer.said is None for answer in answers),
        held_out_seconds=round(time.perf_counter() - searched_by, 1),
        prompt=prompt(program),
        answers=answers,
    )


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--url", required=True, help="of the server, with /v1")
    options.add_argument("--train", type=Path, required=True)
    options.add_argument("--held-out", type=Path, required=True)
    options.add_argument("--items", type=int, help="of the held-out file; all of them by default")
    optimisers = ("random-search", "mipro", "labelled", "zero-shot")
    options.add_argument("--optimiser", choices=optimisers, default="random-search")
    options.add_argument("--adapter", choices=tuple(ADAPTERS), default="plain")
    options.add_argument("--questions", type=int, default=MANY, help="the search ends after so many")
    options.add_argument("--minutes", type=float, default=15, help="the search ends after so long")
    options.add_argument("--validation", type=int, default=200, help="training rows to score candidates on")
    options.add_argument(
        "--candidates", type=int, default=60, help="of random-search; more than it has time for"
    )
    options.add_argument("--auto", choices=("light", "medium", "heavy"), default="light", help="of mipro")
    options.add_argument("--labelled", type=int, default=8, help="examples shown at most")
    options.add_argument("--bootstrapped", type=int, default=4, help="of them, answered by the model itself")
    options.add_argument("--threads", type=int, default=THREADS, help="questions asked at once")
    options.add_argument("--seed", type=int, default=0, help="of which rows score and which are shown")
    return options.parse_args()


def main() -> None:
    args = arguments()
    with contextlib.redirect_stdout(sys.stderr):
        line = json.dumps(asdict(found(args)), ensure_ascii=False)
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
