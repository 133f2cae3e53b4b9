// The core operations of all five blocks through Kitex's generic client: JSON over the IDL file, by TTHeader, by Framed
// and over a multiplexed connection, errors included. Run by run.sh; it ends at the first answer that is not the
// expected one.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/bytedance/gopkg/cloud/metainfo"
	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/client/genericclient"
	"github.com/cloudwego/kitex/pkg/generic"
	"github.com/cloudwego/kitex/pkg/transmeta"
	"github.com/cloudwego/kitex/transport"
)

// fields is a request or a part of it, by the names of the IDL.
type fields map[string]any

// plinth is one client. By TTHeader the key travels as metainfo, otherwise in base.extra.
type plinth struct {
	client  genericclient.Client
	key     string
	headers bool
}

// failure ends the run.
type failure struct{ text string }

func fail(format string, arguments ...any) {
	panic(failure{fmt.Sprintf(format, arguments...)})
}

func connect(idl, address, key string, headers bool, options ...client.Option) *plinth {
	provider, err := generic.NewThriftFileProvider(idl)
	if err != nil {
		fail("the IDL: %v", err)
	}
	described, err := generic.JSONThriftGeneric(provider)
	if err != nil {
		fail("the IDL: %v", err)
	}
	options = append(options, client.WithHostPorts(address), client.WithRPCTimeout(20*time.Second))
	made, err := genericclient.NewClient("plinth", described, options...)
	if err != nil {
		fail("the client: %v", err)
	}
	return &plinth{client: made, key: key, headers: headers}
}

func (p *plinth) send(method string, request fields) (map[string]any, error) {
	ctx := context.Background()
	if p.key != "" && p.headers {
		ctx = metainfo.WithPersistentValue(ctx, "authorization", "Bearer "+p.key)
	}
	if p.key != "" && !p.headers {
		request["base"] = fields{"caller": "go-scenario", "extra": fields{"authorization": "Bearer " + p.key}}
	}
	body, err := json.Marshal(request)
	if err != nil {
		fail("%s: %v", method, err)
	}
	answer, err := p.client.GenericCall(ctx, method, string(body))
	if err != nil {
		return nil, err
	}
	var decoded map[string]any
	decoder := json.NewDecoder(strings.NewReader(answer.(string)))
	// Versions are 64 bits wide.
	decoder.UseNumber()
	if err := decoder.Decode(&decoded); err != nil {
		fail("%s: %v in %v", method, err, answer)
	}
	return decoded, nil
}

func (p *plinth) call(method string, request fields) map[string]any {
	answer, err := p.send(method, request)
	if err != nil {
		fail("%s: %v", method, err)
	}
	return answer
}

var code = regexp.MustCompile(`"code":\s*(\d+)`)

// refused expects the declared exception with a code; the generic client hands it over as the text of an error.
func (p *plinth) refused(want string, method string, request fields) string {
	answer, err := p.send(method, request)
	if err == nil {
		fail("%s was not refused with %s: %v", method, want, answer)
	}
	found := code.FindStringSubmatch(err.Error())
	if found == nil || found[1] != want {
		fail("%s: expected the code %s, found %v", method, want, err)
	}
	return err.Error()
}

// at follows names and indices into an answer.
func at(answer any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, _ := answer.(map[string]any)
			answer = object[step]
		case int:
			list, _ := answer.([]any)
			if step < 0 {
				step += len(list)
			}
			if step < 0 || step >= len(list) {
				fail("no element %d in %v", step, answer)
			}
			answer = list[step]
		}
	}
	return answer
}

func equal(what string, found, want any) {
	if number, is := found.(json.Number); is {
		found = number.String()
	}
	if !reflect.DeepEqual(found, want) {
		fail("%s: expected %#v, found %#v", what, want, found)
	}
}

func length(answer any) int {
	list, _ := answer.([]any)
	return len(list)
}

