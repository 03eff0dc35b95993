-- Which jobs that have ended are not kept any longer by an age of their own, and when: a row for each that says how long it
-- is kept, from its end on. In the order in which they are looked for. Other jobs have no row, and pay nothing.
CREATE TABLE removals (
  remove_at INTEGER NOT NULL,
  job_id    BLOB    NOT NULL,
  PRIMARY KEY (remove_at, job_id)
) STRICT, WITHOUT ROWID;
