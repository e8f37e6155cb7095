-- feedback: how an answer came about, beyond its steps and its prompt: examples of a pool, retries, votes
ALTER TABLE messages ADD COLUMN made_json TEXT;

-- feedback: counts changes to what judgements say, so that what is made from them can be kept till the next
CREATE TABLE judgement_changes (number INTEGER NOT NULL);
INSERT INTO judgement_changes VALUES (0);
CREATE TRIGGER changed_by_vote AFTER INSERT ON votes BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_withdrawn_vote AFTER UPDATE ON votes BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_rating AFTER INSERT ON ratings BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_withdrawn_rating AFTER UPDATE ON ratings BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_demonstration AFTER INSERT ON demonstrations BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_withdrawn_demonstration AFTER UPDATE ON demonstrations BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_conversation AFTER UPDATE OF deleted_at, consent ON conversations BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
CREATE TRIGGER changed_by_split AFTER INSERT ON prompt_splits BEGIN
  UPDATE judgement_changes SET number = number + 1;
END;
