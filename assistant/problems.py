"""Errors as a program is told them: Hone's shape under /api, OpenAI's under /v1. Knows HTTP, no route."""

from fastapi.responses import JSONResponse

from feedback.errors import BusyError, ForbiddenError, HoneError, NotFoundError
from prompts.window import TooLongError

OPENAI = "/v1"
UNAUTHENTICATED = 401
KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ParameterError(HoneError):
    """A parameter of a request that cannot be met; `param` is its name, such as `tools` or `messages.0.role`.

    `code` is OpenAI's word for what is wrong, "" where it has none.
    """

    def __init__(self, param: str, what: str, why: str = "", todo: str = "", code: str = "") -> None:
        super().__init__(what, why, todo)
        self.param, self.code = param, code


class UnknownModelError(NotFoundError):
    """No model answers to the name that a request gave."""


def is_openai(path: str) -> bool:
    return path == OPENAI or path.startswith(f"{OPENAI}/")


def error_json(error: HoneError, path: str = "/api/") -> JSONResponse:
    """The answer to a request to `path`, with its status; a busy server says when to come again."""
    told = openai_error(error) if is_openai(path) else hone_error(error)
    wait = {"Retry-After": str(error.retry_after_s)} if isinstance(error, BusyError) else None
    return JSONResponse(told, status_code=error.status, headers=wait)


def hone_error(error: HoneError) -> dict[str, object]:
    """Hone's own shape: the whole, and its parts."""
    return {
        "error": {"message": str(error), "what": error.what, "why": error.why, "todo": error.todo},
    }


def openai_error(error: HoneError) -> dict[str, object]:
    """OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""
    kind = KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    param = error.param if isinstance(error, ParameterError) else None
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
    return {404: "not_found", 409: "conflict", 429: "rate_limit_exceeded", 503: "overloaded"}.get(
        error.status
    )
