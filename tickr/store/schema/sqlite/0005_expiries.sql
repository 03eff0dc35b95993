-- Which jobs that wait end unstarted, and when: a row for each that has an ``expires_at``, while it waits. In the order in
-- which they are looked for. Other jobs have no row, and pay nothing.
CREATE TABLE expiries (
  expires_at INTEGER NOT NULL,
  job_id     BLOB    NOT NULL,
  PRIMARY KEY (expires_at, job_id)
) STRICT, WITHOUT ROWID;
