"""Which model versions an engine's servers must have loaded, and which they may unload.

Pure bookkeeping: knows no server and no request. Whoever shares it holds a lock around it.
"""

import time
from collections.abc import Collection

from assistant.registry import ModelVersion
from feedback.ids import ModelVersionId


class VersionsInUse:
    """One version is kept: the champion. The others go when nobody has asked for them for `linger_s`."""

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self._kept: ModelVersion | None = None
        self._users: dict[ModelVersionId, int] = {}
        self._known: dict[ModelVersionId, ModelVersion] = {}
        self._left_at: dict[ModelVersionId, float] = {}
        self._replaced: set[ModelVersionId] = set()  # by a promotion: they go with their last reply

    def knows(self, version: ModelVersion) -> bool:
        """Whether it was ever used here."""
        return version.id in self._known

    def keep(self, version: ModelVersion) -> None:
        """Keep it, in place of the one that was kept."""
        self._kept, before = version, self._kept
        if before is not None and before.id != version.id:
            self._replaced.add(before.id)

    def begin(self, version: ModelVersion) -> None:
        """One more request uses it."""
        self._known[version.id] = version
        self._replaced.discard(version.id)  # somebody asks for it again: for a comparison, by the gate
        self._users[version.id] = self._users.get(version.id, 0) + 1

    def end(self, version: ModelVersion) -> None:
        """One request fewer uses it."""
        self._users[version.id] -= 1
        self._left_at[version.id] = time.monotonic()

    def among(self, names: Collection[str]) -> frozenset[ModelVersionId]:
        """The ids of the versions known here that are in `names`; the base is never among them."""
        return frozenset(one for one in self._known if one in names)

    def needed(self) -> list[ModelVersion]:
        """What every server must have."""
        return [version for version in self._known.values() if self._needs(version)]

    def idle(self, loaded: Collection[ModelVersionId]) -> list[ModelVersion]:
        """What of `loaded` may be unloaded: what a promotion replaced, and what nobody asked for in long."""
        long_ago = time.monotonic() - self._linger_s
        return [
            version
            for version in (self._known[one] for one in loaded)
            if not self._needs(version)
            and (version.id in self._replaced or self._left_at.get(version.id, 0.0) <= long_ago)
        ]

    def _needs(self, version: ModelVersion) -> bool:
        is_kept = self._kept is not None and self._kept.id == version.id
        return is_kept or self._users.get(version.id, 0) > 0
