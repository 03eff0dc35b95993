-- What is to be done to all jobs that match a filter, and how far it has come (JSON of tickr/operations.py, Operation).
-- ``due_at``: when its next part may be done; NULL once it has ended, at ``finished_at``.
CREATE TABLE operations (
  id          TEXT    NOT NULL PRIMARY KEY,
  due_at      INTEGER,
  finished_at INTEGER,
  body        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX operations_due ON operations (due_at, id);
CREATE INDEX operations_finished ON operations (finished_at);
