-- Who may ask (tickr/tokens.py). ``version`` moves with each change of them, so that a node sees quickly that nothing has.
CREATE TABLE tokens (
  id         TEXT NOT NULL PRIMARY KEY,
  name       TEXT NOT NULL,
  digest     BLOB NOT NULL,
  scopes     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  expires_at INTEGER,
  used_at    INTEGER,
  revoked_at INTEGER,
  old_digest BLOB,
  old_until  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens_version (
  id      INTEGER NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT;

INSERT INTO tokens_version (id, version) VALUES (1, 0);

-- Who changed what (tickr/trail.py).
CREATE TABLE trail (
  id      BLOB    NOT NULL PRIMARY KEY,
  at      INTEGER NOT NULL,
  who     TEXT    NOT NULL,
  token   TEXT,
  address TEXT    NOT NULL,
  action  TEXT    NOT NULL,
  method  TEXT    NOT NULL,
  path    TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  status  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX trail_at ON trail (at, id);
CREATE INDEX trail_who ON trail (who, id);
CREATE INDEX trail_subject ON trail (subject, id);
