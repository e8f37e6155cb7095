-- assistant: a role for whoever writes prompts; those who could do everything before still can
UPDATE users SET roles_json = json_insert(roles_json, '$[#]', 'engineer')
  WHERE roles_json LIKE '%"operator"%' AND roles_json NOT LIKE '%"engineer"%';

-- prompts: versions by people (each may name the one it was made from), production's moves, trials
ALTER TABLE prompt_versions ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE prompt_versions ADD COLUMN parent_id TEXT REFERENCES prompt_versions(id);
CREATE INDEX prompt_versions_parent ON prompt_versions(parent_id);
CREATE TABLE prompt_moves (                 -- of the production label
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  from_version_id TEXT REFERENCES prompt_versions(id),
  to_version_id TEXT REFERENCES prompt_versions(id),    -- NULL: out of service
  kind TEXT NOT NULL CHECK (kind IN ('shipped','put','back')),
  note TEXT NOT NULL DEFAULT '',
  user_id TEXT NOT NULL REFERENCES users(id),
  created_at TEXT NOT NULL
);
CREATE INDEX prompt_moves_name ON prompt_moves(name);
CREATE INDEX prompt_moves_from ON prompt_moves(from_version_id);
CREATE INDEX prompt_moves_to ON prompt_moves(to_version_id);
CREATE INDEX prompt_moves_user ON prompt_moves(user_id);
INSERT INTO prompt_moves (id, name, to_version_id, kind, user_id, created_at)
  SELECT 'pl_' || lower(hex(randomblob(6))), name, prompt_version_id,
    CASE moved_by WHEN 'u_hone' THEN 'shipped' ELSE 'put' END, moved_by, moved_at
  FROM prompt_labels WHERE label = 'production';
CREATE TABLE prompt_trials (                -- a strategy's conversations, divided between its versions
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  note TEXT NOT NULL DEFAULT '',
  started_by TEXT NOT NULL REFERENCES users(id),
  started_at TEXT NOT NULL,
  ended_by TEXT REFERENCES users(id),
  ended_at TEXT
);
CREATE UNIQUE INDEX prompt_trials_running ON prompt_trials(name) WHERE ended_at IS NULL;
CREATE INDEX prompt_trials_name ON prompt_trials(name, started_at);
CREATE INDEX prompt_trials_starter ON prompt_trials(started_by);
CREATE INDEX prompt_trials_ender ON prompt_trials(ended_by);
CREATE TABLE prompt_trial_arms (
  trial_id TEXT NOT NULL REFERENCES prompt_trials(id),
  position INTEGER NOT NULL,
  prompt_version_id TEXT NOT NULL REFERENCES prompt_versions(id),
  share REAL NOT NULL CHECK (share > 0 AND share < 1),
  PRIMARY KEY (trial_id, position),
  UNIQUE (trial_id, prompt_version_id)
);
CREATE INDEX prompt_trial_arms_version ON prompt_trial_arms(prompt_version_id);

-- what never changes
CREATE TRIGGER prompt_versions_never_go BEFORE DELETE ON prompt_versions BEGIN
  SELECT RAISE(ABORT, 'prompt versions are immutable');
END;
CREATE TRIGGER prompt_moves_never_change BEFORE UPDATE ON prompt_moves BEGIN
  SELECT RAISE(ABORT, 'moves of a label are append-only');
END;
CREATE TRIGGER prompt_moves_never_go BEFORE DELETE ON prompt_moves BEGIN
  SELECT RAISE(ABORT, 'moves of a label are append-only');
END;
CREATE TRIGGER prompt_trials_only_end BEFORE UPDATE ON prompt_trials
  WHEN old.ended_at IS NOT NULL OR new.ended_at IS NULL OR new.id <> old.id OR new.name <> old.name
    OR new.note <> old.note OR new.started_by <> old.started_by OR new.started_at <> old.started_at
BEGIN
  SELECT RAISE(ABORT, 'a trial can only be ended, once');
END;
CREATE TRIGGER prompt_trial_arms_never_change BEFORE UPDATE ON prompt_trial_arms BEGIN
  SELECT RAISE(ABORT, 'the arms of a trial are immutable');
END;
CREATE TRIGGER prompt_trial_arms_never_go BEFORE DELETE ON prompt_trial_arms BEGIN
  SELECT RAISE(ABORT, 'the arms of a trial are immutable');
END;
