#!/bin/sh
# promote.sh SERVER: makes the MariaDB at SERVER (host:port) the primary, once it has carried out all that it was sent.
#
# First make sure that the old primary is gone, or takes no writes: two that do cannot be put together again.
set -eu
server=$1
at() { address=$1 && shift && mariadb --host="${address%:*}" --port="${address##*:}" "$@"; }

at "$server" --execute="STOP SLAVE IO_THREAD"
received=$(at "$server" --execute="SHOW SLAVE STATUS\G" | sed -n 's/^ *Gtid_IO_Pos: //p')
carried_out=$(at "$server" --skip-column-names --execute="SELECT MASTER_GTID_WAIT('$received', 60)")
if [ "$carried_out" != 0 ]; then
    echo "$server has not carried out all that it was sent, up to $received: is its SQL thread running?" >&2
    exit 1
fi
at "$server" --execute="STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF"
echo "$server is the primary, with all up to $received"
