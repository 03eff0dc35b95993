-- What few jobs have, in one text (JSON of tickr/jobs.py, Extras), and whose job it is. NULL is free: plain jobs pay nothing.
ALTER TABLE jobs ADD COLUMN extras MEDIUMTEXT NULL;
ALTER TABLE jobs ADD COLUMN limit_key VARBINARY(255) NULL;

-- With the key in it, what waits is still read from the index alone; where there is no key, that is a byte.
ALTER TABLE jobs DROP KEY jobs_order, ADD KEY jobs_order (state, queue, priority, run_at, id, type, limit_key);

-- What has been set on a queue (JSON of tickr/queues.py, Controls), and what was started in it lately (Window). A queue
-- without a row is plain: its jobs ask nobody.
CREATE TABLE IF NOT EXISTS queue_controls (
  name     VARBINARY(255) NOT NULL PRIMARY KEY,
  controls TEXT           NOT NULL,
  starts   TEXT           NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE queues DROP COLUMN paused;
