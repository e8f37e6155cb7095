"""Model versions: which exist, which one answers, and how that changed. Knows no torch and no engine.

Owns the tables `model_versions`, `pointers` and `promotions`, and the folders under `home.models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from feedback.ids import GateReportId, ModelVersionId, RunId, UserId

PromotionKind = Literal["first", "promote", "rollback"]


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
