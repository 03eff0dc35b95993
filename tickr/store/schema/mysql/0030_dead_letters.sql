-- Dead letters are counted from an index alone. The column is kept by the database: what kind of error a failed job has, ''
-- for none, and NULL for all other jobs. It takes no room in the rows; in the index, what is NULL goes to its end.
ALTER TABLE jobs ADD COLUMN dead_kind VARBINARY(64)
  GENERATED ALWAYS AS (IF(state = 6, LEFT(COALESCE(JSON_UNQUOTE(JSON_EXTRACT(error, '$.kind')), ''), 64), NULL)) VIRTUAL;
ALTER TABLE jobs ADD KEY jobs_dead (dead_kind, type, queue, finished_at);
