"""Typed ids. An id is its kind's prefix and 12 random hex digits: short enough to type, and never reused."""

import secrets
from typing import NewType

UserId = NewType("UserId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
VoteId = NewType("VoteId", str)
RatingId = NewType("RatingId", str)
DemonstrationId = NewType("DemonstrationId", str)
ProjectId = NewType("ProjectId", str)
TaskId = NewType("TaskId", str)
SnapshotId = NewType("SnapshotId", str)
RunId = NewType("RunId", str)
ModelVersionId = NewType("ModelVersionId", str)
PromptVersionId = NewType("PromptVersionId", str)
TrialId = NewType("TrialId", str)
GateReportId = NewType("GateReportId", str)

LOCAL_USER = UserId("u_local")
"""The one person on a loopback server without accounts. Holds every role, until accounts exist."""

SYSTEM_USER = UserId("u_hone")
"""Hone itself: owns conversations drawn for the label queue; never votes."""

DEFAULT_PROJECT = ProjectId("p_default")


def new_id(prefix: str) -> str:
    """A fresh id such as `m_9f1c22ab0d34`."""
    return f"{prefix}_{secrets.token_hex(6)}"
