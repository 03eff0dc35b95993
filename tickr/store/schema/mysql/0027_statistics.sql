-- How much was done (tickr/tallies.py). A commit writes what it did into its row of events; the scheduler adds that up here,
-- into a row for each minute, hour and day with each pair of queue and type. ``weight`` is how many events it counts.
ALTER TABLE events ADD COLUMN tally MEDIUMTEXT NULL;

CREATE TABLE IF NOT EXISTS tallies (
  step   TINYINT        NOT NULL, -- store/sums.py, STEP_CODES
  at     BIGINT         NOT NULL,
  queue  VARBINARY(255) NOT NULL, -- '' in both: of all pairs beyond those that have rows
  type   VARBINARY(255) NOT NULL,
  weight BIGINT         NOT NULL,
  body   MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (step, at, queue, type)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

-- Up to which number the log has been added up: changed together with the rows above.
CREATE TABLE IF NOT EXISTS tallied (
  id  TINYINT NOT NULL PRIMARY KEY,
  seq BIGINT  NOT NULL,
  at  BIGINT  NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO tallied (id, seq, at) SELECT 1, seq, 0 FROM feed_head;

-- What somebody wants to see in the charts, a deploy say.
CREATE TABLE IF NOT EXISTS marks (
  id   BINARY(16) NOT NULL PRIMARY KEY,
  at   BIGINT     NOT NULL,
  text VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  KEY marks_at (at, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
