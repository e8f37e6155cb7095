-- training: a run may be computed by several processes, started by accelerate
ALTER TABLE runs ADD COLUMN processes INTEGER NOT NULL DEFAULT 1;
ALTER TABLE runs ADD COLUMN launch TEXT;        -- the config's name, for people
ALTER TABLE runs ADD COLUMN launch_yaml TEXT;   -- the config as it was, so that the run is resumed as it began
