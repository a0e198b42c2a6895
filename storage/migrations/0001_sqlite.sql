CREATE TABLE schedule (
    id TEXT NOT NULL PRIMARY KEY,
    task TEXT NOT NULL,
    input TEXT NOT NULL,
    trigger TEXT NOT NULL,
    overlap TEXT NOT NULL,
    catch_up TEXT NOT NULL,
    catch_up_window BIGINT NOT NULL,
    jitter BIGINT NOT NULL,
    timeout BIGINT,
    tags TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_due BIGINT,
    next_due BIGINT,
    next_fire BIGINT
) WITHOUT ROWID;
CREATE INDEX schedule_fire ON schedule (next_fire) WHERE next_fire IS NOT NULL;
CREATE INDEX schedule_due ON schedule (next_due, id) WHERE next_due IS NOT NULL AND state <> 'blocked';
CREATE INDEX schedule_state ON schedule (state, id);
CREATE INDEX schedule_task ON schedule (task, state, id);

CREATE TABLE schedule_tag (
    tag TEXT NOT NULL,
    schedule TEXT NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, schedule)
) WITHOUT ROWID;
CREATE INDEX schedule_tag_schedule ON schedule_tag (schedule);

CREATE TABLE instance (
    id UUID NOT NULL PRIMARY KEY,
    task TEXT NOT NULL,
    schedule TEXT REFERENCES schedule (id),
    due_at BIGINT,
    attempt BIGINT NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL,
    input TEXT NOT NULL,
    timeout BIGINT,
    tags TEXT NOT NULL,
    node TEXT,
    boot UUID,
    retry_of UUID,
    start_after BIGINT,
    state_key TEXT,
    queued_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    cancel_at BIGINT,
    cancel_by TEXT,
    cancel_reason TEXT,
    stuck TEXT,
    error TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX instance_due ON instance (schedule, due_at, attempt) WHERE due_at IS NOT NULL;
CREATE INDEX instance_state ON instance (state, id);
CREATE INDEX instance_task ON instance (task, state, id);
CREATE INDEX instance_schedule ON instance (schedule, state, id) WHERE schedule IS NOT NULL;
CREATE INDEX instance_start_after ON instance (start_after) WHERE start_after IS NOT NULL;
CREATE INDEX instance_state_key ON instance (state_key, state, id) WHERE state_key IS NOT NULL;

CREATE TABLE instance_tag (
    tag TEXT NOT NULL,
    instance UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, instance)
) WITHOUT ROWID;
CREATE INDEX instance_tag_instance ON instance_tag (instance);

CREATE TABLE output (
    instance UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (instance, seq)
) WITHOUT ROWID;

CREATE TABLE log (
    instance UUID NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL,
    fields TEXT,
    PRIMARY KEY (instance, seq)
) WITHOUT ROWID;

CREATE TABLE omission (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    schedule TEXT NOT NULL REFERENCES schedule (id),
    fate TEXT NOT NULL,
    reason TEXT NOT NULL,
    first_due BIGINT NOT NULL,
    last_due BIGINT NOT NULL,
    count BIGINT NOT NULL,
    blocked_by UUID
);
CREATE UNIQUE INDEX omission_schedule ON omission (schedule, last_due);

CREATE TABLE task_state (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    version BIGINT NOT NULL,
    instance UUID NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE event (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    type TEXT NOT NULL,
    schedule TEXT,
    instance UUID,
    data TEXT NOT NULL
);

CREATE TABLE node (
    boot UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    stopped_at BIGINT,
    last_batch BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX node_started ON node (started_at);
