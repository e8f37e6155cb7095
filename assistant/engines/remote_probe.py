"""Who is at the other end: which kind of server, whether it serves this base, and what it can do. Knows no
adapter and no reply.

A server of another model would answer, and nobody would see that it is not the one that was trained. So each
is asked to read a text of every kind of character, control tokens included, and refused in words when it
reads other tokens than Hone's tokenizer.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.base import Base
from assistant.engines.interface import Ability, Wanted
from assistant.engines.remote_dialects import DIALECTS, Plain, Prompt, TransformersServe
from assistant.engines.remote_errors import RefusedError, ServerError
from assistant.engines.remote_http import Line
from assistant.engines.reply import Vocabulary
from feedback.conversations import Sampling
from feedback.errors import HoneError
from prompts.chat import ChatMessage, ChatTemplate

Json = Any
log = logging.getLogger(__name__)

SLOTS_WHEN_UNSAID = 32
"""Replies that a server is taken to write side by side when it does not say. vLLM's own limit is higher."""
EVERY_KIND = "Naïve café, 12345 – 你好 🙂\n\tdef f(x):  return x*2  # 3.14"


@dataclass(frozen=True)
class Local:
    """What Hone knows of the base without its weights."""

    base: Base
    template: ChatTemplate
    words: Vocabulary
    window: int
    bos: str
    """What the base's tokenizer puts before a text by itself, if anything: a server may too."""


@dataclass(frozen=True)
class Served:
    """What one server is. `model` is its name for the base, `slots` how many replies it writes at once.

    `drops_bos`: it puts the begin token before a text itself, so a prompt goes without. `told`: what it said
    of its models; when that changes, another may serve behind its address.
    """

    dialect: Plain
    model: str
    window: int
    slots: int
    abilities: frozenset[Ability]
    loads_adapters: bool
    scores: bool
    drops_bos: bool = False
    told: str = ""


@dataclass(frozen=True)
class Listed:
    """What a server has now: `names`, adapters among them, and `told` as in Served."""

    names: frozenset[str]
    told: str


def probe(line: Line, local: Local) -> Served:
    """Ask a server what it is. HoneError when it cannot be reached, or serves another model than the base."""
    try:
        return _probed(line, local)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"The server {line.url} answers in a shape that Hone does not understand.",
            "Its list of models, or what it completes, is of another shape than OpenAI's.",
            "Check that it speaks OpenAI's completions.",
        ) from error


def _probed(line: Line, local: Local) -> Served:
    models = _models(line)
    dialect = _dialect(line, models, local.words)
    model = _model_name(line, models, dialect, local.base)
    _check_shape(line, models, local)
    sample = local.template.text([ChatMessage("user", EVERY_KIND)])
    prompt = Prompt(sample, tuple(local.words.ids(sample)))
    _check_tokenizer(line, model, prompt)
    served = Served(dialect, model, local.window, SLOTS_WHEN_UNSAID, frozenset(), False, False)
    served = _check_reading(line, served, prompt, local)
    return replace(
        served,
        window=min([local.window, *_windows(line, models)]),
        slots=1 if served.dialect.one_at_a_time else _slots(line),
        abilities=_abilities(line, served, prompt),
        loads_adapters=_loads_adapters(line),
        scores=_scores(line, served, prompt),
        told=_told(models),
    )


def listed(line: Line) -> Listed:
    models = _models(line)
    return Listed(frozenset(str(one["id"]) for one in models), _told(models))


def _told(models: Sequence[dict[str, Json]]) -> str:
    """What does not change as long as a server runs: no time of day, no adapter."""
    kept = ("id", "owned_by", "root", "max_model_len", "meta")
    return json.dumps([[one.get(name) for name in kept] for one in models if not one.get("parent")])


def _models(line: Line) -> list[dict[str, Json]]:
    try:
        found = line.get("/v1/models")
    except ServerError as error:
        # `transformers serve` fails here on a machine that never fetched a model from the Hub.
        if error.code == 500 and _is_transformers_serve(line):
            return []
        raise
    data = found.get("data") if isinstance(found, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) and "id" in one for one in data):
        raise ServerError(
            f"{line.url} is no server of a model.",
            "It does not list its models at /v1/models.",
            "Check the address.",
        )
    return data


