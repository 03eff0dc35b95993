-- Instants and durations are microseconds (UTC); ids are the 16 bytes of the UUID; JSON is kept as the text it came as.

CREATE TABLE jobs (
  id               BLOB    NOT NULL PRIMARY KEY,
  type             TEXT    NOT NULL,
  queue            TEXT    NOT NULL,
  priority         INTEGER NOT NULL,
  state            INTEGER NOT NULL,  -- store/contract, STATE_CODES
  run_at           INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  version          INTEGER NOT NULL,
  fence            INTEGER NOT NULL,
  attempt          INTEGER NOT NULL,
  crashes          INTEGER NOT NULL,
  max_attempts     INTEGER NOT NULL,
  timeout_us       INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  started_at       INTEGER,
  finished_at      INTEGER,
  node             TEXT,
  backoff          TEXT,              -- JSON; NULL is the default policy
  labels           TEXT,              -- JSON
  error            TEXT,              -- JSON
  result           TEXT,
  payload          TEXT    NOT NULL
) STRICT;

-- Claims, depths, the audit. The id makes the order complete and the scan of what waits a covering one.
CREATE INDEX jobs_order ON jobs (state, queue, priority, run_at, id);

-- Lists, newest first. Written once per job, always at the end, never changed afterwards.
CREATE INDEX jobs_newest ON jobs (created_at, id);

CREATE TABLE attempts (
  job_id      BLOB    NOT NULL,
  fence       INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  node        TEXT,
  started_at  INTEGER,
  finished_at INTEGER,
  outcome     TEXT    NOT NULL,
  error       TEXT,                   -- JSON
  PRIMARY KEY (job_id, fence)
) STRICT, WITHOUT ROWID;

-- One row per commit that moved jobs. The single writer numbers at insert: 1, 2, 3 … in order of commit, never again.
CREATE TABLE events (
  seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  created_at INTEGER NOT NULL,
  count      INTEGER NOT NULL,
  body       TEXT    NOT NULL         -- tickr/events.py, encode
) STRICT;

CREATE TABLE nodes (
  id          TEXT    NOT NULL PRIMARY KEY,
  lease_until INTEGER NOT NULL,
  lease_us    INTEGER NOT NULL,
  started_at  INTEGER NOT NULL,
  body        TEXT    NOT NULL        -- JSON of store/contract, Node
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
  name       TEXT    NOT NULL PRIMARY KEY,
  created_at INTEGER NOT NULL,
  paused     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
  name    TEXT    NOT NULL PRIMARY KEY,
  next_at INTEGER,
  body    TEXT    NOT NULL            -- JSON
) STRICT, WITHOUT ROWID;

-- What may exist once: an idempotency key with the job it made, a schedule's tick, a job's `unique`.
CREATE TABLE unique_keys (
  name       TEXT    NOT NULL PRIMARY KEY,
  job_id     BLOB    NOT NULL,
  digest     BLOB,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
