CREATE INDEX instance_retry ON instance (retry_of) WHERE retry_of IS NOT NULL;
