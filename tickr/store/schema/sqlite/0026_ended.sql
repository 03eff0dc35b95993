-- Ends that handlers have written in transactions of their own: one row for an attempt, and none for most. Programs of
-- others insert here (docs/transactional-end.md), so what they see of it stays as it is. ``running_since`` is the
-- ``started_at`` of the job while that attempt runs, and NULL, which is refused, when it does not any more.
CREATE TABLE ended (
  job_id        BLOB    NOT NULL,
  fence         INTEGER NOT NULL,
  running_since INTEGER NOT NULL,
  result        TEXT,
  PRIMARY KEY (job_id, fence),
  CONSTRAINT ended_result_is_json CHECK (result IS NULL OR json_valid(result)),
  CONSTRAINT ended_result_is_too_long CHECK (length(CAST(result AS BLOB)) <= 1048576)
) STRICT;
