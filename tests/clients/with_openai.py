"""The official Python client against the server at argv[1]; writes what it got as JSON."""

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import openai

address = sys.argv[1]
client = openai.OpenAI(base_url=f"{address}/v1", api_key="sk-none", max_retries=0)
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


def ask(**wishes: Any) -> Any:
    given = {"model": "hone", "messages": QUESTION, "max_tokens": 24, "temperature": 0.8} | wishes
    return client.chat.completions.create(**given)


def text(answer: Any) -> str:
    return str(answer.choices[0].message.content)


def refusal(act: Callable[[], Any]) -> dict[str, Any]:
    """The error that `act` meets, as the client tells it."""
    try:
        act()
    except openai.APIStatusError as error:
        return {
            "kind": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "param": error.param,
        }
    return {"kind": "none"}


plain = ask(seed=5)
reply_id = plain.model_extra["hone"]["reply_id"]
went_on = ask(messages=[*QUESTION, plain.choices[0].message, {"role": "user", "content": "And red?"}])
stream = ask(seed=5, stream=True, stream_options={"include_usage": True})
chunks = list(stream)
several = ask(n=3, seed=5)
logprobs = ask(logprobs=True, top_logprobs=3).choices[0].logprobs.content
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["blue", "red"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


def shaped(schema: dict[str, Any]) -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "sky", "strict": True, "schema": schema}}
    return ask(response_format=form)


raw = client.chat.completions.with_raw_response.create(model="hone", messages=QUESTION, max_tokens=4)
vote = httpx.put(f"{address}/api/replies/{reply_id}/rating", json={"value": 1, "reason": "clear"})
legacy = client.completions.create(model="hone", prompt="The sky is", max_tokens=8, seed=5)

got = {
    "plain": text(plain),
    "finish": plain.choices[0].finish_reason,
    "usage": plain.usage.model_dump(),
    "again": text(ask(seed=5)),
    "streamed": "".join(one.choices[0].delta.content or "" for one in chunks if one.choices),
    "stream_usage": chunks[-1].usage.model_dump(),
    "same_conversation": plain.model_extra["hone"]["conversation_id"]
    == went_on.model_extra["hone"]["conversation_id"],
    "stopped": text(ask(seed=5, stop=[text(plain)[3:8]])),
    "several": [one.message.content for one in several.choices],
    "several_ids": several.model_extra["hone"]["reply_ids"],
    "logprobs": [[one.logprob, len(one.top_logprobs)] for one in logprobs],
    "shaped": text(shaped(COLOUR)),
    "wrong_schema": refusal(partial(shaped, {"type": "nothing"})),
    "header": raw.headers["x-hone-reply-id"],
    "vote": vote.json(),
    "legacy": legacy.choices[0].text,
    "models": [one.id for one in client.models.list()],
    "model": client.models.retrieve("hone:cot").id,
    "unknown_model": refusal(partial(ask, model="gpt-4")),
    "tools": refusal(partial(ask, tools=[{"type": "function", "function": {"name": "f"}}])),
    "too_hot": refusal(partial(ask, temperature=3.0)),
    "embeddings": refusal(partial(client.embeddings.create, model="hone", input="a")),
    "wrong_key": refusal(client.with_options(api_key="hone-wrong").models.list),
}
sys.stdout.write(json.dumps(got))
