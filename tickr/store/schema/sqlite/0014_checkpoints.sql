-- What attempts keep for the attempts after them: at most one row for a job, and none for most. ``created_at`` is the
-- job's, so that a row never speaks for another job that has got its id; ``look_at`` is when it is to be looked at whether
-- the job has ended.
CREATE TABLE checkpoints (
  job_id     BLOB    NOT NULL PRIMARY KEY,
  created_at INTEGER NOT NULL,
  look_at    INTEGER NOT NULL,
  value      TEXT    NOT NULL
) STRICT;

CREATE INDEX checkpoints_look ON checkpoints (look_at);
