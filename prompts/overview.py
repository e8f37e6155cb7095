"""Every strategy at a glance, for lists: its title, what is in production, its draft. Knows no model."""

from dataclasses import dataclass

from feedback.errors import HoneError
from feedback.ids import PromptVersionId
from feedback.store import Store
from prompts import library


@dataclass(frozen=True)
class Overview:
    """One strategy. `title`: what the picker shows; "" where that cannot be told. `count`: its versions."""

    name: str
    title: str
    production: PromptVersionId | None
    draft: PromptVersionId | None
    count: int


SQL = """
SELECT v.name, p.prompt_version_id AS production, d.prompt_version_id AS draft, count(*) AS count
FROM prompt_versions v
LEFT JOIN prompt_labels p ON p.name = v.name AND p.label = 'production'
LEFT JOIN prompt_labels d ON d.name = v.name AND d.label = 'draft'
WHERE ?1 IS NULL OR v.name = ?1 GROUP BY v.name
"""


def read(store: Store) -> list[Overview]:
    """Every strategy that has any version, in the order of lists."""
    found = {row["name"]: row for row in store.rows(SQL, None)}
    return [_overview(store, **dict(found[name])) for name in library.ordered(found)]


def of(store: Store, name: str) -> Overview:
    """One strategy. Raises NotFoundError."""
    library.check_known(store, name)
    return _overview(store, **dict(store.rows(SQL, name)[0]))


def _overview(
    store: Store,
    name: str,
    production: PromptVersionId | None,
    draft: PromptVersionId | None,
    count: int,
) -> Overview:
    return Overview(name, _title(store, production or draft), production, draft, count)


def _title(store: Store, version_id: PromptVersionId | None) -> str:
    """Also "" for a version that only an older Hone could read: a list must not fail for it."""
    if version_id is None:
        return ""
    try:
        return library.get(store, version_id).strategy.title
    except HoneError:
        return ""
