-- Dead letters are counted from an index alone, which holds nobody else. The column is kept by the database: what kind of
-- error a failed job has, '' for none, and NULL for all other jobs. It takes no room in the rows.
ALTER TABLE jobs ADD COLUMN dead_kind TEXT
  AS (CASE WHEN state = 6 THEN coalesce(json_extract(error, '$.kind'), '') END) VIRTUAL;
CREATE INDEX jobs_dead ON jobs (dead_kind, type, queue, finished_at, id) WHERE dead_kind IS NOT NULL;
