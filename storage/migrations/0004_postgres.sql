CREATE TABLE token (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked_at IS NULL;

CREATE TABLE audit (
    id UUID NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    caller TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    schedule TEXT COLLATE "C",
    instance UUID,
    data TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_caller ON audit (caller, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_schedule ON audit (schedule, id) WHERE schedule IS NOT NULL;

CREATE TABLE idempotency (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint TEXT COLLATE "C" NOT NULL,
    answer TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX idempotency_at ON idempotency (at);
