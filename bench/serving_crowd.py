"""The sections of bench/serving.py in which many chat at once: throughput, a short chat among long ones, a
long line, and a promotion under load.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from statistics import median

import serving_peers as peers
import serving_prompts as prompts
from serving_client import Streamed, ask, chat, events_of, messages
from serving_peers import Server
from serving_single import ANSWER, rendered, warm
from serving_table import Figure, Plan, at_least, none_of, told

CHATS = 32
QUEUED = 200
UNDER_LOAD = 8


def all_at_once(server: Server, first: int) -> list[Streamed]:
    async def run() -> list[Streamed]:
        said = [messages(prompts.story(first + place)) for place in range(CHATS)]
        return list(await asyncio.gather(*(chat(server, one) for one in said)))

    answers = asyncio.run(run())
    if wrong := [answer.error for answer in answers if answer.error]:
        raise RuntimeError(f"{server.name}: {wrong[0]}")
    return answers


def total(answers: list[Streamed]) -> float:
    """Tokens a second of all together."""
    end = max(answer.began + answer.seconds for answer in answers)
    return sum(answer.tokens for answer in answers) / (end - min(answer.began for answer in answers))


def waits(name: str, rounds: list[list[Streamed]]) -> list[Figure]:
    firsts = sorted(answer.first_s for answers in rounds for answer in answers)
    pace = [[answer.seconds_for(ANSWER) for answer in answers] for answers in rounds]
    return [
        told(f"{name}: first token, median", median(firsts) * 1000, "ms"),
        told(f"{name}: first token, 95 of 100", firsts[int(0.95 * (len(firsts) - 1))] * 1000, "ms"),
        told(f"{name}: slowest chat / fastest", median(max(one) / min(one) for one in pace), "x"),
    ]


def crowd(plan: Plan) -> list[Figure]:
    """32 chats at once: each round of Hone's is followed by one of everybody else's, so that what else the
    machine does falls on all of them.
    """
    mine: list[list[Streamed]] = []
    llama: list[list[Streamed]] = []
    batched: list[float] = []
    with ExitStack() as running:
        hone = running.enter_context(peers.hone(plan.home))
        warm(hone)
        if plan.has("llamacpp"):
            slots = running.enter_context(peers.llama(peers.gguf_4bit(plan.home), CHATS, 2048))
            warm(slots)
        if plan.has("transformers"):
            texts = rendered(plan, [prompts.story(number) for number in range(CHATS)])
            child = running.enter_context(peers.child("transformers", plan.home))
            child.ask(prompts=texts[:2], tokens=8)
        for number in range(plan.repeats):
            mine.append(all_at_once(hone, CHATS * number))
            if plan.has("llamacpp"):
                llama.append(all_at_once(slots, CHATS * number))
            if plan.has("transformers"):
                batched.append(CHATS * ANSWER / child.ask(prompts=texts, tokens=ANSWER)["seconds"])
    speed, figures = median(map(total, mine)), waits("Hone", mine)
    if llama:
        pair = (speed, median(map(total, llama)), "tokens/s")
        figures.insert(0, at_least(f"{CHATS} chats: Hone / llama-server", pair, 2.4))
        figures += waits("llama-server", llama)
    if batched:
        pair = (speed, median(batched), "tokens/s")
        figures.insert(0, at_least(f"{CHATS} chats: Hone / transformers in one batch", pair, 2.2))
    return figures


def short(plan: Plan) -> list[Figure]:
    """A short chat that comes while long prompts are read is not stuck behind them."""

    def measured(server: Server) -> float:
        warm(server)
        return 1000 * median(short_among_long(server, number) for number in range(plan.repeats))

    with peers.hone(plan.home) as server:
        figures = [told("Hone: first token of the short chat", measured(server), "ms")]
    if plan.has("llamacpp"):
        with peers.llama(peers.gguf_4bit(plan.home), CHATS, 2048) as server:
            figures.append(told("llama-server: the same", measured(server), "ms"))
    return figures


def short_among_long(server: Server, number: int) -> float:
    """Seconds to the first token of a short chat that comes while long prompts are read."""

    async def run() -> float:
        asked = [messages(prompts.long(1000 + CHATS * number + place)) for place in range(CHATS - 1)]
        long_ones = [asyncio.create_task(chat(server, said, 16)) for said in asked]
        await asyncio.sleep(0.5)
        answer = await chat(server, messages(prompts.short(2000 + number)), 16)
        if wrong := [one.error for one in (answer, *await asyncio.gather(*long_ones)) if one.error]:
            raise RuntimeError(f"{len(wrong)} of {CHATS}: {wrong[0]}")
        return answer.first_s

    return asyncio.run(run())


@contextmanager
def memory_watched(server: Server) -> Iterator[list[float]]:
    seen, done = [server.rss_mb()], threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            seen.append(server.rss_mb())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def line(plan: Plan) -> list[Figure]:
    """Many more than the engine has room for, all at once, as chats of the page."""

    async def reply(server: Server, number: int) -> tuple[bool, int]:
        body = {
            "message": {
                "content": prompts.story(number), "settings": {"max_tokens": 32, "temperature": 0, "seed": 1},
            }
        }  # fmt: skip
        begun = await ask(server.port, "POST", "/api/conversations", body)
        events = await events_of(server.port, "GET", f"/api/replies/{begun['reply_id']}/events?shape=text")
        states = [json.loads(event) for _, event in events]
        return states[-1]["status"] == "complete", max(state["waiting"] for state in states)

    async def everybody(server: Server) -> list[tuple[bool, int] | BaseException]:
        asked = (reply(server, 3000 + number) for number in range(QUEUED))
        return await asyncio.gather(*asked, return_exceptions=True)

    with peers.hone(plan.home) as server:
        warm(server)
        began = time.perf_counter()
        with memory_watched(server) as seen:
            told_of = asyncio.run(everybody(server))
        took = time.perf_counter() - began
    ended = [one for one in told_of if not isinstance(one, BaseException)]
    for wrong in [one for one in told_of if isinstance(one, BaseException)][:3]:
        print(f"lost: {type(wrong).__name__}: {wrong}")  # noqa: T201
    return [
        none_of(f"{QUEUED} requests at once: lost", QUEUED - sum(complete for complete, _ in ended)),
        told("all of them written after", took, "s"),
        told("the largest number said to wait before one", max((place for _, place in ended), default=0), ""),
        told(f"memory before: {seen[0]:.0f} MB; at most", max(seen), "MB"),
    ]


def promotion(plan: Plan) -> list[Figure]:
    """A promotion while chats stream all the time; each round in a server of its own."""
    took, answers, wrong, mixed = [], 0, 0, 0
    for _ in range(plan.repeats):
        peers.make_champion(plan.home, None)
        with peers.hone(plan.home) as server:
            seconds, seen, bad = asyncio.run(promoted(server, plan.version))
        took.append(seconds)
        answers, wrong = answers + len(seen), wrong + sum(bool(answer.error) for answer in seen)
        mixed += bad
    peers.make_champion(plan.home, None)
    return [
        told("from the promotion to the first token of the new version", median(took), "s", 3),
        none_of(f"errors in {answers} replies", wrong),
        none_of("replies whose events and record name more than one version", mixed),
    ]


async def promoted(server: Server, version: str) -> tuple[float, list[Streamed], int]:
    """Seconds until the new version spoke, all answers, and how many of them are of two versions."""
    over, seen, tasks = asyncio.Event(), list[Streamed](), set[asyncio.Task[None]]()

    async def chatter(place: int) -> None:
        number = 100 * place
        while not over.is_set():
            seen.append(await chat(server, messages(prompts.story(number))))
            number += 1

    seen.append(await chat(server, messages(prompts.short(1)), 8, version))  # as after its evaluation: loaded
    tasks |= {asyncio.create_task(chatter(place)) for place in range(UNDER_LOAD)}
    await asyncio.sleep(4)
    began = time.perf_counter()
    body = {"candidate": version, "override": "measured in a benchmark"}
    await ask(server.port, "POST", "/api/promotions", body)
    fresh = await chat(server, messages(prompts.short(2)), 16)
    seen.append(fresh)
    await asyncio.sleep(4)
    over.set()
    await asyncio.gather(*tasks)
    records = {}
    for answer in seen:
        with suppress(ValueError, OSError):
            records[answer.reply_id] = await ask(server.port, "GET", f"/api/replies/{answer.reply_id}")
    named = {key: record["model_version"] for key, record in records.items()}
    if named[fresh.reply_id]["name"] != version:
        raise RuntimeError("a reply begun after the promotion is not the new version's")
    mixed = [one for one in seen if not one.error and one.versions != {named[one.reply_id]["name"]}]
    mixed = [one for one in mixed if one.versions != {named[one.reply_id]["id"]}]
    return fresh.began + fresh.first_s - began, seen, len(mixed)
