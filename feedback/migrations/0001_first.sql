-- assistant: people
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  roles_json TEXT NOT NULL,               -- subset of ["chatter","labeller","operator"]
  password_hash TEXT,                     -- argon2; NULL: cannot log in
  consent INTEGER NOT NULL DEFAULT 1,     -- default for this person's new conversations
  created_at TEXT NOT NULL,
  disabled_at TEXT
);
CREATE TABLE sessions (
  token_sha256 TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id),
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions(user_id);

-- assistant: model versions and the pointers that move
CREATE TABLE model_versions (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,              -- for people: smollm2-135m-instruct, dpo-1
  base_id TEXT NOT NULL,                  -- identity of the base weights
  adapter_dir TEXT,                       -- relative to the home folder; NULL: the base itself
  adapter_sha256 TEXT,
  run_id TEXT REFERENCES runs(id),
  chat_template_sha256 TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX model_versions_run ON model_versions(run_id);
CREATE TABLE pointers (
  name TEXT PRIMARY KEY,                  -- champion, canary
  model_version_id TEXT NOT NULL REFERENCES model_versions(id),
  share REAL NOT NULL DEFAULT 1.0,        -- of conversations; for a canary
  moved_at TEXT NOT NULL
);
CREATE INDEX pointers_version ON pointers(model_version_id);
CREATE TABLE promotions (
  id TEXT PRIMARY KEY,
  from_version_id TEXT REFERENCES model_versions(id),
  to_version_id TEXT NOT NULL REFERENCES model_versions(id),
  kind TEXT NOT NULL CHECK (kind IN ('first','promote','rollback')),
  gate_report_id TEXT REFERENCES gate_reports(id),
  override_reason TEXT,
  user_id TEXT NOT NULL REFERENCES users(id),
  created_at TEXT NOT NULL
);
CREATE INDEX promotions_to ON promotions(to_version_id);
CREATE INDEX promotions_from ON promotions(from_version_id);
CREATE INDEX promotions_gate_report ON promotions(gate_report_id);
CREATE INDEX promotions_user ON promotions(user_id);

-- prompts: versions
CREATE TABLE prompt_versions (
  id TEXT PRIMARY KEY,                    -- pv_ + first 12 hex digits of sha256
  sha256 TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,                     -- zero-shot, few-shot, ...
  source_json TEXT NOT NULL,              -- file name -> text
  origin TEXT NOT NULL CHECK (origin IN ('shipped','person','search')),
  author_id TEXT REFERENCES users(id),
  created_at TEXT NOT NULL
);
CREATE INDEX prompt_versions_name ON prompt_versions(name, created_at);
CREATE INDEX prompt_versions_author ON prompt_versions(author_id);
CREATE TABLE prompt_labels (
  name TEXT NOT NULL,
  label TEXT NOT NULL CHECK (label IN ('draft','production')),
  prompt_version_id TEXT NOT NULL REFERENCES prompt_versions(id),
  moved_by TEXT NOT NULL REFERENCES users(id),  -- u_hone: the label follows the shipped file
  moved_at TEXT NOT NULL,
  PRIMARY KEY (name, label)
);
CREATE INDEX prompt_labels_version ON prompt_labels(prompt_version_id);
CREATE INDEX prompt_labels_mover ON prompt_labels(moved_by);

-- feedback: conversations
CREATE TABLE label_projects (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  guidelines TEXT NOT NULL DEFAULT '',
  overlap INTEGER NOT NULL DEFAULT 1 CHECK (overlap >= 1),  -- labellers per task
  created_at TEXT NOT NULL,
  archived_at TEXT
);
CREATE TABLE conversations (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id),
  title TEXT NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('chat','drawn','api')),
  consent INTEGER NOT NULL DEFAULT 1,     -- 0: never leaves this conversation, never trained on
  selected_leaf_id TEXT REFERENCES messages(id),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  deleted_at TEXT
);
CREATE INDEX conversations_user ON conversations(user_id, deleted_at, updated_at);
CREATE INDEX conversations_leaf ON conversations(selected_leaf_id);
CREATE TABLE messages (
  written_order INTEGER PRIMARY KEY,      -- the rowid by name, so that VACUUM keeps it for messages_fts
  id TEXT NOT NULL UNIQUE,
  conversation_id TEXT NOT NULL REFERENCES conversations(id),
  parent_id TEXT REFERENCES messages(id),
  role TEXT NOT NULL CHECK (role IN ('user','assistant')),
  content TEXT NOT NULL,
  created_at TEXT NOT NULL,
  -- from here on: replies only
  status TEXT NOT NULL DEFAULT 'complete' CHECK (status IN ('writing','complete','stopped','failed')),
  reasoning TEXT,                         -- chain of thought, kept apart from the answer
  trace_json TEXT,                        -- steps of a chain or of meta prompting, in order
  model_version_id TEXT REFERENCES model_versions(id),
  prompt_version_id TEXT REFERENCES prompt_versions(id),
  strategy TEXT,
  temperature REAL,
  top_p REAL,
  max_tokens INTEGER,
  seed INTEGER,
  engine TEXT,
  prompt_text TEXT,                       -- the exact text the model received for the final answer
  prompt_tokens INTEGER,
  reply_tokens INTEGER,
  dropped_turns INTEGER NOT NULL DEFAULT 0,
  duration_s REAL,
  ended INTEGER NOT NULL DEFAULT 1,       -- 0: cut off, by the token limit or by a person
  error TEXT,
  hidden_from_chat INTEGER NOT NULL DEFAULT 0  -- drawn for a comparison; becomes a branch once voted
);
CREATE INDEX messages_conversation ON messages(conversation_id, created_at);
CREATE INDEX messages_parent ON messages(parent_id);
CREATE INDEX messages_version ON messages(model_version_id);
CREATE INDEX messages_prompt_version ON messages(prompt_version_id);
CREATE INDEX messages_writing ON messages(conversation_id) WHERE status = 'writing';
CREATE VIRTUAL TABLE messages_fts USING fts5(content, content='messages', content_rowid='written_order');
CREATE TRIGGER messages_fts_insert AFTER INSERT ON messages BEGIN
  INSERT INTO messages_fts(rowid, content) VALUES (new.rowid, new.content);
