-- feedback: conversations that programs hold through the API
ALTER TABLE conversations ADD COLUMN system_text TEXT NOT NULL DEFAULT '';  -- a program's
ALTER TABLE snapshot_pairs ADD COLUMN system_text TEXT NOT NULL DEFAULT '';
CREATE TABLE api_prompts (
  message_id TEXT PRIMARY KEY REFERENCES messages(id),
  user_id TEXT NOT NULL REFERENCES users(id),
  path_sha256 TEXT NOT NULL               -- of the system text and all turns up to here
);
CREATE INDEX api_prompts_path ON api_prompts(user_id, path_sha256);

-- assistant: keys for programs
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  user_id TEXT NOT NULL REFERENCES users(id),
  roles_json TEXT NOT NULL,               -- at most what its user holds counts
  key_sha256 TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL,
  revoked_at TEXT
);
CREATE INDEX api_keys_user ON api_keys(user_id);
