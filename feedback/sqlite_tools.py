"""sqlite-utils, and no more than that: it would load pandas too, wherever that is installed, for the sake of
values that Hone never stores. Every command would start half a second later and hold twice the memory.
"""

import sys

_ABSENT = "pandas" not in sys.modules
if _ABSENT:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # an import of it fails, as where it is missing
try:
    from sqlite_utils import Database, Migrations
finally:
    if _ABSENT:
        del sys.modules["pandas"]

__all__ = ["Database", "Migrations"]
