-- Of an idempotency key, whether the request made the job or was told of one that was there; and when a key is to be
-- looked at that may stand for nothing any more.
ALTER TABLE unique_keys ADD COLUMN made INTEGER NOT NULL DEFAULT 1;
ALTER TABLE unique_keys ADD COLUMN look_at INTEGER;

CREATE INDEX unique_keys_look ON unique_keys (look_at);
