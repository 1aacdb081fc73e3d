#!/bin/sh
# Restores a backup for a service that is not running: restore.sh FILE.tar DATA [REDIS]
# DATA is the data folder to be made. REDIS is the folder of a Redis that is stopped and has `appendonly yes`; without it the service's own is meant.
#
# The snapshot becomes Redis' append-only file, which may begin with one: so Redis reads it, and goes on appending to it.
set -eu
umask 077
if [ $# -lt 2 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
file=$1 data=$2 redis=${3:-$2/redis}
for folder in "$data" "$redis"; do
    if [ -n "$(ls -A "$folder" 2>/dev/null || true)" ]; then
        echo "restore: $folder is not empty; nothing is changed" >&2
        exit 1
    fi
done
mkdir -p "$data"
tar --extract --file "$file" --directory "$data"
mkdir -p "$redis"
mv "$data/redis.rdb" "$redis/appendonly.aof"
echo "restore: $data and $redis are ready" >&2
