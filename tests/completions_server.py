"""A small server of a model, over a real socket, that speaks OpenAI's completions as vLLM does, or plainly,
and can be told to misbehave.

It computes with transformers on the tiny model, so a reply through it can be compared with the model itself.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assistant import base as bases
from assistant.base import Base
from assistant.engines.decode import Decoding
from assistant.engines.reply import vocabulary
from assistant.engines.sampling import Sampler, log_softmax
from assistant.engines.served_model import ServedModel
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.home import Home
from tests import tiny_models

Mood = Literal[
    "well", "slow", "hang", "drop", "drop_in_word", "500", "429", "429_date", "401", "garbage",
    "garbage_midway", "close", "error_event", "error_event_midway", "given_up", "holds_on",
    "shows_control_tokens", "odd_separators",
]  # fmt: skip
SLOW_S = 0.03


@dataclass(frozen=True)
class Kind:
    """What the server is. `vllm`: ids both ways, scores, adapters. Else plain: text in, text out.

    adds_bos: it puts a begin token before text. own_template: it wraps every prompt in a template of its own.
    window: tokens, as it tells.
    """

    vllm: bool = True
    adapters: bool = True
    adds_bos: bool = False
    own_template: bool = False
    window: int = 513
    key: str = ""


@dataclass
class Seen:
    """What came to the server, for tests to look at."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    written: int = 0
    writing: int = 0


class Model:
    """The tiny model in memory, with its adapters by name."""

    def __init__(self, base: Base, home: Home) -> None:
        self.base, self.home = base, home
        tokenizer, template = bases.load_tokenizer(base), bases.chat_template(base)
        self.words = vocabulary(tokenizer, template, [])
        self.served = ServedModel(bases.load_model(base), base.id, home)
        self.plain = tiny_models.base_version(base)

    def version(self, name: str, folder: Path) -> ModelVersion:
        files = json.loads((folder / "manifest.json").read_text())["files"]
        inside = folder.relative_to(self.home.path.resolve()).as_posix()
        weights = files["adapter_model.safetensors"]
        return ModelVersion(name, name, self.base.id, inside, weights, None, "", "")  # type: ignore[arg-type]

    def write(self, version: ModelVersion, ids: Sequence[int], body: dict[str, Any]) -> Iterator[Any]:
        """(token id, log-probabilities of the whole vocabulary), until the model ends or is long enough."""
        seed, temperature = body.get("seed"), body.get("temperature", 1.0)
        sampler = Sampler(Sampling(temperature, body.get("top_p", 1.0), 1, seed))
        with self.served.held(version):
            decoding = Decoding(self.served.model, [ids])
            logits = None
            while decoding.reading:
                logits = self.served.run(version, decoding.read)
            for _ in range(body["max_tokens"]):
                assert logits is not None
                row = logits[0].numpy()
                allowed = body.get("allowed_token_ids")
                token = sampler.choose(row) if allowed is None else max(allowed, key=lambda one: row[one])
                yield token, log_softmax(row)
                if token in self.words.end_ids:
                    return
                logits = self.served.run(version, partial(decoding.step, [token]))


