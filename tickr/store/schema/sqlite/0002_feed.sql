-- What a running attempt said last of how far it is (JSON of tickr/jobs.py, Progress).
ALTER TABLE jobs ADD COLUMN progress TEXT;

-- Which log of events this is: part of every cursor. Another one begins when the log is restored from a backup.
INSERT INTO meta (name, value) VALUES ('history', lower(hex(randomblob(6))));
