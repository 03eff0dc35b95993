-- Which jobs wait for which others: a row for each wait that is not over (tickr/links.py). Other jobs have no row, and pay
-- nothing. By ``on_id`` they are found when that job ends, by ``waiter`` when the one that waits is looked at.
CREATE TABLE IF NOT EXISTS links (
  on_id  BINARY(16) NOT NULL,
  waiter BINARY(16) NOT NULL,
  kind   TINYINT    NOT NULL,               -- links.Kind
  PRIMARY KEY (on_id, waiter),
  KEY links_waiter (waiter, on_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

-- Which jobs a job's handler has submitted, in order; kept as long as the parent.
CREATE TABLE IF NOT EXISTS children (
  parent BINARY(16) NOT NULL,
  place  INT        NOT NULL,
  child  BINARY(16) NOT NULL,
  PRIMARY KEY (parent, place),
  UNIQUE KEY children_child (child)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
