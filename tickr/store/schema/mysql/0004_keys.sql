-- Of an idempotency key, whether the request made the job or was told of one that was there; and when a key is to be
-- looked at that may stand for nothing any more. One statement: a start that was cut finds all of it, or nothing.
ALTER TABLE unique_keys
  ADD COLUMN made TINYINT NOT NULL DEFAULT 1,
  ADD COLUMN look_at BIGINT NULL,
  ADD KEY unique_keys_look (look_at);
