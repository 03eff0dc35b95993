-- On each server, as its root, with passwords of your own. Not replicated: each has them by itself.
SET SESSION sql_log_bin = 0;
CREATE DATABASE IF NOT EXISTS tickr CHARACTER SET utf8mb4;

CREATE USER IF NOT EXISTS tickr@'%' IDENTIFIED BY 'secret';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON tickr.* TO tickr@'%';

CREATE USER IF NOT EXISTS replication@'%' IDENTIFIED BY 'secret';
GRANT REPLICATION SLAVE ON *.* TO replication@'%';

-- For the scripts, from any of the machines.
CREATE USER IF NOT EXISTS administrator@'%' IDENTIFIED BY 'secret';
GRANT ALL ON tickr.* TO administrator@'%';
GRANT RELOAD, BINLOG ADMIN, BINLOG MONITOR, READ_ONLY ADMIN, REPLICATION MASTER ADMIN, REPLICATION SLAVE ADMIN,
    SLAVE MONITOR ON *.* TO administrator@'%';
