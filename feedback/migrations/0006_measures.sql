-- prompts: what evaluations found of versions, item by item; `auto` chooses by it
CREATE TABLE prompt_measurings (            -- a version on a model, asked in one way and judged by one rule
  id TEXT PRIMARY KEY,
  model_version_id TEXT NOT NULL REFERENCES model_versions(id),
  prompt_version_id TEXT NOT NULL REFERENCES prompt_versions(id),
  way_json TEXT NOT NULL,
  rule TEXT NOT NULL,                       -- what counted as right, in words
  measured_at TEXT NOT NULL,                -- its latest item
  UNIQUE (model_version_id, prompt_version_id, way_json, rule)
);
CREATE INDEX prompt_measurings_version ON prompt_measurings(prompt_version_id);
CREATE TABLE prompt_measures (              -- one item of it
  measuring_id TEXT NOT NULL REFERENCES prompt_measurings(id),
  item_sha256 TEXT NOT NULL,                -- of the question: its text is not kept
  dataset TEXT NOT NULL,
  kind TEXT NOT NULL,
  score REAL NOT NULL CHECK (score BETWEEN 0 AND 1),
  PRIMARY KEY (measuring_id, item_sha256)
) WITHOUT ROWID;

-- feedback: why `auto` took the strategy of this reply; NULL: whoever asked had named it
ALTER TABLE messages ADD COLUMN chosen_because TEXT;