// binary is a payload as the generic client takes it.
func binary(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func cache(p *plinth, run string) {
	space := "go-" + run
	first := p.call("CacheSet", fields{"namespace_name": space, "key": "a", "value": binary("\x00\xff"), "ttl_ms": 60_000})
	got := p.call("CacheGet", fields{"namespace_name": space, "key": "a"})
	equal("CacheGet", got["value"], binary("\x00\xff"))
	equal("version", got["version"], first["version"].(json.Number).String())
	equal("a missing key", p.call("CacheGet", fields{"namespace_name": space, "key": "none"})["found"], false)
	p.call("CacheSet", fields{"namespace_name": space, "key": "a", "value": binary("2"), "condition": "version", "version": first["version"]})
	p.refused("1006", "CacheSet", fields{"namespace_name": space, "key": "a", "value": binary("3"), "condition": "version", "version": first["version"]})
	p.call("CacheBatchSet", fields{"namespace_name": space, "items": []fields{
		{"key": "k0", "value": binary("0")}, {"key": "k1", "value": binary("1")},
	}})
	batch := p.call("CacheBatchGet", fields{"namespace_name": space, "keys": []string{"k1", "none"}})
	equal("CacheBatchGet", at(batch, "items", 0, "value"), binary("1"))
	equal("CacheBatchGet", at(batch, "items", 1, "found"), false)
	p.refused("2002", "CacheExpire", fields{"namespace_name": space, "key": "none", "ttl_ms": 1_000})
	equal("CacheDelete", p.call("CacheDelete", fields{"namespace_name": space, "key": "a"})["deleted"], true)
	p.call("CacheStats", fields{"namespace_name": space})
	text := p.refused("1001", "CacheSet", fields{"namespace_name": space, "key": "", "value": ""})
	if !strings.Contains(text, "key") {
		fail("the refused field is not named: %s", text)
	}
}

func queue(p *plinth, run string) {
	name, exchange := "go-"+run, "go-"+run+"-events"
	equal("QueueCreateQueue", p.call("QueueCreateQueue", fields{"queue": name})["created"], true)
	p.call("QueueBind", fields{"exchange": exchange, "exchange_type": "topic", "queue": name, "routing_key": "order.*"})
	message := fields{"exchange": exchange, "routing_key": "order.paid", "body": binary("\x01"), "headers": fields{"a": "b"}}
	first := p.call("QueuePublish", fields{"message": message, "request_id": run + "-1"})
	again := p.call("QueuePublish", fields{"message": message, "request_id": run + "-1"})
	equal("the first answer again", at(again, "published", "message_id"), at(first, "published", "message_id"))
	p.call("QueuePublishBatch", fields{"messages": []fields{{"routing_key": name, "body": binary("0")}}})
	received := p.call("QueueReceive", fields{"queue": name, "max": 2, "wait_ms": 5_000})
	equal("QueueReceive", length(received["messages"]), 2)
	equal("QueueReceive", at(received, "messages", 0, "body"), binary("\x01"))
	receipt := at(received, "messages", 0, "receipt")
	equal("QueueAck", at(p.call("QueueAck", fields{"queue": name, "receipts": []any{receipt}}), "items", 0, "settled"), true)
	lost := p.call("QueueAck", fields{"queue": name, "receipts": []any{receipt}})
	equal("the same receipt again", at(lost, "items", 0, "code"), "2105")
	p.call("QueueDead", fields{"queue": name, "receipts": []any{at(received, "messages", 1, "receipt")}, "reason": "bad"})
	dead := p.call("QueueReceive", fields{"queue": name + ".dead", "wait_ms": 5_000})
	equal("the dead letter", at(dead, "messages", 0, "dead_letter", "queue"), name)
	p.refused("2104", "QueuePublish", fields{"message": fields{"exchange": exchange, "routing_key": "none", "body": ""}})
	p.refused("1004", "QueueReceive", fields{"queue": name + "-none"})
	p.call("QueueDeleteQueue", fields{"queue": name})
}

func monitor(p *plinth, run string) {
	name := "go_" + run + "_total"
	for range 2 {
		total := p.call("MonitorIncrementCounter", fields{"metric": name, "delta": 2.0, "request_id": run + "-inc"})
		equal("MonitorIncrementCounter", total["total"], "2")
	}
	p.call("MonitorSetGauge", fields{"metric": name + "_gauge", "value": 1.5})
	p.call("MonitorRecordHistogram", fields{"metric": name + "_seconds", "observations": []float64{0.1, 0.2}})
	accepted := p.call("MonitorRecordBatch", fields{"samples": []fields{{"metric": name, "labels": fields{"to": "y"}, "increment": 1.0}}})
	equal("MonitorRecordBatch", accepted["accepted"], "1")
	series := p.call("MonitorGetMetrics", fields{"metric": name, "aggregate": "sum"})
	equal("the sum over both series", at(series, "series", 0, "points", -1, "value"), "3")
	p.refused("1001", "MonitorIncrementCounter", fields{"metric": name, "delta": -1.0})
}

func audit(p *plinth, run string) {
	entry := fields{
		"operation": "merchant.approve", "operator": fields{"id": "u-1", "name": "Zoë"},
		"resource": fields{"type": "merchant_application", "id": run}, "result": "success",
	}
	first := p.call("AuditLogOperation", fields{"entry": entry, "request_id": run + "-audit"})
	again := p.call("AuditLogOperation", fields{"entry": entry, "request_id": run + "-audit"})
	equal("the first receipt again", at(again, "receipt", "id"), at(first, "receipt", "id"))
	p.call("AuditLogBatch", fields{"entries": []fields{entry, entry}})
	page := p.call("AuditQueryLogs", fields{"filter": fields{"resource_id": run}, "limit": 2, "count_total": true})
	equal("the total", page["total"], "3")
	rest := p.call("AuditQueryLogs", fields{"filter": fields{"resource_id": run}, "limit": 2, "cursor": page["next_cursor"]})
	equal("the last page", length(rest["records"]), 1)
	record := p.call("AuditGetRecord", fields{"record": at(first, "receipt", "id")})
	equal("AuditGetRecord", at(record, "record", "operator", "name"), "Zoë")
	p.call("AuditExportLogs", fields{"filter": fields{"resource_id": run}, "format": "csv"})
	equal("AuditGetStatistics", p.call("AuditGetStatistics", fields{"filter": fields{"resource_id": run}})["total"], "3")
	equal("AuditVerify", p.call("AuditVerify", fields{})["valid"], true)
	entry["result"] = "perhaps"
	p.refused("1001", "AuditLogOperation", fields{"entry": entry})
}

func database(p *plinth, run string) {
	name := "go-" + run
	p.call("DbRegisterDatabase", fields{"database": name, "engine": "sqlite", "url": name + ".db"})
	p.call("DbExecuteQuery", fields{"database": name, "sql": "CREATE TABLE shop (id INTEGER PRIMARY KEY, name TEXT)"})
	insert := fields{
		"sql": "INSERT INTO shop (id, name) VALUES (?, ?)", "params": []fields{{"int_value": 1}, {"text_value": "Zoë"}},
		"expect_rows_affected": 1,
	}
	p.call("DbExecuteTransaction", fields{"database": name, "steps": []fields{insert}, "request_id": run + "-db"})
	again := p.call("DbExecuteTransaction", fields{"database": name, "steps": []fields{insert}, "request_id": run + "-db"})
	equal("the first answer again", again["repeated"], true)
	answer := p.call("DbExecuteQuery", fields{"database": name, "sql": "SELECT name FROM shop WHERE id = ?", "params": []fields{{"int_value": 1}}})
	equal("DbExecuteQuery", at(answer, "rows", 0, "values", 0, "text_value"), "Zoë")
	p.refused("1006", "DbExecuteTransaction", fields{"database": name, "steps": []fields{
		{"sql": "DELETE FROM shop WHERE id = 99", "expect_rows_affected": 1},
	}})
	plan := p.call("DbAnalyzeQuery", fields{"database": name, "sql": "SELECT name FROM shop WHERE name = 'x' LIMIT 1"})
	if length(plan["nodes"]) == 0 {
		fail("a plan without nodes: %v", plan)
	}
	p.refused("2402", "DbExecuteQuery", fields{"database": name, "sql": "SELECT nothing FROM nowhere"})
	equal("DbRemoveDatabase", p.call("DbRemoveDatabase", fields{"database": name})["removed"], true)
}

func access(p *plinth) {
	me := p.call("AccessWhoAmI", fields{})
	if me["principal"] == "" || me["tenant"] == "" {
		fail("who am I: %v", me)
	}
	equal("Health", p.call("Health", fields{})["ready"], true)
	key := p.key
	p.key = ""
	p.refused("1002", "AccessWhoAmI", fields{})
	p.key = "plk_not_a_key"
	p.refused("1002", "CacheGet", fields{"namespace_name": "a", "key": "b"})
	p.key = key
}

func scenario(name string, p *plinth) {
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		fail("no randomness: %v", err)
	}
	run := hex.EncodeToString(random)
	cache(p, run)
	queue(p, run)
	monitor(p, run)
	audit(p, run)
	database(p, run)
	access(p)
	fmt.Printf("kitex, %s: as expected\n", name)
}

func main() {
	defer func() {
		if failed, is := recover().(failure); is {
			fmt.Fprintln(os.Stderr, failed.text)
			os.Exit(1)
		}
	}()
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go run . IDL HOST:PORT KEY")
		os.Exit(2)
	}
	idl, address, key := os.Args[1], os.Args[2], os.Args[3]
	tt := []client.Option{client.WithTransportProtocol(transport.TTHeader), client.WithMetaHandler(transmeta.ClientTTHeaderHandler)}
	scenario("TTHeader", connect(idl, address, key, true, tt...))
	scenario("Framed", connect(idl, address, key, false, client.WithTransportProtocol(transport.Framed)))
	scenario("TTHeaderFramed", connect(idl, address, key, true,
		client.WithTransportProtocol(transport.TTHeaderFramed), client.WithMetaHandler(transmeta.ClientTTHeaderHandler)))
	scenario("Buffered", connect(idl, address, key, false))
	scenario("TTHeader multiplexed", connect(idl, address, key, true, append(tt, client.WithMuxConnection(1))...))
}
