#!/usr/bin/env bash
# Runs the scenario of the Kitex client: run.sh ADDRESS KEY, for example run.sh 127.0.0.1:7401 plk_…
# Modules are pinned by go.mod and go.sum; ends with 0 where every answer was as expected.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 HOST:PORT KEY" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
go=$(command -v go || echo /usr/local/go/bin/go)

cd "$here"
mkdir -p .build
"$go" build -mod=readonly -o .build/scenario .
exec .build/scenario "$here/../../idl/coupon.thrift" "$1" "$2"
