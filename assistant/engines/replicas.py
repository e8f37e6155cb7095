"""The servers that one engine stands on: which are well, what each has loaded, and which is asked next. Knows
no prompt and no reply.

Each server has a thread that tends it: looks at it now and then, brings it to the champion when it was away,
and unloads adapters that nobody uses.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from assistant import registry
from assistant.engines import remote_adapters, remote_probe
from assistant.engines.remote_errors import BusyError, RefusedError, ServerError
from assistant.engines.remote_http import Line, Patience, Watch
from assistant.engines.remote_probe import Local, Served
from assistant.engines.versions_in_use import VersionsInUse
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import ModelVersionId

log = logging.getLogger(__name__)

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 15.0
LONGEST_BUSY_S = 60.0
LONGEST_PAUSE_S = 2.0
WAIT_S = 0.05


@dataclass
class Replica:
    """One server, as it was last seen. Fields change under the pool's lock only."""

    line: Line
    served: Served | None = None  # None: it is away
    last: Served | None = None  # what it was when it was last there
    loaded: frozenset[ModelVersionId] = frozenset()
    outstanding: int = 0
    busy_until: float = 0.0
    trouble: HoneError | None = None

    def has_room(self) -> bool:
        if self.served is None or time.monotonic() < self.busy_until:
            return False
        return not (self.served.dialect.one_at_a_time and self.outstanding)


@dataclass(frozen=True)
class Lease:
    """A place at a server for one request."""

    replica: Replica
    served: Served
    model: str


