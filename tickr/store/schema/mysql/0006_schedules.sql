-- Which schedules are due next. A key that is there already, because a start was cut after it, is passed over.
ALTER TABLE schedules ADD KEY schedules_due (next_at, name);
