-- What a running attempt said last of how far it is (JSON of tickr/jobs.py, Progress). NULL is free: plain jobs pay
-- nothing. A column that is there already, because a start was cut after it, is passed over (store/mysql_schema.py).
ALTER TABLE jobs ADD COLUMN progress MEDIUMTEXT NULL;

-- Which log of events this is: part of every cursor. Another one begins when the log is restored from a backup.
INSERT IGNORE INTO meta (name, value)
SELECT 'history', LEFT(SHA2(CONCAT(UUID(), RAND(), CONNECTION_ID(), NOW(6)), 256), 12);
