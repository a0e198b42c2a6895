CREATE TABLE token (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
) WITHOUT ROWID;
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;

CREATE TABLE audit (
    id UUID NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    caller TEXT NOT NULL,
    action TEXT NOT NULL,
    schedule TEXT,
    instance UUID,
    data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX audit_caller ON audit (caller, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_schedule ON audit (schedule, id) WHERE schedule IS NOT NULL;

CREATE TABLE idempotency (
    id TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);
