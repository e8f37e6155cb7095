"""The one error family of Hone: raised where the reason is known, made into text or a status at the edges."""


class HoneError(Exception):
    """A mistake a person can mend: what happened, why, and what to do, in one sentence each.

    `status` is the HTTP status a web edge answers; command lines always leave with exit code 2.
    """

    status = 400

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        self.what, self.why, self.todo = what, why, todo
        super().__init__(" ".join(part for part in (what, why, todo) if part))


class NotFoundError(HoneError):
    """The thing named does not exist, or this person may not know that it does."""

    status = 404


class ForbiddenError(HoneError):
    """The person is known, and their role does not allow this."""

    status = 403


class ConflictError(HoneError):
    """The thing is in a state that does not allow this now (for example a reply is being written)."""

    status = 409


class BusyError(HoneError):
    """More is asked for than can wait here; nothing was begun. Ask again after `retry_after_s` seconds."""

    status = 503

    def __init__(self, what: str, why: str = "", todo: str = "", *, retry_after_s: int) -> None:
        super().__init__(what, why, todo)
        self.retry_after_s = retry_after_s


class FullDiscError(HoneError):
    """There was no room on the disc for what had to be written; nothing of it was."""

    status = 507

    def __init__(self) -> None:
        super().__init__("The disc is full.", "Nothing could be written.", "Free some space, then try again.")
