CREATE TABLE webhook (
    id UUID NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    schedules TEXT NOT NULL,
    secret TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT,
    position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    delivered_at BIGINT,
    failed_at BIGINT,
    last_error TEXT
) WITHOUT ROWID;

CREATE TABLE delivery (
    id UUID NOT NULL PRIMARY KEY,
    webhook UUID NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event BIGINT NOT NULL,
    body TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX delivery_next ON delivery (webhook, next_at, id);
