-- Who may ask (tickr/tokens.py). ``version`` moves with each change of them, so that a node sees quickly that nothing has;
-- its row is also the lock that changes take their turns by.
CREATE TABLE IF NOT EXISTS tokens (
  id         CHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name       VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  digest     BINARY(32)   NOT NULL,
  scopes     VARCHAR(500) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at BIGINT       NOT NULL,
  created_by VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  expires_at BIGINT       NULL,
  used_at    BIGINT       NULL,
  revoked_at BIGINT       NULL,
  old_digest BINARY(32)   NULL,
  old_until  BIGINT       NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS tokens_version (
  id      TINYINT NOT NULL PRIMARY KEY,
  version BIGINT  NOT NULL
) ENGINE=InnoDB;

INSERT IGNORE INTO tokens_version (id, version) VALUES (1, 0);

-- Who changed what (tickr/trail.py).
CREATE TABLE IF NOT EXISTS trail (
  id      BINARY(16)   NOT NULL PRIMARY KEY,
  at      BIGINT       NOT NULL,
  who     VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  token   CHAR(16)     CHARACTER SET ascii COLLATE ascii_bin NULL,
  address VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  action  VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  method  VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  path    VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  subject VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  status  SMALLINT     NULL,
  KEY trail_at (at, id),
  KEY trail_who (who, id),
  KEY trail_subject (subject, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
