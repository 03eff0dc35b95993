-- Jobs that other programs submit within their own transactions: they insert ``job``, the body of POST /jobs, and nothing
-- else. A node takes the rows in the order of ``seq`` and deletes them; one that it refuses stays, with the reason.
-- ``id`` is the job's id where the body names none: a random UUID.
CREATE TABLE inbox (
  seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL DEFAULT (lower(
               hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8' ||
               substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
  job        TEXT    NOT NULL,
  refused_at INTEGER,
  reason     TEXT
) STRICT;

CREATE INDEX inbox_next ON inbox (refused_at, seq);
