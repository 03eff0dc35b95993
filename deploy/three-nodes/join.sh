#!/bin/sh
# join.sh PRIMARY SERVER: empties the MariaDB at SERVER, copies the primary's jobs to it and has it follow the primary.
#
# Addresses are host:port. For a new server and for one that was a primary once: that one may have stored what no other
# server has, so it must not go on from where it is. REPLICATION_PASSWORD is that of the user `replication`; the
# administrator's login is in ~/.my.cnf.
set -eu
primary=$1 server=$2
at() { address=$1 && shift && mariadb --host="${address%:*}" --port="${address##*:}" "$@"; }

at "$server" --execute="
    SET GLOBAL read_only = ON;
    STOP SLAVE; RESET SLAVE ALL; RESET MASTER; SET GLOBAL gtid_slave_pos = '';"

# What is copied is not in the copy's own binary log; the dump says from where to go on.
mariadb-dump --host="${primary%:*}" --port="${primary##*:}" \
    --single-transaction --gtid --master-data=1 --add-drop-database --databases tickr |
    at "$server" --init-command="SET SESSION sql_log_bin = 0"

# By its input: anybody on the machine can read a program's arguments.
at "$server" <<SQL
CHANGE MASTER TO MASTER_HOST = '${primary%:*}', MASTER_PORT = ${primary##*:}, MASTER_USER = 'replication',
    MASTER_PASSWORD = '$REPLICATION_PASSWORD', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos;
START SLAVE;
SQL
echo "$server follows $primary"
