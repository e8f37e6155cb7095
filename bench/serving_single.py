"""The sections of bench/serving.py in which one person chats: turn, decoding, prefix cache, overhead."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any

import serving_peers as peers
import serving_prompts as prompts
from serving_client import Streamed, ask, chat, messages
from serving_peers import Server
from serving_table import Figure, Plan, at_least, at_most, told

ANSWER = 128
TURNS = 10


def one(server: Server, said: list[dict[str, str]], tokens: int = ANSWER) -> Streamed:
    answer = asyncio.run(chat(server, said, tokens))
    if answer.error:
        raise RuntimeError(f"{server.name}: {answer.error}")
    return answer


def warm(server: Server, prompt: Callable[[int], str] = prompts.story) -> None:
    """Two answers that nobody counts, to prompts of the kind that is measured."""
    for number in (901, 902):
        one(server, messages(prompt(number)), 32)


def rendered(plan: Plan, texts: list[str]) -> list[str]:
    """The prompts as the base's own template writes them."""
    from assistant import base as bases
    from assistant.base import BaseChoice
    from prompts.chat import ChatMessage

    template = bases.chat_template(bases.resolve(plan.home, BaseChoice()))
    return [template.text([ChatMessage("user", text)]) for text in texts]


def turn(plan: Plan) -> list[Figure]:
    """A chat turn with eight examples before its question."""
    said = [prompts.eight_shots(number) for number in range(plan.repeats)]

    def measured(server: Server) -> list[Streamed]:
        warm(server, prompts.eight_shots)
        return [one(server, messages(text)) for text in said]

    def seconds(answers: list[Streamed]) -> float:
        return median(answer.seconds_for(ANSWER) for answer in answers)

    with peers.hone(plan.home) as server:
        answers = measured(server)
    mine, read = seconds(answers), median(answer.prompt_tokens for answer in answers)
    wrote = min(answer.tokens for answer in answers)
    figures = [told(f"Hone: {read:.0f} tokens read, {wrote} or more written; first token", median(
        answer.first_s for answer in answers) * 1000, "ms")]  # fmt: skip
    if plan.has("llamacpp"):
        with peers.llama(peers.gguf_4bit(plan.home)) as server:
            theirs = seconds(measured(server))
        figures.append(at_most("a turn: Hone / llama.cpp", (mine, theirs, "s"), 0.6))
    if plan.has("transformers"):
        with peers.child("transformers", plan.home) as child:
            child.ask(prompts=rendered(plan, ["Hello"]), tokens=8)
            times = [child.ask(prompts=rendered(plan, [text]), tokens=ANSWER)["seconds"] for text in said]
        figures.append(at_most("a turn: Hone / transformers eager", (mine, median(times), "s"), 0.25))
    return figures


def decode(plan: Plan) -> list[Figure]:
    """Tokens a second after the first, one chat, the base and a promoted version."""
    figures = []

    def speed(server: Server) -> float:
        warm(server)
        asked = [messages(prompts.story(number)) for number in range(plan.repeats)]
        return median(one(server, said, 2 * ANSWER).tokens_a_second for said in asked)

    for what, champion, model in (
        ("base: Hone / llama.cpp 4-bit", None, peers.gguf_4bit),
        ("promoted: Hone / llama.cpp 8-bit", plan.version, peers.gguf_8bit),
    ):
        peers.make_champion(plan.home, champion)
        with peers.hone(plan.home) as server:
            mine = speed(server)
        theirs = None
        if plan.has("llamacpp"):
            with peers.llama(model(plan.home)) as server:
                theirs = speed(server)
        figures.append(at_least(what, (mine, theirs, "tokens/s"), 0.8))
    peers.make_champion(plan.home, None)
    return figures


