-- What jobs log: a row for some lines of one attempt, and none for most jobs. ``last`` is the number of the last of them
-- within the attempt, ``size`` is in bytes; ``marks`` are the instants, ``messages`` what they say, both JSON arrays.
CREATE TABLE IF NOT EXISTS job_log (
  job_id   BINARY(16) NOT NULL,
  fence    BIGINT     NOT NULL,
  last     BIGINT     NOT NULL,
  attempt  BIGINT     NOT NULL,
  count    INT        NOT NULL,
  size     BIGINT     NOT NULL,
  marks    MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  messages MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (job_id, fence, last)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
