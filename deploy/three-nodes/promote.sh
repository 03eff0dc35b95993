#!/bin/sh
# promote.sh SERVER OLD: makes the MariaDB at SERVER the primary in place of the one at OLD, which is dead or shall rest.
#
# Addresses are host:port. SERVER first carries out all that it was sent; of an OLD that still answers, all that it has. The
# administrator's login is in ~/.my.cnf.
set -eu
server=$1 old=$2
at() { address=$1 && shift && timeout 90 mariadb --host="${address%:*}" --port="${address##*:}" --connect-timeout=3 "$@"; }
value() { at "$1" --skip-column-names --execute="$2"; }

# Two that take writes cannot be put together again: the old one must not, even if it is only slow.
if said=$(at "$old" --execute="SET SESSION lock_wait_timeout = 5; SET GLOBAL read_only = ON" 2>&1); then
    wanted=$(value "$old" "SELECT @@GLOBAL.gtid_binlog_pos")
else
    case $said in
    *"ERROR 20"*) # nobody there, or nobody who answers
        echo "$old does not answer. Be sure that it is off: if it only cannot be reached from here, it may take writes." ;;
    *)
        echo "$said. Stop $old first; nothing has been changed." >&2
        exit 1 ;;
    esac
    at "$server" --execute="STOP SLAVE IO_THREAD"
    wanted=$(at "$server" --execute="SHOW SLAVE STATUS\G" | sed -n 's/^ *Gtid_IO_Pos: //p')
fi

if [ "$(value "$server" "SELECT MASTER_GTID_WAIT('$wanted', 60)")" != 0 ]; then
    echo "$server has not carried out all up to $wanted within a minute: does its SQL thread run?" >&2
    exit 1
fi
at "$server" --execute="STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF"
echo "$server is the primary, with all up to $wanted"
