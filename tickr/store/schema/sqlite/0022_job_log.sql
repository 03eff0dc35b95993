-- What jobs log: a row for some lines of one attempt, and none for most jobs. ``last`` is the number of the last of them
-- within the attempt, ``size`` is in bytes; ``marks`` are the instants, ``messages`` what they say, both JSON arrays.
CREATE TABLE job_log (
  job_id   BLOB    NOT NULL,
  fence    INTEGER NOT NULL,
  last     INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  count    INTEGER NOT NULL,
  size     INTEGER NOT NULL,
  marks    TEXT    NOT NULL,
  messages TEXT    NOT NULL,
  PRIMARY KEY (job_id, fence, last)
) STRICT;
