"""The memory: one SQLite file of conversations, judgements, pairs and snapshots. Knows no model."""
