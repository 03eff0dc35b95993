-- Jobs that other programs submit within their own transactions: they insert ``job``, the body of POST /jobs, and nothing
-- else. A node takes the rows in the order of ``seq`` and deletes them; one that it refuses stays, with the reason.
-- ``id`` is the job's id where the body names none. UUID() as it is: wrapped into other functions, some versions of MySQL
-- compute it once for all rows of a statement.
CREATE TABLE IF NOT EXISTS inbox (
  seq        BIGINT     NOT NULL AUTO_INCREMENT PRIMARY KEY,
  id         CHAR(36)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT (UUID()),
  job        MEDIUMTEXT NOT NULL,
  refused_at BIGINT     NULL,
  reason     TEXT       NULL,
  KEY inbox_next (refused_at, seq)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