def _dialect(line: Line, models: Sequence[dict[str, Json]], words: Vocabulary) -> Plain:
    for one in models:
        if (owner := str(one.get("owned_by"))) in DIALECTS:
            return DIALECTS[owner](words)
    return TransformersServe(words) if _is_transformers_serve(line) else Plain(words)


def _is_transformers_serve(line: Line) -> bool:
    """It names itself nowhere; no other server has both of these."""
    described = _asked(line, "/openapi.json")
    paths = described.get("paths", {}) if isinstance(described, dict) else {}
    return {"/load_model", "/v1/systemone"} <= set(paths)


def _model_name(line: Line, models: Sequence[dict[str, Json]], dialect: Plain, base: Base) -> str:
    """Its only model that is no adapter, or the one that is named like the base."""
    bases = [str(one["id"]) for one in models if not one.get("parent")]
    named = [name for name in bases if _is_named_like(name, base)]
    if len(bases) == 1:
        return bases[0]
    if named:
        return named[0]
    if not bases and dialect.kind == TransformersServe.kind:  # it lists only what came from the Hub
        return str(base.folder)
    if not bases:
        raise ServerError(
            f"The server {line.url} has no model.", "Its list is empty.", "Load the base there."
        )
    shown = ", ".join(sorted(bases)[:5])
    raise RefusedError(
        f"The server {line.url} serves several models, and none of them is called like {base.title}.",
        f"It has {shown}.",
        0,
    )


def _is_named_like(name: str, base: Base) -> bool:
    return name in (base.id, base.title, str(base.folder)) or Path(name).name == base.folder.name


def _check_shape(line: Line, models: Sequence[dict[str, Json]], local: Local) -> None:
    """Compare width and vocabulary, where the server tells them: a tokenizer alone fits a whole family."""
    config = json.loads((local.base.folder / "config.json").read_text("utf-8"))
    for one in models:
        told = dict(one.get("meta") or {})
        theirs = None if one.get("parent") else _config(str(one.get("root") or ""))
        if theirs:
            told = {"n_embd": theirs.get("hidden_size"), "n_layer": theirs.get("num_hidden_layers")}
        ours = {
            "n_embd": config.get("hidden_size"),
            "n_vocab": config.get("vocab_size"),
            "n_layer": config.get("num_hidden_layers"),
        }
        for name, words in (("n_embd", "wide"), ("n_vocab", "tokens large"), ("n_layer", "layers deep")):
            if told.get(name) and ours[name] and told[name] != ours[name]:
                raise _another(line, local, f"Its model is {told[name]} {words}, the base {ours[name]}.")


def _config(root: str) -> dict[str, Json] | None:
    """The shape of the model that a server has in its folder `root`, where both see that disc."""
    try:
        found = json.loads((Path(root) / "config.json").read_text("utf-8")) if root else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _check_tokenizer(line: Line, model: str, prompt: Prompt) -> None:
    """Where it has /tokenize (vLLM, llama.cpp), it must make the same ids."""
    asked = {"model": model, "prompt": prompt.text, "add_special_tokens": False}
    for body in (asked, {"content": prompt.text, "add_special": False, "parse_special": True}):
        try:
            found = line.post("/tokenize", body)
        except RefusedError:
            continue
        ids = found.get("tokens") if isinstance(found, dict) else None
        if ids and list(ids) != list(prompt.ids):
            raise _another_tokenizer(line, len(ids), len(prompt.ids))
        if ids:
            return


def _check_reading(line: Line, served: Served, prompt: Prompt, local: Local) -> Served:
    """Have it read a prompt, as ids if it takes them, else as text, and compare what it counted."""
    ways = [served]
    if type(served.dialect) is Plain:
        ways.insert(0, replace(served, dialect=Plain(local.words, takes_ids=True)))
    bare = Prompt(prompt.text.removeprefix(local.bos), prompt.ids)
    if local.bos and bare.text != prompt.text and not served.dialect.takes_ids:
        ways.insert(0, replace(served, drops_bos=True))
    counts, refusal, unchecked = [], None, None
    for way in ways:
        try:
            count = _count(line, way, bare if way.drops_bos else prompt)
        except RefusedError as error:
            refusal = error
            continue
        if count is None:
            unchecked = way  # the last is text, which no server takes for something else
        elif count == len(prompt.ids):
            return way
        else:
            counts.append(count)
    if unchecked is not None and not counts:
        log.warning("%s does not count the tokens of a prompt: it cannot be checked", line.url)
        return unchecked
    if counts:
        raise _another_tokenizer(line, counts[-1], len(prompt.ids))
    raise refusal or ServerError(f"The server {line.url} reads no prompt.")


