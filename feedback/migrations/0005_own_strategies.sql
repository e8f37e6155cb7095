-- prompts: strategies in a folder of the home have an origin of their own ('own'). A CHECK cannot be altered, and
-- other tables point at this one: so the column is replaced, not the table.
ALTER TABLE prompt_versions ADD COLUMN new_origin TEXT NOT NULL DEFAULT 'person'
  CHECK (new_origin IN ('shipped','own','person','search'));
DROP TRIGGER prompt_versions_never_change;
UPDATE prompt_versions SET new_origin = CASE
  WHEN origin = 'shipped' AND name NOT IN (  -- all that Hone has come with so far; none of them can be an own one
    'zero-shot', 'few-shot', 'few-shot-nearest', 'chain', 'chain-of-thought', 'chain-of-thought-zero',
    'self-consistency', 'least-to-most', 'critique-revise', 'meta', 'brief', 'bullets', 'ask-back')
  THEN 'own' ELSE origin END;
ALTER TABLE prompt_versions DROP COLUMN origin;
ALTER TABLE prompt_versions RENAME COLUMN new_origin TO origin;
CREATE TRIGGER prompt_versions_never_change BEFORE UPDATE ON prompt_versions BEGIN
  SELECT RAISE(ABORT, 'prompt versions are immutable');
END;
