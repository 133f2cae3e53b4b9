#!/usr/bin/env bash
# The core operations of all five blocks with curl, errors included: run.sh HTTP_ADDRESS KEY, for example
# run.sh http://127.0.0.1:7400 plk_… Ends with 0 where every answer was as expected, with 1 at the first that was not.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: $0 HTTP_ADDRESS KEY" >&2
    exit 2
fi
base=${1%/}
case $base in http://* | https://*) ;; *) base=http://$base ;; esac
key=$2
for tool in curl jq; do
    if ! command -v "$tool" >/dev/null; then
        if [ "$(id -u)" -ne 0 ]; then
            echo "$tool is missing" >&2
            exit 2
        fi
        apt-get install -y -qq "$tool" >/dev/null
    fi
done

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
run=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')

fail() {
    echo "$*" >&2
    cat "$answer" >&2
    echo >&2
    exit 1
}

# call STATUS METHOD PATH [curl options]: the answer must have this status; its body is kept.
call() {
    local want=$1 method=$2 path=$3 got
    shift 3
    # The key goes through a file descriptor: a command line shows in the list of processes.
    got=$(curl --silent --show-error --max-time 30 --output "$answer" --write-out '%{http_code}' \
        --request "$method" --header @<(printf 'authorization: Bearer %s' "$key") "$@" "$base$path")
    [ "$got" = "$want" ] || fail "$method $path: expected $want, found $got"
}

# json STATUS METHOD PATH BODY [curl options]
json() {
    local want=$1 method=$2 path=$3 body=$4
    shift 4
    call "$want" "$method" "$path" --header 'content-type: application/json' --data-binary "$body" "$@"
}

# expect FILTER VALUE: a part of the last answer, by jq.
expect() {
    local found
    found=$(jq -r "$1" "$answer")
    [ "$found" = "$2" ] || fail "$1: expected $2, found $found"
}

part() { jq -r "$1" "$answer"; }

# ---- cache: values are raw bodies ----
entry=/v1/cache/curl-$run/entries/a
call 200 PUT "$entry?ttl_ms=60000" --header 'content-type: text/plain' --data-binary 'one'
version=$(part .version)
call 200 GET "$entry"
[ "$(cat "$answer")" = one ] || fail "the cached value"
call 200 PUT "$entry" --header "if-match: \"$version\"" --header 'content-type: text/plain' --data-binary 'two'
call 412 PUT "$entry" --header "if-match: \"$version\"" --header 'content-type: text/plain' --data-binary 'three'
expect .code 1006
json 200 POST "/v1/cache/curl-$run/batch-set" '{"items": [{"key": "k0", "value_base64": "MA=="}]}'
json 200 POST "/v1/cache/curl-$run/batch-get" '{"keys": ["k0", "none"]}'
expect '.items[0].value_base64' 'MA=='
expect '.items[1].found' false
call 404 GET "/v1/cache/curl-$run/entries/none"
call 200 DELETE "$entry"
expect .deleted true
call 200 GET "/v1/cache/curl-$run/stats"

# ---- queue ----
queue=curl-$run
json 200 PUT "/v1/queue/queues/$queue" '{}'
expect .created true
json 200 POST /v1/queue/bindings "{\"exchange\": \"$queue\", \"exchange_type\": \"topic\", \"queue\": \"$queue\", \"routing_key\": \"order.*\"}"
message="{\"message\": {\"exchange\": \"$queue\", \"routing_key\": \"order.paid\", \"body_base64\": \"AQI=\"}}"
json 200 POST /v1/queue/publish "$message" --header "idempotency-key: $run-1"
id=$(part .published.message_id)
json 200 POST /v1/queue/publish "$message" --header "idempotency-key: $run-1"
expect .published.message_id "$id"
json 200 POST /v1/queue/publish-batch "{\"messages\": [{\"routing_key\": \"$queue\", \"body_base64\": \"\"}]}"
json 200 POST /v1/queue/receive "{\"queue\": \"$queue\", \"max\": 2, \"wait_ms\": 5000}"
expect '.messages[0].body_base64' 'AQI='
first=$(part '.messages[0].receipt') second=$(part '.messages[1].receipt')
json 200 POST /v1/queue/ack "{\"queue\": \"$queue\", \"receipts\": [\"$first\"]}"
expect '.items[0].settled' true
json 200 POST /v1/queue/ack "{\"queue\": \"$queue\", \"receipts\": [\"$first\"]}"
expect '.items[0].code' 2105
json 200 POST /v1/queue/dead "{\"queue\": \"$queue\", \"receipts\": [\"$second\"], \"reason\": \"bad\"}"
json 200 POST /v1/queue/receive "{\"queue\": \"$queue.dead\", \"wait_ms\": 5000}"
expect '.messages[0].dead_letter.queue' "$queue"
json 422 POST /v1/queue/publish "{\"message\": {\"exchange\": \"$queue\", \"routing_key\": \"none\", \"body_base64\": \"\"}}"
expect .code 2104
call 200 DELETE "/v1/queue/queues/$queue"

