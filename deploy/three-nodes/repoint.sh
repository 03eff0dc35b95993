#!/bin/sh
# repoint.sh SERVER: has the HAProxy of this machine lead to the MariaDB at SERVER (host:port). On each machine.
set -eu
config=${HAPROXY_CONFIG:-/etc/haproxy/haproxy.cfg}
sed -i "s/^\( *server primary \).*/\1$1/" "$config"
${HAPROXY_RELOAD:-systemctl reload haproxy}
echo "MySQL is $1 here"