def _count(line: Line, way: Served, prompt: Prompt) -> int | None:
    """How many tokens the server says the prompt has."""
    usage = _short(line, way, prompt, Wanted()).get("usage") or {}
    return usage.get("prompt_tokens")


def _short(line: Line, way: Served, prompt: Prompt, wanted: Wanted, tokens: int = 1) -> dict[str, Json]:
    """What comes after `prompt`, unstreamed."""
    body = way.dialect.body(way.model, prompt, Sampling(0.0, 1.0, tokens), wanted)
    body.pop("stream_options", None)
    found = line.post("/v1/completions", body | {"stream": False})
    if not isinstance(found, dict) or not found.get("choices"):
        raise ServerError(f"The server {line.url} completes no text.", "It answered without any choice.")
    return found


def _abilities(line: Line, served: Served, prompt: Prompt) -> frozenset[Ability]:
    """What it does when it is asked to, rather than what its kind should do."""
    able: set[Ability] = set()
    try:
        found = _short(line, served, prompt, Wanted(top_logprobs=1))
        if served.dialect.logprobs_of(found["choices"][0].get("logprobs")):
            able.add("token_logprobs")
    except (HoneError, KeyError, TypeError, ValueError):
        log.info("%s tells no log-probabilities", line.url)
    null = Wanted(json_schema='{"type": "null"}')
    if served.dialect.extras(null) != served.dialect.extras(Wanted()):
        try:
            found = _short(line, served, prompt, null, tokens=8)
            if (
                str(found["choices"][0].get("text")).strip() == "null"
            ):  # a server may not know, and say nothing
                able.add("json_schema")
        except HoneError:
            log.info("%s holds no reply to a schema", line.url)
    return frozenset(able)


def _scores(line: Line, served: Served, prompt: Prompt) -> bool:
    answer = served.dialect.words.ids("Yes")
    bodies = served.dialect.score_bodies(served.model, prompt.ids, answer)
    try:
        replies = [line.post(served.dialect.path, body) for body in bodies or ()]
        return served.dialect.scores(replies, answer) is not None
    except (HoneError, KeyError, TypeError, ValueError):
        return False


def _loads_adapters(line: Line) -> bool:
    """Whether vLLM's way to load adapters at run time is open: an empty request is a bad one there, not
    unknown, and not welcome, as with servers that answer 200 to everything.
    """
    try:
        line.post("/v1/load_lora_adapter", {})
    except RefusedError as error:
        return error.code in (400, 422)
    except ServerError:
        pass
    return False


def _windows(line: Line, models: Sequence[dict[str, Json]]) -> list[int]:
    # vLLM takes no prompt that fills its window, and the log-probabilities of one come with one token more.
    told = [one["max_model_len"] - 1 for one in models if isinstance(one.get("max_model_len"), int)]
    told += [(one.get("meta") or {}).get("n_ctx") for one in models]
    props = _asked(line, "/props")
    if isinstance(props, dict):
        told.append((props.get("default_generation_settings") or {}).get("n_ctx"))
    return [one for one in told if isinstance(one, int) and one > 0]


def _slots(line: Line) -> int:
    props = _asked(line, "/props")
    slots = props.get("total_slots") if isinstance(props, dict) else None
    return slots if isinstance(slots, int) and slots > 0 else SLOTS_WHEN_UNSAID


def _asked(line: Line, path: str) -> Json:
    """The answer, or None where the server has no such page."""
    try:
        return line.get(path)
    except RefusedError:
        return None


def _another_tokenizer(line: Line, theirs: int, ours: int) -> HoneError:
    return RefusedError(
        f"The server {line.url} serves another model than the base.",
        f"It reads Hone's test prompt as {theirs} tokens that are not the base's {ours}: it has another"
        " tokenizer, or puts prompts into a chat template of its own.",
        0,
    )


def _another(line: Line, local: Local, why: str) -> HoneError:
    return RefusedError(f"The server {line.url} serves another model than {local.base.title}.", why, 0)