END;
CREATE TRIGGER messages_fts_update AFTER UPDATE OF content ON messages BEGIN
  INSERT INTO messages_fts(messages_fts, rowid, content) VALUES ('delete', old.rowid, old.content);
  INSERT INTO messages_fts(rowid, content) VALUES (new.rowid, new.content);
END;

-- feedback: judgements
CREATE TABLE label_tasks (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES label_projects(id),
  prompt_message_id TEXT NOT NULL REFERENCES messages(id),
  priority REAL NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  closed_at TEXT
);
CREATE INDEX label_tasks_project ON label_tasks(project_id, closed_at, priority);
CREATE INDEX label_tasks_prompt ON label_tasks(prompt_message_id);
CREATE TABLE label_task_replies (
  task_id TEXT NOT NULL REFERENCES label_tasks(id),
  reply_id TEXT NOT NULL REFERENCES messages(id),
  PRIMARY KEY (task_id, reply_id)
);
CREATE INDEX label_task_replies_reply ON label_task_replies(reply_id);
CREATE TABLE label_skips (
  task_id TEXT NOT NULL REFERENCES label_tasks(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  reason TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (task_id, user_id)
);
CREATE INDEX label_skips_user ON label_skips(user_id);
CREATE TABLE votes (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id),
  prompt_message_id TEXT NOT NULL REFERENCES messages(id),
  task_id TEXT REFERENCES label_tasks(id),
  project_id TEXT NOT NULL REFERENCES label_projects(id),
  source TEXT NOT NULL CHECK (source IN ('compare','label','api','simulated')),
  all_bad INTEGER NOT NULL DEFAULT 0,
  replaces_id TEXT REFERENCES votes(id),  -- the vote that this one changes
  created_at TEXT NOT NULL,
  withdrawn_at TEXT
);
CREATE INDEX votes_prompt ON votes(prompt_message_id);
CREATE INDEX votes_user ON votes(user_id, created_at);
CREATE INDEX votes_task ON votes(task_id);
CREATE INDEX votes_project ON votes(project_id);
CREATE INDEX votes_replaces ON votes(replaces_id);
CREATE TABLE vote_replies (
  vote_id TEXT NOT NULL REFERENCES votes(id),
  reply_id TEXT NOT NULL REFERENCES messages(id),
  shown_position INTEGER NOT NULL,        -- 0 is leftmost
  rank INTEGER,                           -- 1 is best, equal ranks are ties; NULL in an all-bad vote
  PRIMARY KEY (vote_id, reply_id)
);
CREATE INDEX vote_replies_reply ON vote_replies(reply_id);
CREATE TABLE comparisons (
  id TEXT PRIMARY KEY,                    -- a blind pair as shown on the chat page; a vote may follow
  user_id TEXT NOT NULL REFERENCES users(id),
  prompt_message_id TEXT NOT NULL REFERENCES messages(id),
  left_id TEXT NOT NULL REFERENCES messages(id),
  right_id TEXT NOT NULL REFERENCES messages(id),
  vote_id TEXT REFERENCES votes(id),
  created_at TEXT NOT NULL
);
CREATE INDEX comparisons_prompt ON comparisons(prompt_message_id);
CREATE INDEX comparisons_user ON comparisons(user_id);
CREATE INDEX comparisons_left ON comparisons(left_id);
CREATE INDEX comparisons_right ON comparisons(right_id);
CREATE INDEX comparisons_vote ON comparisons(vote_id);
CREATE TABLE ratings (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id),
  reply_id TEXT NOT NULL REFERENCES messages(id),
  value INTEGER NOT NULL CHECK (value IN (-1, 1)),
  reason TEXT NOT NULL DEFAULT '',
  replaces_id TEXT REFERENCES ratings(id),
  created_at TEXT NOT NULL,
  withdrawn_at TEXT
);
CREATE INDEX ratings_reply ON ratings(reply_id);
CREATE INDEX ratings_user ON ratings(user_id);
CREATE INDEX ratings_replaces ON ratings(replaces_id);
CREATE TABLE demonstrations (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL REFERENCES users(id),
  reply_id TEXT NOT NULL REFERENCES messages(id),  -- the reply it corrects
  content TEXT NOT NULL,
  replaces_id TEXT REFERENCES demonstrations(id),
  created_at TEXT NOT NULL,
  withdrawn_at TEXT
);
CREATE INDEX demonstrations_reply ON demonstrations(reply_id);
CREATE INDEX demonstrations_user ON demonstrations(user_id);
CREATE INDEX demonstrations_replaces ON demonstrations(replaces_id);

