-- On each server, by its administrator. Put passwords of your own here.
SET SESSION sql_log_bin = 0;
CREATE DATABASE IF NOT EXISTS tickr CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS tickr@'%' IDENTIFIED BY 'secret';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON tickr.* TO tickr@'%';
CREATE USER IF NOT EXISTS replication@'%' IDENTIFIED BY 'secret';
GRANT REPLICATION SLAVE ON *.* TO replication@'%';
