-- What attempts keep for the attempts after them: at most one row for a job, and none for most. ``created_at`` is the
-- job's, so that a row never speaks for another job that has got its id; ``look_at`` is when it is to be looked at whether
-- the job has ended.
CREATE TABLE IF NOT EXISTS checkpoints (
  job_id     BINARY(16) NOT NULL PRIMARY KEY,
  created_at BIGINT     NOT NULL,
  look_at    BIGINT     NOT NULL,
  value      MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  KEY checkpoints_look (look_at)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
