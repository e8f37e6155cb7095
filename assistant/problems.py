"""Errors as a program is told them: Hone's shape under /api, OpenAI's under /v1. Knows HTTP, no route."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse

from feedback.errors import BusyError, ForbiddenError, HoneError, NotFoundError
from prompts.window import TooLongError

OPENAI = "/v1"
UNAUTHENTICATED = 401
CODES = {
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    429: "rate_limit_exceeded",
    503: "overloaded",
}
KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ParameterError(HoneError):
    """A parameter of a request that cannot be met; `param` is its name, such as `tools` or `messages.0.role`,
    and "" for the request as a whole.

    `code` is OpenAI's word for what is wrong, "" where it has none.
    """

    def __init__(self, param: str, what: str, why: str = "", todo: str = "", code: str = "") -> None:
        super().__init__(what, why, todo)
        self.param, self.code = param, code


class UnknownModelError(NotFoundError):
    """No model answers to the name that a request gave."""


class MethodError(HoneError):
    """A route that is there, but not for this method. `allowed`: the methods that it is for."""

    status = 405

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method} is not for {path}.", todo=f"Use {' or '.join(allowed)}.")
        self.allowed = tuple(allowed)


def invalid(errors: Sequence[Mapping[str, Any]], path: str) -> ParameterError:
    """What a request to `path` is told whose parts do not fit: the first of pydantic's `errors`."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    if first["type"] == "json_invalid":
        at = first["loc"][-1]
        told = ParameterError("", f"The request's body is no JSON: {first['ctx']['error']} (character {at}).")
    elif where:
        told = ParameterError(where, f"The request is not valid: {where}: {first['msg']}.")
    else:
        told = ParameterError(
            "",
            "The request's body is missing." if first["type"] == "missing" else "The body is no JSON object.",
            todo="Send {...} with the header Content-Type: application/json.",
        )
    told.status = 400 if is_openai(path) else 422
    return told


def is_openai(path: str) -> bool:
    return path == OPENAI or path.startswith(f"{OPENAI}/")


def error_json(error: HoneError, path: str = "/api/") -> JSONResponse:
    """The answer to a request to `path`, with its status; a busy server says when to come again."""
    told = openai_error(error) if is_openai(path) else hone_error(error)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, BusyError) else {}
    if isinstance(error, MethodError):
        headers["Allow"] = ", ".join(error.allowed)
    return JSONResponse(told, status_code=error.status, headers=headers)


def hone_error(error: HoneError) -> dict[str, object]:
    """Hone's own shape: the whole, and its parts."""
    return {
        "error": {"message": str(error), "what": error.what, "why": error.why, "todo": error.todo},
    }


def openai_error(error: HoneError) -> dict[str, object]:
    """OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""
    kind = KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    param = (error.param or None) if isinstance(error, ParameterError) else None
    param = "model" if isinstance(error, UnknownModelError) else param
    return {"error": {"message": str(error), "type": kind, "param": param, "code": _code(error)}}


def _code(error: HoneError) -> str | None:
    if isinstance(error, ParameterError):
        return error.code or None
    if isinstance(error, UnknownModelError):
        return "model_not_found"
    if isinstance(error, TooLongError):
        return "context_length_exceeded"
    if error.status == UNAUTHENTICATED:
        return "invalid_api_key"
    if isinstance(error, ForbiddenError):
        return "permission_denied"
    return CODES.get(error.status)
