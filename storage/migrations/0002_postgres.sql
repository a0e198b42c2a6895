ALTER TABLE schedule ADD COLUMN starts_at BIGINT;
ALTER TABLE schedule ADD COLUMN ends_at BIGINT;
ALTER TABLE schedule ADD COLUMN max_runs BIGINT;
ALTER TABLE schedule ADD COLUMN run_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedule ADD COLUMN run_on_create BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedule ADD COLUMN follows TEXT COLLATE "C";
ALTER TABLE schedule ADD COLUMN skips TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE schedule ADD COLUMN state_errors TEXT COLLATE "C";
ALTER TABLE schedule ADD COLUMN keep_for BIGINT;
ALTER TABLE schedule ADD COLUMN keep_last BIGINT;
CREATE INDEX schedule_follows ON schedule (follows, id) WHERE follows IS NOT NULL;

ALTER TABLE instance ADD COLUMN waits_for TEXT COLLATE "C";
DROP INDEX instance_start_after;
CREATE INDEX instance_start_after ON instance (start_after, id) WHERE start_after IS NOT NULL;
CREATE INDEX instance_line ON instance (waits_for, id) WHERE waits_for IS NOT NULL;
UPDATE instance SET waits_for = CASE WHEN state_key IS NOT NULL THEN 'state:' || state_key ELSE 'task:' || task END
    WHERE state = 'queued' AND start_after IS NULL;

CREATE TABLE known_task (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL
);
