"""Model versions: which exist, which one answers, and how that changed. Knows no torch and no engine.

Owns the tables `model_versions`, `pointers` and `promotions`; the folders under `home.models` are written by
`version_files`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from assistant import base as bases
from assistant import version_files
from assistant.base import Base
from feedback import audit
from feedback.errors import ConflictError, HoneError, NotFoundError
from feedback.home import Home
from feedback.ids import SYSTEM_USER, GateReportId, ModelVersionId, RunId, UserId, new_id
from feedback.store import Store, now
from prompts.chat import ChatTemplate

PromotionKind = Literal["first", "promote", "rollback"]

CHAMPION = "champion"


@dataclass(frozen=True)
class ModelVersion:
    """Base and adapter, immutable. `adapter_dir` is relative to the home folder; None is the base itself."""

    id: ModelVersionId
    name: str
    base_id: str
    adapter_dir: str | None
    adapter_sha256: str | None
    run_id: RunId | None
    chat_template_sha256: str
    created_at: str


@dataclass(frozen=True)
class Promotion:
    """One move of the champion pointer. The first has no `from_version_id`."""

    id: str
    from_version_id: ModelVersionId | None
    to_version_id: ModelVersionId
    kind: PromotionKind
    gate_report_id: GateReportId | None
    override_reason: str | None
    user_id: UserId
    created_at: str


def ensure_base(store: Store, base: Base, template: ChatTemplate) -> ModelVersion:
    """The base itself as a model version; it becomes the champion where there is none yet.

    Raises ConflictError when the champion belongs to another base: silently answering with another model than
    the one promoted would be worse than not starting.
    """
    with store.transaction():
        version = base_version(store, base, template)
        pointer = store.row("SELECT 1 FROM pointers WHERE name = ?", CHAMPION)
        if pointer is None:
            _point(store, SYSTEM_USER, version, kind="first")
        else:
            check_base(champion(store), base.id, template.sha256)
    return version


def base_version(store: Store, base: Base, template: ChatTemplate) -> ModelVersion:
    """The base itself as a model version, whoever answers: what does not answer may start from any base."""
    with store.transaction():
        row = store.row(
            "SELECT * FROM model_versions"
            " WHERE base_id = ? AND chat_template_sha256 = ? AND adapter_dir IS NULL",
            base.id,
            template.sha256,
        )
        return _version(row) if row else _insert(store, _as_version(store, base, template))


def add(
    store: Store, home: Home, base: Base, adapter_folder: Path, run_id: RunId | None, name: str
) -> ModelVersion:
    """Keep a trained adapter as a new version, called `name-1`, `name-2`, ...; copies its files.

    Files first, manifest last, then the folder's final name, then the row: killed anywhere, either the
    version is whole or there is none. Raises HoneError when the folder holds no adapter.
    """
    template_sha256 = bases.chat_template(base).sha256
    version_id = ModelVersionId(new_id("mv"))
    about = {
        "version_id": version_id,
        "base_id": base.id,
        "chat_template_sha256": template_sha256,
        "run_id": run_id,
    }
    adapter_sha256 = version_files.keep(adapter_folder, home.models / version_id, about)
    with store.transaction():
        return _insert(
            store,
            ModelVersion(
                id=version_id,
                name=_next_name(store, name),
                base_id=base.id,
                adapter_dir=f"{home.models.name}/{version_id}",
                adapter_sha256=adapter_sha256,
                run_id=run_id,
                chat_template_sha256=template_sha256,
                created_at=now(),
            ),
        )


def get(store: Store, id_or_name: str) -> ModelVersion:
    """A version by its id or its name. Raises NotFoundError."""
    row = store.row("SELECT * FROM model_versions WHERE id = ?", id_or_name)
    row = row or store.row("SELECT * FROM model_versions WHERE name = ?", id_or_name)
    if row is None:
        raise NotFoundError(f"There is no model version {id_or_name}.", todo="`hone models list` shows them.")
    return _version(row)


def listing(store: Store) -> list[ModelVersion]:
    """Every version, the oldest first."""
    return [_version(row) for row in store.rows("SELECT * FROM model_versions ORDER BY created_at, rowid")]


def of_run(store: Store, run_id: RunId) -> ModelVersion | None:
    """What came out of a run, if anything did."""
    row = store.row("SELECT * FROM model_versions WHERE run_id = ? ORDER BY created_at DESC", run_id)
    return _version(row) if row else None


def champion(store: Store) -> ModelVersion:
    """The version that answers. Raises NotFoundError before `ensure_base`."""
    row = store.row(
        "SELECT v.* FROM model_versions v JOIN pointers p ON p.model_version_id = v.id WHERE p.name = ?",
        CHAMPION,
    )
    if row is None:
        raise NotFoundError(
            "No model answers yet.", todo="Ask something first: `hone chat`, or `hone serve`."
        )
    return _version(row)


def move_champion(  # noqa: PLR0913 - who, what, why: each is a column of the promotion
    store: Store,
    home: Home,
    user_id: UserId,
    version_id: ModelVersionId,
    kind: PromotionKind,
    *,
    gate_report_id: GateReportId | None = None,
    override_reason: str | None = None,
) -> Promotion:
    """Let another version answer, from the next reply on. Pointer, promotion and audit entry are one
    transaction.

    Raises HoneError when the version's files are damaged or it belongs to another base or chat template, and
    ConflictError when it answers already. Whether it deserves to answer is the gate's question, not asked
    here.
    """
    version = get(store, version_id)
    check_files(home, version)
    with store.transaction():
        current = champion(store)
        check_base(version, current.base_id, current.chat_template_sha256)
        if current.id == version.id:
            raise ConflictError(f"{version.name} is the champion already.")
        return _point(store, user_id, version, kind, gate_report_id, override_reason)


def history(store: Store) -> list[Promotion]:
    """Every move of the champion pointer, the latest first."""
    return [_promotion(row) for row in store.rows("SELECT * FROM promotions ORDER BY rowid DESC")]


def folder(home: Home, version: ModelVersion) -> Path | None:
    """Where the files of what it changes lie; None for the base itself."""
    return None if version.adapter_dir is None else home.path / version.adapter_dir


def champion_folder(home: Home, store: Store) -> Path | None:
    """`folder` of the version that answers: which engine can depends on it. None before the first, too."""
    try:
        return folder(home, champion(store))
    except NotFoundError:
        return None


def check_files(home: Home, version: ModelVersion) -> None:
    """Compare a version's files with its manifest, and the manifest with its row. Raises HoneError."""
    if version.adapter_dir is None:
        return
    folder = home.path / version.adapter_dir
    why = version_files.damage(folder, version.base_id, version.adapter_sha256)
    if why is not None:
        raise HoneError(
            f"The model version {version.name} is damaged.",
            why,
            f"Restore {folder} from a backup, or choose another version.",
        )


