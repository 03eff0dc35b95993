-- Ends that handlers have written in transactions of their own: one row for an attempt, and none for most. Programs of
-- others insert here (docs/transactional-end.md), so what they see of it stays as it is. ``running_since`` is the
-- ``started_at`` of the job while that attempt runs, and NULL, which is refused, when it does not any more.
CREATE TABLE IF NOT EXISTS ended (
  job_id        BINARY(16) NOT NULL,
  fence         BIGINT     NOT NULL,
  running_since BIGINT     NOT NULL,
  result        MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  PRIMARY KEY (job_id, fence),
  CONSTRAINT ended_result_is_json CHECK (result IS NULL OR JSON_VALID(result)),
  CONSTRAINT ended_result_is_too_long CHECK (LENGTH(result) <= 1048576)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
