-- Instants and durations are microseconds (UTC); ids are the 16 bytes of the UUID; JSON is kept as the text it came as.
-- Every statement may run again: DDL commits by itself, and a start may be cut between two of them.
-- Names are UTF-8 in VARBINARY: the one way, on MySQL and MariaDB alike, in which 'a', 'A' and 'a ' are three names.

CREATE TABLE IF NOT EXISTS jobs (
  id               BINARY(16)     NOT NULL PRIMARY KEY,
  type             VARBINARY(255) NOT NULL,
  queue            VARBINARY(255) NOT NULL,
  priority         TINYINT        NOT NULL,
  state            TINYINT        NOT NULL, -- store/contract, STATE_CODES
  run_at           BIGINT         NOT NULL,
  created_at       BIGINT         NOT NULL,
  version          INT            NOT NULL,
  fence            INT            NOT NULL,
  attempt          INT            NOT NULL,
  crashes          INT            NOT NULL,
  max_attempts     INT            NOT NULL,
  timeout_us       BIGINT         NOT NULL,
  cancel_requested TINYINT        NOT NULL,
  started_at       BIGINT         NULL,
  finished_at      BIGINT         NULL,
  node             VARCHAR(64)    NULL,
  backoff          TEXT           NULL,     -- JSON; NULL is the default policy
  labels           MEDIUMTEXT     NULL,     -- JSON
  error            MEDIUMTEXT     NULL,     -- JSON
  result           MEDIUMTEXT     NULL,
  payload          MEDIUMTEXT     NOT NULL,
  -- Claims, depths, the audit. The type is there so that a node without an index looks past jobs that it has no
  -- handlers for without reading them; that makes writes no dearer (measured).
  KEY jobs_order (state, queue, priority, run_at, id, type),
  -- Lists, newest first. Written once per job, always at the end, never changed afterwards.
  KEY jobs_newest (created_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS attempts (
  job_id      BINARY(16)  NOT NULL,
  fence       INT         NOT NULL,
  number      INT         NOT NULL,
  node        VARCHAR(64) NULL,
  started_at  BIGINT      NULL,
  finished_at BIGINT      NULL,
  outcome     VARCHAR(20) NOT NULL,
  error       MEDIUMTEXT  NULL,           -- JSON
  PRIMARY KEY (job_id, fence)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row per commit that moved jobs (several if it would be very long). The order of the ids is not the order of the
-- commits: `seq` is given afterwards, by whoever reads, under the lock on feed_head.
CREATE TABLE IF NOT EXISTS events (
  id         BIGINT   NOT NULL AUTO_INCREMENT PRIMARY KEY,
  seq        BIGINT   NULL,
  created_at BIGINT   NOT NULL,
  count      INT      NOT NULL,
  body       LONGTEXT NOT NULL,           -- tickr/events.py, encode
  UNIQUE KEY events_seq (seq)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS feed_head (
  id  TINYINT NOT NULL PRIMARY KEY,
  seq BIGINT  NOT NULL                    -- the last number given
) ENGINE=InnoDB;

INSERT IGNORE INTO feed_head (id, seq) VALUES (1, 0);

CREATE TABLE IF NOT EXISTS nodes (
  id          VARCHAR(64) NOT NULL PRIMARY KEY,
  lease_until BIGINT      NOT NULL,
  lease_us    BIGINT      NOT NULL,
  started_at  BIGINT      NOT NULL,
  body        MEDIUMTEXT  NOT NULL        -- JSON of store/contract, Node
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS queues (
  name       VARBINARY(255) NOT NULL PRIMARY KEY,
  created_at BIGINT         NOT NULL,
  paused     TINYINT        NOT NULL DEFAULT 0
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS schedules (
  name    VARBINARY(255) NOT NULL PRIMARY KEY,
  next_at BIGINT         NULL,
  body    MEDIUMTEXT     NOT NULL           -- JSON
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What may exist once: an idempotency key with the job it made, a schedule's tick, a job's `unique`.
CREATE TABLE IF NOT EXISTS unique_keys (
  name       VARBINARY(255) NOT NULL PRIMARY KEY,
  job_id     BINARY(16)     NOT NULL,
  digest     VARBINARY(64)  NULL,
  created_at BIGINT         NOT NULL,
  expires_at BIGINT         NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS meta (
  name  VARBINARY(255) NOT NULL PRIMARY KEY,
  value MEDIUMTEXT     NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
