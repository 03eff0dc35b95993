-- Which jobs wait for which others: a row for each wait that is not over (tickr/links.py). Other jobs have no row, and pay
-- nothing. By ``on_id`` they are found when that job ends, by ``waiter`` when the one that waits is looked at.
CREATE TABLE links (
  on_id  BLOB    NOT NULL,
  waiter BLOB    NOT NULL,
  kind   INTEGER NOT NULL,                  -- links.Kind
  PRIMARY KEY (on_id, waiter)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_waiter ON links (waiter);

-- Which jobs a job's handler has submitted, in order; kept as long as the parent.
CREATE TABLE children (
  parent BLOB    NOT NULL,
  place  INTEGER NOT NULL,
  child  BLOB    NOT NULL UNIQUE,
  PRIMARY KEY (parent, place)
) STRICT, WITHOUT ROWID;