def conversation(plan: Plan) -> list[Figure]:
    """The tenth turn of a long conversation, with and without what the cache knows."""
    figures = []
    for what, message, tokens in (
        ("tenth turn", prompts.turn, ANSWER),
        ("tenth turn, a text quoted in each message", prompts.quoting, 48),
    ):
        with peers.hone(plan.home) as server:
            known, unknown, last, read = _tenth(server, plan.repeats, message, tokens)
        told_as = f"{what} ({read:.0f} tokens, {last:.0f} of them its message), first token"
        figures.append(at_most(f"{told_as}: with / without the prefix cache", (known, unknown, "ms"), 0.2))
        figures.append(told(f"{told_as}, with the prefix cache", known, "ms", 60))
        if plan.has("llamacpp"):
            with peers.llama(peers.gguf_4bit(plan.home)) as server:
                theirs, cold, _, _ = _tenth(server, plan.repeats, message, tokens)
            figures.append(told("the same at llama.cpp, with its cache", theirs, "ms"))
            figures.append(told("the same at llama.cpp, without", cold, "ms"))
    return figures


def _tenth(
    server: Server, repeats: int, message: Callable[[int, int], str], tokens: int
) -> tuple[float, float, float, float]:
    """Milliseconds to the first token of the tenth turn with the cache, and without; the tokens of its
    message, and of all that it reads. `tokens`: of each reply before it, at most.
    """
    warm(server)
    known, unknown, last, read = [], [], [], []
    for number in range(repeats):
        said: list[dict[str, str]] = [{"role": "system", "content": f"{number + 1000} is this chat."}]
        before = 0
        for place in range(1, TURNS):
            said.append({"role": "user", "content": message(number, place)})
            answer = one(server, said, tokens)
            said.append({"role": "assistant", "content": answer.text})
            before = answer.prompt_tokens + answer.tokens
        said.append({"role": "user", "content": message(number, TURNS)})
        answer = one(server, said, 8)
        known.append(answer.first_s)
        read.append(answer.prompt_tokens)
        last.append(answer.prompt_tokens - before)
        said[0] = {"role": "system", "content": f"{number + 5000} is this chat."}
        unknown.append(one(server, said, 8).first_s)
    return median(known) * 1000, median(unknown) * 1000, median(last), median(read)


def overhead(plan: Plan) -> list[Figure]:
    """What Hone adds to its engine."""
    mine, bare = [], []
    with peers.hone(plan.home) as server, peers.child("bare", plan.home) as child:
        warm(server, prompts.eight_shots)
        child.ask(prompts=rendered(plan, [prompts.eight_shots(903)]), tokens=32)
        for number in range(2 * plan.repeats):
            answer = one(server, messages(prompts.eight_shots(number)))
            record = asyncio.run(ask(server.port, "GET", f"/api/replies/{answer.reply_id}"))
            mine.append(answer.seconds)
            bare.append(child.ask(prompts=[record["prompt_text"]], tokens=ANSWER)["seconds"])
    # Turn by turn: the machine's own pace changes more between two turns than Hone adds to one.
    added = median(through - alone for through, alone in zip(mine, bare, strict=True))
    pair = (median(bare) + added, median(bare), "s")
    return [at_most("a turn: through the door / bare engine", pair, 1.05)]


def start(plan: Plan) -> list[Figure]:
    """How soon Hone answers after its start, and what it holds then."""
    starts, held, idle = [], [], []
    for number in range(plan.repeats):
        began = time.perf_counter()
        with peers.hone(plan.home, wait=False) as server:
            starts.append(first_answer(server, number) - began)
            time.sleep(1)
            held.append(server.rss_mb())
            idle.append(server.idle_percent())
    figures = [
        told("start of `hone serve` to the first token, warm disc", median(starts), "s", 8),
        told("memory after that: Hone", median(held), "MB"),
        told("processor time of an idle Hone, of one core", median(idle), "%"),
    ]
    if plan.has("llamacpp"):
        with peers.llama(peers.gguf_4bit(plan.home)) as server:
            one(server, messages(prompts.short(1)), 8)
            time.sleep(1)
            figures.append(told("memory after a first answer: llama-server", server.rss_mb(), "MB"))
            figures.append(told("processor time of an idle llama-server", server.idle_percent(), "%"))
    return figures


def first_answer(server: Server, number: int) -> float:
    """When the first token came of a server that is still starting."""
    while server.process.poll() is None:
        time.sleep(0.02)
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", server.port), 1).close()  # whoever asks more slows it down
            answer: Any = asyncio.run(chat(server, messages(prompts.short(number)), 8))
            if not answer.error:
                return float(answer.began + answer.first_s)
    raise RuntimeError("hone serve ended before it answered")
