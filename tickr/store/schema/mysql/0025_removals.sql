-- Which jobs that have ended are not kept any longer by an age of their own, and when: a row for each that says how long it
-- is kept, from its end on. In the order in which they are looked for. Other jobs have no row, and pay nothing.
CREATE TABLE IF NOT EXISTS removals (
  remove_at BIGINT     NOT NULL,
  job_id    BINARY(16) NOT NULL,
  PRIMARY KEY (remove_at, job_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
