-- How long the oldest due job of a queue had waited, the longest seen in each minute, hour and day (store/backlog.py).
CREATE TABLE backlogs (
  step  INTEGER NOT NULL, -- store/sums.py, STEP_CODES
  at    INTEGER NOT NULL,
  queue TEXT    NOT NULL, -- '': of all queues that have no row in this step
  age   INTEGER NOT NULL, -- microseconds
  PRIMARY KEY (step, at, queue)
) STRICT, WITHOUT ROWID;

-- When somebody looked last: changed together with the rows above, so that of many nodes one looks.
CREATE TABLE backlog_looks (
  id INTEGER NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL
) STRICT;

INSERT INTO backlog_looks (id, at) VALUES (1, 0);
