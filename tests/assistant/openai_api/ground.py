"""What tests of OpenAI's API share: a question, and how answers and refusals are read."""

from typing import Any

import httpx

CHAT = "/v1/chat/completions"
ASKED = {"model": "hone", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int = 400) -> Any:
    error = said(answer, status)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def talk(*texts: str, system: str = "") -> list[dict[str, str]]:
    """Messages that alternate, the user's first."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *turns] if system else turns
