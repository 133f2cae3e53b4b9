#!/usr/bin/env bash
# Runs the scenario of the Apache Thrift Python client: run.sh ADDRESS KEY, for example
# run.sh 127.0.0.1:7401 plk_… Installs what it needs beside itself; ends with 0 where every answer was as expected.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 HOST:PORT KEY" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)

if ! command -v thrift >/dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "the Thrift compiler is missing: apt-get install thrift-compiler" >&2
        exit 2
    fi
    apt-get update -qq
    apt-get install -y -qq thrift-compiler >/dev/null
fi
if [ ! -x "$here/.venv/bin/python" ]; then
    python3 -m venv "$here/.venv"
fi
"$here/.venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
rm -rf "$here/.gen"
mkdir "$here/.gen"
thrift -r --gen py -out "$here/.gen" "$here/../../idl/coupon.thrift"
PYTHONPATH="$here/.gen" exec "$here/.venv/bin/python" "$here/scenario.py" "$1" "$2"
