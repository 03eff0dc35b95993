-- Which jobs that wait end unstarted, and when: a row for each that has an ``expires_at``, while it waits. In the order in
-- which they are looked for. Other jobs have no row, and pay nothing.
CREATE TABLE IF NOT EXISTS expiries (
  expires_at BIGINT     NOT NULL,
  job_id     BINARY(16) NOT NULL,
  PRIMARY KEY (expires_at, job_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
