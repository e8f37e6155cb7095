-- feedback: datasets: files that runs train on beside votes, kept whole under their hash
CREATE TABLE datasets (
  id TEXT PRIMARY KEY,                    -- d_ + first 12 hex digits of sha256
  sha256 TEXT NOT NULL UNIQUE,            -- of the kept file
  kind TEXT NOT NULL CHECK (kind IN ('text')),
  name TEXT NOT NULL,                     -- of the file it was read from
  rows INTEGER NOT NULL,
  created_by TEXT NOT NULL REFERENCES users(id),
  created_at TEXT NOT NULL
);
CREATE INDEX datasets_creator ON datasets(created_by);
CREATE TRIGGER datasets_never_change BEFORE UPDATE ON datasets BEGIN
  SELECT RAISE(ABORT, 'datasets are immutable');
END;

-- training: a run reads a snapshot or a dataset. A NOT NULL cannot be altered, and other tables point at this one: so
-- the column is replaced, not the table.
ALTER TABLE runs ADD COLUMN dataset_id TEXT REFERENCES datasets(id);
ALTER TABLE runs ADD COLUMN new_snapshot_id TEXT REFERENCES snapshots(id);
UPDATE runs SET new_snapshot_id = snapshot_id;
DROP INDEX runs_snapshot;
ALTER TABLE runs DROP COLUMN snapshot_id;
ALTER TABLE runs RENAME COLUMN new_snapshot_id TO snapshot_id;
CREATE INDEX runs_snapshot ON runs(snapshot_id);
CREATE INDEX runs_dataset ON runs(dataset_id);
