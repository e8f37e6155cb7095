-- feedback: datasets of texts with labels, beside those of plain text and of answers. A CHECK cannot be altered, and
-- runs point at this table: so the column is replaced, not the table.
DROP TRIGGER datasets_never_change;
ALTER TABLE datasets ADD COLUMN holds TEXT NOT NULL DEFAULT 'text' CHECK (holds IN ('text', 'answers', 'labels'));
UPDATE datasets SET holds = kind;
ALTER TABLE datasets DROP COLUMN kind;
ALTER TABLE datasets RENAME COLUMN holds TO kind;
CREATE TRIGGER datasets_never_change BEFORE UPDATE ON datasets BEGIN
  SELECT RAISE(ABORT, 'datasets are immutable');
END;

-- training: a run that makes a classifier may be measured on a second dataset, which teaches it nothing
ALTER TABLE runs ADD COLUMN test_dataset_id TEXT REFERENCES datasets(id);
CREATE INDEX runs_test_dataset ON runs(test_dataset_id);