class CompletionsServer:
    """On a port of this machine. `mood` is how it behaves from now on, or for `times` requests only."""

    def __init__(self, model: Model, kind: Kind | None = None, port: int = 0) -> None:
        self.model, self.kind = model, kind or Kind()
        self.adapters: dict[str, ModelVersion] = {}
        self.name, self.seen = "tiny", Seen()
        self._mood: Mood = "well"
        self._times: int | None = None
        self._lock = threading.Lock()
        self.hung = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server = _Listener(("127.0.0.1", port), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def behave(self, mood: Mood, times: int | None = None) -> None:
        with self._lock:
            self._mood, self._times = mood, times

    def kill(self) -> None:
        """As a killed process goes: no more connections, those that are open broken, adapters forgotten."""
        self._server.shutdown()
        self._server.server_close()
        self.hung.set()
        for one in list(self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def next_mood(self) -> Mood:
        with self._lock:
            mood = self._mood
            if self._times is not None:
                self._times -= 1
                if self._times <= 0:
                    self._mood, self._times = "well", None
            return mood

    def count(self, change: int) -> None:
        with self._lock:
            self.seen.writing += change

    def connection(self, one: socket.socket, is_open: bool) -> None:
        with self._lock:
            (self._connections.add if is_open else self._connections.discard)(one)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:  # broken connections are what the tests are about
        pass


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, owner: CompletionsServer, *rest: Any) -> None:
        self.owner = owner
        super().__init__(*rest)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        self.owner.connection(self.connection, True)
        try:
            super().handle()
        finally:
            self.owner.connection(self.connection, False)

    def do_GET(self) -> None:
        if self._locked_out():
            return
        if self.path == "/v1/models":
            self._json(200, {"object": "list", "data": self._models()})
        else:
            self._error(404, "Not Found")

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length))
        if self._locked_out():
            return
        routes = {"/v1/completions": self._complete}
        if self.owner.kind.vllm:
            routes |= {"/tokenize": self._tokenize}
        if self.owner.kind.adapters:
            routes |= {"/v1/load_lora_adapter": self._load, "/v1/unload_lora_adapter": self._unload}
        if self.path in routes:
            routes[self.path](body)
        else:
            self._error(404, "Not Found")

    def _locked_out(self) -> bool:
        key = self.owner.kind.key
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            self._error(401, "Unauthorized")
            return True
        return False

    def _models(self) -> list[dict[str, Any]]:
        owner = self.owner
        who = "vllm" if owner.kind.vllm else "tests"
        base = {"id": owner.name, "object": "model", "owned_by": who, "root": str(owner.model.base.folder)}
        if owner.kind.vllm:
            base["max_model_len"] = owner.kind.window
        return [base] + [{"id": name, "owned_by": who, "parent": owner.name} for name in owner.adapters]

    def _tokenize(self, body: dict[str, Any]) -> None:
        self._json(200, {"tokens": self.owner.model.words.ids(body["prompt"])})

    def _load(self, body: dict[str, Any]) -> None:
        name = body.get("lora_name")
        if not name:
            self._error(400, "Both 'lora_name' and 'lora_path' must be provided.")
        elif name in self.owner.adapters:
            self._error(400, f"The lora adapter '{name}' has already been loaded.")
        else:
            try:
                version = self.owner.model.version(name, Path(body["lora_path"]))
                self.owner.model.served.load(version)
            except (OSError, ValueError, KeyError) as error:
                self._error(404, f"No adapter found: {error}")
                return
            self.owner.adapters[name] = version
            self.owner.seen.loaded.append(name)
            self._text(200, f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, body: dict[str, Any]) -> None:
        if self.owner.adapters.pop(body["lora_name"], None) is None:
            self._error(404, "The lora adapter cannot be found.")
            return
        self.owner.seen.unloaded.append(body["lora_name"])
        self._text(200, "Success")

    def _complete(self, body: dict[str, Any]) -> None:
        owner = self.owner
        owner.seen.bodies.append(body)
        known = {owner.name: owner.model.plain} | owner.adapters
        if body["model"] not in known:
            self._error(404, f"The model `{body['model']}` does not exist.")
            return
        ids = self._read(body["prompt"])
        if ids is None:
            self._error(400, "prompt must be a string.")
        elif len(ids) + 1 > owner.kind.window:
            self._error(400, "The prompt is longer than the window.")
        elif not body.get("stream"):
            self._whole(known[body["model"]], ids, body)
        else:
            self._stream(known[body["model"]], ids, body)

    def _read(self, prompt: str | list[int]) -> list[int] | None:
        kind, words = self.owner.kind, self.owner.model.words
        if isinstance(prompt, list):
            return prompt if kind.vllm else None
        if kind.own_template:
            prompt = f"<|start|>user\n{prompt}<|end|>\n<|start|>assistant\n"
        return [*([words.ids("<|start|>")[0]] if kind.adds_bos else []), *words.ids(prompt)]

    def _whole(self, version: ModelVersion, ids: list[int], body: dict[str, Any]) -> None:
        events = list(self._events(version, ids, body))
        choice = {"text": "".join(one["choices"][0]["text"] for one in events), "finish_reason": "length"}
        if "logprobs" in body and self.owner.kind.vllm:
            choice["logprobs"] = events[0]["choices"][0]["logprobs"]
        self._json(200, {"choices": [choice], "usage": {"prompt_tokens": len(ids)}})

    def _stream(self, version: ModelVersion, ids: list[int], body: dict[str, Any]) -> None:
        mood = self.owner.next_mood()
        if self._refused(mood):
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        self.owner.count(1)
        try:
            number = 0
            for number, event in enumerate(self._events(version, ids, body)):
                if self._breaks_off(mood, number):
                    return
                if mood == "shows_control_tokens":
                    event["choices"][0]["text"] += "<|sta" if number % 2 else "rt|>"
                elif mood == "odd_separators":
                    event["choices"][0]["text"] += "\u2028\x85\x0c"
                self._say(event)
                self.owner.seen.written += 1
                if mood == "slow":
                    time.sleep(SLOW_S)
            if mood == "holds_on":
                self.owner.hung.wait()
                return
            usage = {"prompt_tokens": len(ids), "completion_tokens": number + 1}
            self._say({"choices": [], "usage": usage | {"prompt_tokens_details": {"cached_tokens": 3}}})
            self.wfile.write(b": a comment\n\ndata: [DONE]\n\n")
        except OSError:  # nobody reads any more: the model stops
            pass
        finally:
            self.owner.count(-1)

    def _events(
        self, version: ModelVersion, ids: list[int], body: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        model, vllm = self.owner.model, self.owner.kind.vllm
        written: list[int] = []
        said = 0
        for token, nats in model.write(version, ids, body):
            ended = token in model.words.end_ids
            written += [] if ended else [token]
            shown = [one for one in written if one not in model.words.control_ids]
            text = model.words.text(shown)
            whole = text if not text.endswith("\ufffd") or ended else text[:said]
            last = ended or len(written) == body["max_tokens"]
            choice: dict[str, Any] = {"index": 0, "text": whole[said:], "finish_reason": None}
            said = len(whole)
            if last:
                choice["finish_reason"] = "stop" if ended else "length"
            if vllm:
                choice["token_ids"] = [token]
            if vllm and "logprobs" in body:
                choice["logprobs"] = _logprobs(token, nats, body["logprobs"])
            yield {"choices": [choice]}

    def _refused(self, mood: Mood) -> bool:
        """Whether the mood ends the request before its first event."""
        if mood == "500":
            self._error(500, "out of memory")
        elif mood in ("429", "429_date"):
            when = self.date_time_string(int(time.time()) + 1) if mood == "429_date" else "0.4"
            self._error(429, "too many requests", {"Retry-After": when})
        elif mood == "401":
            self._error(401, "Unauthorized")
        elif mood == "garbage":
            self._text(200, "data: <html>hello</html>\n\n")
        elif mood == "close":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif mood == "hang":
            self.owner.hung.wait(30)
        elif mood == "error_event":
            self._text(200, 'data: {"error": {"message": "the engine is dead", "code": 500}}\n\n')
        else:
            return False
        return True

    def _breaks_off(self, mood: Mood, number: int) -> bool:
        """Whether the mood ends the stream before this event."""
        last_words: dict[str, bytes] = {
            "drop": b"",
            "drop_in_word": b'data: {"choices": [{"te',
            "garbage_midway": b"data: {not json\n\n",
            "error_event_midway": b'data: {"error": {"message": "the engine is dead", "code": 500}}\n\n',
            "given_up": b'data: {"choices": [{"text": "", "finish_reason": "abort"}]}\n\n',
        }
        if number < 3 or mood not in last_words:
            return False
        self.wfile.write(last_words[mood])
        return True

    def _say(self, event: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n")

    def _json(self, status: int, body: object) -> None:
        self._send(status, json.dumps(body), "application/json", {})

    def _text(self, status: int, text: str) -> None:
        self._send(status, text, "text/plain", {})

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": {"message": message, "code": status}})
        self._send(status, body, "application/json", headers or {})

    def _send(self, status: int, text: str, content_type: str, headers: dict[str, str]) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(data)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)


def _logprobs(token: int, nats: Any, count: int) -> dict[str, Any]:
    best = np.argsort(-nats, kind="stable")[:count]
    top = {f"token_id:{one}": float(nats[one]) for one in best}
    top.setdefault(f"token_id:{token}", float(nats[token]))
    name = f"token_id:{token}"
    return {"tokens": [name], "token_logprobs": [float(nats[token])], "top_logprobs": [top]}
