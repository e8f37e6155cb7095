-- training: a run may repeat an earlier one, from the version which that one started from; and may be warned of
ALTER TABLE runs ADD COLUMN repeats_id TEXT REFERENCES runs(id);
ALTER TABLE runs ADD COLUMN warning TEXT;  -- what goes wrong in it without ending it, and what to try; NULL: nothing
CREATE INDEX runs_repeats ON runs(repeats_id);