-- feedback: frozen data
CREATE TABLE prompt_splits (
  prompt_sha256 TEXT PRIMARY KEY,
  held_out INTEGER NOT NULL,
  first_seen_at TEXT NOT NULL
);
CREATE TABLE snapshots (
  id TEXT PRIMARY KEY,                    -- s_ + first 12 hex digits of sha256
  sha256 TEXT NOT NULL UNIQUE,
  project_id TEXT REFERENCES label_projects(id),
  chat_template_sha256 TEXT NOT NULL,
  prompt_version_id TEXT NOT NULL REFERENCES prompt_versions(id),
  train_pairs INTEGER NOT NULL,
  held_out_pairs INTEGER NOT NULL,
  report_json TEXT NOT NULL,              -- what was dropped and why, lengths, duplicates
  created_by TEXT NOT NULL REFERENCES users(id),
  created_at TEXT NOT NULL
);
CREATE INDEX snapshots_project ON snapshots(project_id);
CREATE INDEX snapshots_prompt_version ON snapshots(prompt_version_id);
CREATE INDEX snapshots_creator ON snapshots(created_by);
CREATE TABLE snapshot_pairs (
  snapshot_id TEXT NOT NULL REFERENCES snapshots(id),
  position INTEGER NOT NULL,
  held_out INTEGER NOT NULL,
  prompt_sha256 TEXT NOT NULL REFERENCES prompt_splits(prompt_sha256),
  turns_json TEXT NOT NULL,               -- [{"role","content"}], the last is the user's
  chosen TEXT NOT NULL,
  rejected TEXT NOT NULL,
  chosen_is_demonstration INTEGER NOT NULL DEFAULT 0,
  chosen_ended INTEGER NOT NULL DEFAULT 1,    -- 0: cut off, so it must not teach where to end
  rejected_ended INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (snapshot_id, position)
);
CREATE INDEX snapshot_pairs_prompt ON snapshot_pairs(prompt_sha256);
CREATE TABLE snapshot_pair_sources (
  snapshot_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  vote_id TEXT REFERENCES votes(id),
  rating_id TEXT REFERENCES ratings(id),
  demonstration_id TEXT REFERENCES demonstrations(id),
  FOREIGN KEY (snapshot_id, position) REFERENCES snapshot_pairs(snapshot_id, position),
  CHECK ((vote_id IS NOT NULL) + (rating_id IS NOT NULL) + (demonstration_id IS NOT NULL) = 1)
);
CREATE INDEX snapshot_pair_sources_pair ON snapshot_pair_sources(snapshot_id, position);
CREATE INDEX snapshot_pair_sources_vote ON snapshot_pair_sources(vote_id);
CREATE INDEX snapshot_pair_sources_rating ON snapshot_pair_sources(rating_id);
CREATE INDEX snapshot_pair_sources_demonstration ON snapshot_pair_sources(demonstration_id);

