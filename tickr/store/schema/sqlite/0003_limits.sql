-- What few jobs have, in one text (JSON of tickr/jobs.py, Extras), and whose job it is.
ALTER TABLE jobs ADD COLUMN extras TEXT;
ALTER TABLE jobs ADD COLUMN limit_key TEXT;

-- With the key in it, what waits is still read from the index alone.
DROP INDEX jobs_order;
CREATE INDEX jobs_order ON jobs (state, queue, priority, run_at, id, limit_key);

-- What has been set on a queue (JSON of tickr/queues.py, Controls), and what was started in it lately (Window). A queue
-- without a row is plain: its jobs ask nobody.
CREATE TABLE queue_controls (
  name     TEXT NOT NULL PRIMARY KEY,
  controls TEXT NOT NULL,
  starts   TEXT
) STRICT, WITHOUT ROWID;

ALTER TABLE queues DROP COLUMN paused;
