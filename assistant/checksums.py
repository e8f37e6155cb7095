"""SHA-256 of files, remembered by size and time of change so that a second start need not read the weights
again.

Knows nothing of models.
"""

import hashlib
import json
from pathlib import Path

from feedback.home import Home
from feedback.whole_files import write_aside


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(home: Home, path: Path) -> str:
    """As `sha256_of`, read again only if the file's size, inode or time of change differ from the last
    reading.
    """
    facts = path.stat()
    fingerprint = [facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns]
    notes_file = home.bases / "checksums.json"
    try:
        notes = json.loads(notes_file.read_text("utf-8"))
    except (OSError, ValueError):
        notes = {}  # nothing remembered: every file is read again, which is slow and right
    note = notes.get(str(path))
    if note and note["file"] == fingerprint:
        return str(note["sha256"])
    notes[str(path)] = {"file": fingerprint, "sha256": sha256_of(path)}
    write_aside(notes_file, json.dumps(notes, indent=1))
    return str(notes[str(path)]["sha256"])
