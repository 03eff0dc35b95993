-- What is to be done to all jobs that match a filter, and how far it has come (JSON of tickr/operations.py, Operation).
-- ``due_at``: when its next part may be done; NULL once it has ended, at ``finished_at``.
CREATE TABLE IF NOT EXISTS operations (
  id          VARBINARY(64) NOT NULL PRIMARY KEY,
  due_at      BIGINT        NULL,
  finished_at BIGINT        NULL,
  body        MEDIUMTEXT    NOT NULL,
  KEY operations_due (due_at, id),
  KEY operations_finished (finished_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
