-- How long the oldest due job of a queue had waited, the longest seen in each minute, hour and day (store/backlog.py).
CREATE TABLE IF NOT EXISTS backlogs (
  step  TINYINT        NOT NULL, -- store/sums.py, STEP_CODES
  at    BIGINT         NOT NULL,
  queue VARBINARY(255) NOT NULL, -- '': of all queues that have no row in this step
  age   BIGINT         NOT NULL, -- microseconds
  PRIMARY KEY (step, at, queue)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

-- When somebody looked last: changed together with the rows above, so that of many nodes one looks.
CREATE TABLE IF NOT EXISTS backlog_looks (
  id TINYINT NOT NULL PRIMARY KEY,
  at BIGINT  NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO backlog_looks (id, at) VALUES (1, 0);