# ---- monitor ----
metric=curl_${run}_total
for _ in 1 2; do
    json 200 POST /v1/monitor/increment-counter "{\"metric\": \"$metric\", \"delta\": 2}" --header "idempotency-key: $run-2"
    expect '.total == 2' true
done
json 200 POST /v1/monitor/set-gauge "{\"metric\": \"${metric}_gauge\", \"value\": 1.5}"
json 200 POST /v1/monitor/record-histogram "{\"metric\": \"${metric}_seconds\", \"observations\": [0.1, 0.2]}"
expect .count 2
json 200 POST /v1/monitor/get-metrics "{\"metric\": \"$metric\", \"aggregate\": \"sum\"}"
expect '.series[0].points[-1].value == 2' true
json 400 POST /v1/monitor/increment-counter "{\"metric\": \"$metric\", \"delta\": -1}"
expect .code 1001

# ---- audit ----
logged="{\"entry\": {\"operation\": \"merchant.approve\", \"operator\": {\"id\": \"u-1\"}, \"resource\": {\"type\": \"application\", \"id\": \"$run\"}, \"result\": \"success\"}}"
json 200 POST /v1/audit/records "$logged" --header "idempotency-key: $run-3"
record=$(part .receipt.id)
json 200 POST /v1/audit/records "$logged" --header "idempotency-key: $run-3"
expect .receipt.id "$record"
json 200 POST /v1/audit/query "{\"filter\": {\"resource_id\": \"$run\"}, \"count_total\": true}"
expect .total 1
call 200 GET "/v1/audit/records/$record"
expect .record.resource.id "$run"
json 200 POST /v1/audit/export "{\"filter\": {\"resource_id\": \"$run\"}, \"format\": \"csv\"}"
expect .records 1
json 200 POST /v1/audit/statistics "{\"filter\": {\"resource_id\": \"$run\"}}"
expect .total 1
json 200 POST /v1/audit/verify '{}'
expect .valid true
json 400 POST /v1/audit/records "${logged/success/perhaps}"
expect .code 1001

# ---- database ----
database=/v1/db/databases/curl-$run
json 200 PUT "$database" "{\"engine\": \"sqlite\", \"url\": \"curl-$run.db\"}"
json 200 POST "$database/query" '{"sql": "CREATE TABLE shop (id INTEGER PRIMARY KEY, name TEXT)"}'
insert='{"steps": [{"sql": "INSERT INTO shop (id, name) VALUES (?, ?)", "params": [{"int_value": "1"}, {"text_value": "Zoë"}], "expect_rows_affected": 1}]}'
json 200 POST "$database/transaction" "$insert" --header "idempotency-key: $run-4"
json 200 POST "$database/transaction" "$insert" --header "idempotency-key: $run-4"
expect .repeated true
json 200 POST "$database/query" '{"sql": "SELECT name FROM shop WHERE id = ?", "params": [{"int_value": "1"}]}'
expect '.rows[0].values[0].text_value' 'Zoë'
json 412 POST "$database/transaction" '{"steps": [{"sql": "DELETE FROM shop WHERE id = 99", "expect_rows_affected": 1}]}'
expect .code 1006
json 200 POST "$database/analyze" '{"sql": "SELECT name FROM shop WHERE name = '"'x'"' LIMIT 1"}'
expect '[.nodes[].kind] | contains(["full_scan"])' true
json 422 POST "$database/query" '{"sql": "SELECT nothing FROM nowhere"}'
expect .code 2402
call 200 DELETE "$database"
expect .removed true

# ---- who asks ----
call 200 GET /v1/access/who-am-i
call 200 GET /v1/health
expect .ready true
json 400 POST /v1/queue/ack '{"queue": "a", "receipts": [], "unknown": 1}'
key=plk_not_a_key
call 401 GET /v1/access/who-am-i
expect .code 1002

echo "curl: as expected"
