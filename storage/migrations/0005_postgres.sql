CREATE TABLE webhook (
    id UUID NOT NULL PRIMARY KEY,
    url TEXT COLLATE "C" NOT NULL,
    events TEXT COLLATE "C" NOT NULL,
    schedules TEXT COLLATE "C" NOT NULL,
    secret TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    state_reason TEXT COLLATE "C",
    position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    delivered_at BIGINT,
    failed_at BIGINT,
    last_error TEXT COLLATE "C"
);

CREATE TABLE delivery (
    id UUID NOT NULL PRIMARY KEY,
    webhook UUID NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event BIGINT NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);
CREATE INDEX delivery_next ON delivery (webhook, next_at, id);
