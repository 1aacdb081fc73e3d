#!/bin/sh
# Backs up a service while it serves: backup.sh DATA FILE.tar [options of redis-cli]
# DATA is its data folder. Options (-u rediss://..., -s socket) say where Redis is, unless it is the service's own, in the data folder.
#
# First Redis, as one moment has it; then the write-ahead logs; then all else. A row becomes Parquet before it leaves its write-ahead log, so whatever
# was acknowledged before this began is in the file. Needs redis-cli and GNU tar. Settings, certificates and keys are not in it: they are yours already.
set -eu
umask 077
if [ $# -lt 2 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
data=$(cd "$1" && pwd) file=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
shift 2
[ $# -gt 0 ] || set -- -s "$data/redis/redis.sock"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

copy() { # a file that is written to, or is gone, meanwhile is no fault
    tar --warning=no-file-changed --warning=no-file-removed --warning=no-file-ignored "$@" || [ $? -eq 1 ]
}

redis-cli "$@" --rdb "$work/redis.rdb" >&2
[ "$(head -c 5 "$work/redis.rdb")" = REDIS ] || { echo "backup: Redis gave no snapshot; nothing is written" >&2; exit 1; }
copy --create --file "$work/all.tar" --directory "$work" redis.rdb
cd "$data"
copy --append --file "$work/all.tar" journal*/id journal*/wal
copy --append --file "$work/all.tar" --exclude='./redis' --exclude='./redis.*' --exclude='./journal*/wal' .
mv "$work/all.tar" "$file"
echo "backup: $file" >&2
