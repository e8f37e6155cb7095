"""The operator page: `build`. Five tabs, each a module of this package; every state is read from the store.

The page may be closed and opened at any moment: runs are processes of their own, and only the progress of
work that this server does (drawing label tasks, evaluating) is kept in memory.
"""

from training.page.layout import build

__all__ = ["build"]
