-- feedback: datasets of questions with their answers, beside those of plain text. A CHECK cannot be altered, and runs
-- point at this table: so the column is replaced, not the table.
ALTER TABLE datasets ADD COLUMN holds TEXT NOT NULL DEFAULT 'text' CHECK (holds IN ('text', 'answers'));
ALTER TABLE datasets DROP COLUMN kind;
ALTER TABLE datasets RENAME COLUMN holds TO kind;
