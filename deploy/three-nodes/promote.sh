#!/bin/sh
# promote.sh SERVER OLD: makes the MariaDB at SERVER the primary in place of the one at OLD, which is dead or shall rest.
#
# Addresses are host:port. SERVER first carries out all that it was sent; of an OLD that still answers, all that it has. The
# administrator's login is in ~/.my.cnf.
set -eu
server=$1 old=$2
at() { address=$1 && shift && mariadb --host="${address%:*}" --port="${address##*:}" --skip-column-names "$@"; }
at_old() { at "$old" --connect-timeout=3 "$@"; }

# Two that take writes cannot be put together again: the old one must not, even if it is only slow.
if at_old --execute="SET SESSION lock_wait_timeout = 5; SET GLOBAL read_only = ON"; then
    wanted=$(at_old --execute="SELECT @@GLOBAL.gtid_binlog_pos")
elif at_old --execute="SELECT 'It answers, and goes on taking writes'"; then
    echo "Stop $old first. Nothing has been changed." >&2
    exit 1
else
    echo "$old does not answer. Be sure that it is off: if it only cannot be reached from here, it may take writes."
    at "$server" --execute="STOP SLAVE IO_THREAD"
    wanted=$(at "$server" --execute="SHOW SLAVE STATUS\G" --column-names | sed -n 's/^ *Gtid_IO_Pos: //p')
fi

if [ "$(at "$server" --execute="SELECT MASTER_GTID_WAIT('$wanted', 60)")" != 0 ]; then
    echo "$server has not carried out all up to $wanted within a minute: does its SQL thread run?" >&2
    exit 1
fi
at "$server" --execute="STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF"
echo "$server is the primary, with all up to $wanted"