-- training
CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  method TEXT NOT NULL,                   -- sft, dpo, ...
  snapshot_id TEXT NOT NULL REFERENCES snapshots(id),
  base_version_id TEXT NOT NULL REFERENCES model_versions(id),
  recipe_json TEXT NOT NULL,
  state TEXT NOT NULL
    CHECK (state IN ('queued','running','evaluating','done','failed','cancelled','interrupted')),
  pid INTEGER,
  heartbeat_at TEXT,
  step INTEGER NOT NULL DEFAULT 0,
  total_steps INTEGER,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  created_by TEXT NOT NULL REFERENCES users(id),
  created_at TEXT NOT NULL,
  started_at TEXT,
  ended_at TEXT
);
CREATE INDEX runs_state ON runs(state, created_at);
CREATE INDEX runs_snapshot ON runs(snapshot_id);
CREATE INDEX runs_base ON runs(base_version_id);
CREATE INDEX runs_creator ON runs(created_by);
CREATE TABLE run_metrics (
  run_id TEXT NOT NULL REFERENCES runs(id),
  step INTEGER NOT NULL,
  name TEXT NOT NULL,                     -- loss, margin, accuracy, grad_norm, ...
  value REAL NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (run_id, name, step)
);
CREATE TABLE gate_reports (
  id TEXT PRIMARY KEY,
  candidate_id TEXT NOT NULL REFERENCES model_versions(id),
  champion_id TEXT NOT NULL REFERENCES model_versions(id),
  snapshot_id TEXT NOT NULL REFERENCES snapshots(id),
  verdict TEXT NOT NULL CHECK (verdict IN ('pass','fail','not_enough_evidence')),
  report_json TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX gate_reports_candidate ON gate_reports(candidate_id, created_at);
CREATE INDEX gate_reports_champion ON gate_reports(champion_id);
CREATE INDEX gate_reports_snapshot ON gate_reports(snapshot_id);

-- feedback: the audit log, append-only
CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  user_id TEXT NOT NULL REFERENCES users(id),
  action TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  detail_json TEXT NOT NULL
);
CREATE INDEX audit_log_subject ON audit_log(subject_id);
CREATE INDEX audit_log_user ON audit_log(user_id);

-- what never changes
CREATE TRIGGER model_versions_never_change BEFORE UPDATE ON model_versions BEGIN
  SELECT RAISE(ABORT, 'model versions are immutable');
END;
CREATE TRIGGER prompt_versions_never_change BEFORE UPDATE ON prompt_versions BEGIN
  SELECT RAISE(ABORT, 'prompt versions are immutable');
END;
CREATE TRIGGER snapshots_never_change BEFORE UPDATE ON snapshots BEGIN
  SELECT RAISE(ABORT, 'snapshots are immutable');
END;
CREATE TRIGGER snapshot_pairs_never_change BEFORE UPDATE ON snapshot_pairs BEGIN
  SELECT RAISE(ABORT, 'snapshots are immutable');
END;
CREATE TRIGGER audit_log_never_changes BEFORE UPDATE ON audit_log BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_log_never_shrinks BEFORE DELETE ON audit_log BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- the people who are always there, and the default label project
INSERT INTO users (id, name, roles_json, created_at) VALUES
  ('u_local', 'local', '["chatter","labeller","operator"]', strftime('%Y-%m-%dT%H:%M:%fZ')),
  ('u_hone', 'hone', '[]', strftime('%Y-%m-%dT%H:%M:%fZ'));
INSERT INTO label_projects (id, name, guidelines, created_at) VALUES
  ('p_default', 'General',
   'Prefer the reply that answers the question correctly, clearly and without padding.',
   strftime('%Y-%m-%dT%H:%M:%fZ'));
