-- How much was done (tickr/tallies.py). A commit writes what it did into its row of events; the scheduler adds that up here,
-- into a row for each minute, hour and day with each pair of queue and type. ``weight`` is how many events it counts.
ALTER TABLE events ADD COLUMN tally TEXT;

CREATE TABLE tallies (
  step   INTEGER NOT NULL, -- store/sums.py, STEP_CODES
  at     INTEGER NOT NULL,
  queue  TEXT    NOT NULL, -- '' in both: of all pairs beyond those that have rows
  type   TEXT    NOT NULL,
  weight INTEGER NOT NULL,
  body   TEXT    NOT NULL,
  PRIMARY KEY (step, at, queue, type)
) STRICT, WITHOUT ROWID;

-- Up to which number the log has been added up: changed together with the rows above.
CREATE TABLE tallied (
  id  INTEGER NOT NULL PRIMARY KEY,
  seq INTEGER NOT NULL,
  at  INTEGER NOT NULL
) STRICT;

INSERT INTO tallied (id, seq, at)
VALUES (1, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0), 0);

-- What somebody wants to see in the charts, a deploy say.
CREATE TABLE marks (
  id   BLOB    NOT NULL PRIMARY KEY,
  at   INTEGER NOT NULL,
  text TEXT    NOT NULL
) STRICT;

CREATE INDEX marks_at ON marks (at, id);
