-- feedback: thumbs frozen with a snapshot: replies that people liked or did not, each alone
CREATE TABLE snapshot_thumbs (
  snapshot_id TEXT NOT NULL REFERENCES snapshots(id),
  position INTEGER NOT NULL,
  held_out INTEGER NOT NULL,
  prompt_sha256 TEXT NOT NULL REFERENCES prompt_splits(prompt_sha256),
  turns_json TEXT NOT NULL,               -- [{"role","content"}], the last is the user's
  system_text TEXT NOT NULL DEFAULT '',
  reply TEXT NOT NULL,
  ended INTEGER NOT NULL,                 -- 0: cut off, so it must not teach where to end
  liked INTEGER NOT NULL,
  PRIMARY KEY (snapshot_id, position)
);
CREATE INDEX snapshot_thumbs_prompt ON snapshot_thumbs(prompt_sha256);
CREATE TABLE snapshot_thumb_sources (
  snapshot_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  rating_id TEXT NOT NULL REFERENCES ratings(id),
  PRIMARY KEY (snapshot_id, position, rating_id),
  FOREIGN KEY (snapshot_id, position) REFERENCES snapshot_thumbs(snapshot_id, position)
);
CREATE INDEX snapshot_thumb_sources_rating ON snapshot_thumb_sources(rating_id);
CREATE TRIGGER snapshot_thumbs_never_change BEFORE UPDATE ON snapshot_thumbs BEGIN
  SELECT RAISE(ABORT, 'snapshots are immutable');
END;

-- training: heads, each a linear layer on a trunk: reward models. They judge, and never answer
CREATE TABLE heads (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,              -- for people: reward-1
  kind TEXT NOT NULL CHECK (kind IN ('reward')),
  base_id TEXT NOT NULL,                  -- identity of the base weights
  folder TEXT NOT NULL,                   -- relative to the home folder
  sha256 TEXT NOT NULL,                   -- of its weights
  run_id TEXT REFERENCES runs(id),
  chat_template_sha256 TEXT NOT NULL,
  report_json TEXT NOT NULL,              -- what was measured of it when it was made
  created_at TEXT NOT NULL
);
CREATE INDEX heads_run ON heads(run_id);
CREATE TRIGGER heads_never_change BEFORE UPDATE ON heads BEGIN
  SELECT RAISE(ABORT, 'heads are immutable');
END;
