-- Which schedules are due next.
CREATE INDEX schedules_due ON schedules (next_at, name);