class Replicas:
    """All the servers of an engine. Safe to call from many threads."""

    def __init__(self, urls: Sequence[str], local: Local, home: Home, patience: Patience) -> None:
        self._local, self._home, self._patience = local, home, patience
        self._watch = Watch()
        self._lock = threading.Condition()
        self._versions = VersionsInUse(patience.linger_s)
        self.closed = False
        self._all = [Replica(Line(url, patience, self._watch)) for url in dict.fromkeys(urls)]
        self._loading = {replica.line.url: threading.Lock() for replica in self._all}
        try:
            self._meet()
        except HoneError:
            self.close()
            raise
        for replica in self._all:
            threading.Thread(target=self._tend, args=[replica], name="hone-replica", daemon=True).start()

    def seen(self) -> list[Served]:
        """What each server is, or was when it was last there."""
        with self._lock:
            return [replica.last for replica in self._all if replica.last is not None]

    def load(self, version: ModelVersion) -> None:
        """Load `version` on every server that is there, and keep it from now on; those away get it when they
        return. HoneError when one of them cannot: the version it kept before is then kept still.
        """
        self._check(version)
        with self._using(version):
            ready = 0
            for replica in [one for one in self._all if one.served is not None]:
                try:
                    self._bring(replica, version)
                    ready += 1
                except ServerError as error:
                    self.fell(replica, error)
            if not ready:
                raise self._nobody()
            with self._lock:
                self._versions.keep(version)
                self._lock.notify_all()

    @contextmanager
    def lease(
        self, version: ModelVersion, tried: set[str], gone: Callable[[], bool]
    ) -> Iterator[Lease | None]:
        """A place at the server with the fewest requests under way, `version` loaded there. None when no
        server can take it now, or when `gone` became true while waiting for one that takes one at a time.
        """
        replica = self._choose(tried, gone)
        if replica is None:
            yield None
            return
        try:
            with self._using(version):
                self._bring(replica, version)
                served = replica.served
                if served is None:
                    raise ServerError(f"The server {replica.line.url} went away.")
                yield Lease(replica, served, version.id if version.adapter_dir else served.model)
        except ServerError as error:
            tried.add(replica.line.url)
            self.fell(replica, error)
            raise
        except RefusedError as error:
            if error.code != 404:
                raise
            tried.add(replica.line.url)  # restarted, before we looked, without the adapter or the model
            again = ServerError(error.what, error.why)
            with self._lock:
                replica.loaded = frozenset()
            if version.adapter_dir is None:
                self.fell(replica, again)
            raise again from error
        finally:
            with self._lock:
                replica.outstanding -= 1
                self._lock.notify_all()

    def fell(self, replica: Replica, error: ServerError) -> None:
        """A request to it failed: leave it alone while it is busy, else look at it before it serves again."""
        with self._lock:
            if isinstance(error, BusyError):
                replica.busy_until = time.monotonic() + min(error.retry_after_s, LONGEST_BUSY_S)
            else:
                replica.served, replica.trouble = None, error
            self._lock.notify_all()

    def pause(self, seconds: float, gone: Callable[[], bool]) -> None:
        """Wait `seconds`, and then for a server with room: for `LONGEST_PAUSE_S` at most, or until `gone`."""
        begun = time.monotonic()
        while not gone() and (waited := time.monotonic() - begun) < LONGEST_PAUSE_S:
            with self._lock:
                if waited >= seconds and any(one.has_room() for one in self._all):
                    return
                self._lock.wait(WAIT_S)

    def nobody(self) -> HoneError:
        """Why no server can be asked, for people."""
        with self._lock:
            return self._nobody()

    def close(self) -> None:
        with self._lock:
            self.closed = True
            self._lock.notify_all()
        self._watch.close()

    def _nobody(self) -> HoneError:
        busy = [one for one in self._all if one.served is not None]
        if busy:
            return HoneError(
                "Every server is busy.", "None took the request in time.", "Try again in a moment."
            )
        why = " ".join(str(one.trouble) for one in self._all if one.trouble)
        return ServerError("No server of the model answers.", why, "Start one, or check --remote.")

    def _meet(self) -> None:
        """First look at each. One that is away may come later; one that serves another model may not."""
        for replica in self._all:
            try:
                replica.served = replica.last = remote_probe.probe(replica.line, self._local)
            except ServerError as error:
                replica.trouble = error
        if not self.seen():
            raise self._nobody()
        for replica in self._all:
            if replica.trouble is not None:
                log.warning("%s", replica.trouble)

    def _check(self, version: ModelVersion) -> None:
        base_id = self._local.base.id
        if version.base_id != base_id:
            raise HoneError(
                f"The model version {version.name} cannot answer here.",
                f"It belongs to the base {version.base_id}, and {base_id} is served.",
                "Start Hone with that base.",
            )
        if not self._versions.knows(version):
            registry.check_files(self._home, version)

    @contextmanager
    def _using(self, version: ModelVersion) -> Iterator[None]:
        """Count a user of `version` meanwhile, so that it is not unloaded."""
        self._check(version)
        with self._lock:
            self._versions.begin(version)
        try:
            yield
        finally:
            with self._lock:
                self._versions.end(version)
                self._lock.notify_all()

    def _choose(self, tried: set[str], gone: Callable[[], bool]) -> Replica | None:
        with self._lock:
            while not self.closed and not gone():
                fresh = [one for one in self._all if one.line.url not in tried]
                free = [one for one in fresh if one.has_room()]
                if free:
                    chosen = min(free, key=lambda one: one.outstanding)
                    chosen.outstanding += 1
                    return chosen
                if not any(one.served is not None and time.monotonic() >= one.busy_until for one in fresh):
                    return None
                self._lock.wait(WAIT_S)  # one at a time, and somebody is there
        return None

    def _bring(self, replica: Replica, version: ModelVersion) -> None:
        """Have `version` loaded on `replica`."""
        if version.adapter_dir is None or version.id in replica.loaded:
            return
        if replica.served is not None and not replica.served.loads_adapters:
            raise HoneError(
                f"The model version {version.name} cannot answer here.",
                f"The server {replica.line.url} loads no adapters while it runs.",
                "Use vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, or another --engine.",
            )
        with self._loading[replica.line.url]:
            if version.id not in replica.loaded:
                remote_adapters.load(replica.line, self._home, version)
                with self._lock:
                    replica.loaded |= {version.id}

    def _tend(self, replica: Replica) -> None:
        """The life of one server, until the engine is closed."""
        backoff_s = FIRST_BACKOFF_S
        while not self.closed:
            was_away = replica.served is None
            try:
                self._look(replica)
                backoff_s = FIRST_BACKOFF_S
            except HoneError as error:
                self._is_away(replica, error)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
            if was_away and replica.served is not None:
                log.warning("the server %s is back", replica.line.url)
            self._rest(replica, backoff_s if replica.served is None else self._patience.probe_s)

    def _look(self, replica: Replica) -> None:
        """See that it is there and has what it must have; unload what nobody uses."""
        served, now = replica.served, remote_probe.listed(replica.line)
        if served is None or served.told != now.told or not replica.loaded <= now.names:
            served = remote_probe.probe(replica.line, self._local)  # it was away, or started anew unnoticed
        with self._lock:
            replica.loaded = self._versions.among(now.names)
            needed = self._versions.needed()
        if served.loads_adapters:
            for version in needed:
                self._bring(replica, version)
        with self._lock:
            replica.served, replica.last, replica.trouble = served, served, None
            self._lock.notify_all()
        self._unload_idle(replica)

    def _unload_idle(self, replica: Replica) -> None:
        with self._loading[replica.line.url]:
            with self._lock:
                idle = self._versions.idle(replica.loaded)
                replica.loaded -= {version.id for version in idle}
            for version in idle:
                remote_adapters.unload(replica.line, version)

    def _is_away(self, replica: Replica, error: HoneError) -> None:
        with self._lock:
            if self.closed:
                return
            if replica.trouble is None or str(replica.trouble) != str(error):
                log.warning("%s", error)
            replica.served, replica.trouble = None, error
            self._lock.notify_all()

    def _rest(self, replica: Replica, seconds: float) -> None:
        """Until the next look is due: sooner when it fell, or when an adapter may be unloaded."""
        until = time.monotonic() + seconds
        was_there = replica.served is not None
        with self._lock:
            while not self.closed and time.monotonic() < until:
                if was_there and (replica.served is None or self._versions.idle(replica.loaded)):
                    return
                self._lock.wait(min(0.5, max(0.0, until - time.monotonic())))
