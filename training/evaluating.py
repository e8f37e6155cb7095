"""Evaluating inside the server: a job that measures a candidate on the engine that serves. Knows no page."""

import threading

from assistant import registry
from assistant.engines.interface import Engine
from feedback.errors import ConflictError
from feedback.store import Store
from training import gate, promotion
from training.jobs import Jobs, Report


def start(store: Store, engine: Engine, jobs: Jobs, candidate: str) -> None:
    """Measure a candidate (id or name) against the present champion, in the background.

    ConflictError while another job runs, NotFoundError for no such version.
    """
    version = registry.get(store, candidate)

    def work(report: Report, stop: threading.Event) -> str:
        def tell(what: str, done: int, total: int) -> None:
            if stop.is_set():
                raise ConflictError(f"The evaluation of {version.name} was stopped.", "Nothing was stored.")
            report(what, done, total)

        found = gate.evaluate(store, engine, version.id, progress=tell)
        return f"{version.name} against the champion: {promotion.WORDS[found.verdict]}."

    jobs.start(f"Evaluating {version.name}", work)