def check_base(version: ModelVersion, base_id: str, chat_template_sha256: str) -> None:
    """ConflictError when `version` belongs to another base, or was trained with another chat template."""
    if version.base_id != base_id:
        raise ConflictError(
            f"{version.name} cannot answer on the base {base_id}.",
            f"It belongs to {version.base_id}.",
            "Choose that base with --model and --quantize, or another home with --home.",
        )
    if version.chat_template_sha256 != chat_template_sha256:
        raise ConflictError(
            f"{version.name} cannot answer with this chat template.",
            "It was trained on prompts rendered by another one.",
            "Train it again, or choose another home with --home.",
        )


def _as_version(store: Store, base: Base, template: ChatTemplate) -> ModelVersion:
    taken = store.row("SELECT 1 FROM model_versions WHERE name = ?", base.id)
    return ModelVersion(
        id=ModelVersionId(new_id("mv")),
        name=_next_name(store, base.id) if taken else base.id,
        base_id=base.id,
        adapter_dir=None,
        adapter_sha256=None,
        run_id=None,
        chat_template_sha256=template.sha256,
        created_at=now(),
    )


def _insert(store: Store, version: ModelVersion) -> ModelVersion:
    store.execute(
        "INSERT INTO model_versions"
        " (id, name, base_id, adapter_dir, adapter_sha256, run_id, chat_template_sha256, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *asdict(version).values(),
    )
    return version


def _point(
    store: Store,
    user_id: UserId,
    version: ModelVersion,
    kind: PromotionKind,
    gate_report_id: GateReportId | None = None,
    override_reason: str | None = None,
) -> Promotion:
    before = store.row("SELECT model_version_id FROM pointers WHERE name = ?", CHAMPION)
    promotion = Promotion(
        id=new_id("pm"),
        from_version_id=before["model_version_id"] if before else None,
        to_version_id=version.id,
        kind=kind,
        gate_report_id=gate_report_id,
        override_reason=override_reason,
        user_id=user_id,
        created_at=now(),
    )
    store.execute(
        "INSERT INTO promotions"
        " (id, from_version_id, to_version_id, kind, gate_report_id, override_reason, user_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *asdict(promotion).values(),
    )
    store.execute(
        "INSERT INTO pointers (name, model_version_id, moved_at) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET model_version_id = excluded.model_version_id,"
        " moved_at = excluded.moved_at",
        CHAMPION,
        version.id,
        promotion.created_at,
    )
    audit.record(
        store, user_id, f"champion.{kind}", version.id,
        previous=promotion.from_version_id, gate_report=gate_report_id, override_reason=override_reason,
    )  # fmt: skip
    return promotion


def _next_name(store: Store, stem: str) -> str:
    taken = {row["name"] for row in store.rows("SELECT name FROM model_versions")}
    return next(name for number in range(1, len(taken) + 2) if (name := f"{stem}-{number}") not in taken)


def _version(row: Any) -> ModelVersion:
    return ModelVersion(**dict(row))


def _promotion(row: Any) -> Promotion:
    return Promotion(**dict(row))
