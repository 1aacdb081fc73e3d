#!/bin/sh
# Generates the Python code of the contract into a folder, by default proto/gen. The interpreter needs grpcio-tools (group `proto`).
set -eu
root=$(cd "$(dirname "$0")" && pwd)
out=${1:-$root/gen}
python=${PYTHON:-python3}
rm -rf "$out"
mkdir -p "$out"
cd "$root"
"$python" -m grpc_tools.protoc -I. --python_out="$out" --pyi_out="$out" rheostat/v1/*.proto buf/validate/validate.proto
"$python" -m grpc_tools.protoc -I. --grpc_python_out="$out" rheostat/v1/*_service.proto
touch "$out/rheostat/v1/__init__.py"  # and none above: `rheostat` is shared with the client, in client/
