"""The core operations of all five blocks through Apache Thrift's Python library, errors included.

Run by run.sh. The same scenario runs over Framed and Buffered, in Binary and Compact. It ends at the first answer that
is not the expected one.
"""

import importlib
import sys
import uuid

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport

from base.ttypes import Base
from coupon import CouponService
from support.audit.ttypes import AuditEntry, AuditFilter, AuditOperator, AuditResource
from support.cache.ttypes import CacheSetItem
from support.common.ttypes import SupportError
from support.db.ttypes import DbStep, DbValue
from support.monitor.ttypes import MonitorSample
from support.queue.ttypes import QueuePublishMessage

BLOCKS = {"Cache", "Queue", "Monitor", "Audit", "Db", "Access"}


class Plinth:
    """One connection. Calls take the fields of the request by name."""

    def __init__(self, address, key, transport, protocol):
        host, port = address.rsplit(":", 1)
        socket = TSocket(host.strip("[]"), int(port))
        socket.setTimeout(30_000)
        self.transport = transport(socket)
        self.client = CouponService.Client(protocol(self.transport))
        self.key = key
        self.transport.open()

    def close(self):
        self.transport.close()

    def call(self, method, **fields):
        block = next((block for block in BLOCKS if method.startswith(block)), "Health")
        types = importlib.import_module(f"support.{block.lower()}.ttypes")
        # Framed and Buffered have no headers: the key travels in base.extra.
        extra = {"authorization": f"Bearer {self.key}"} if self.key else {}
        fields.setdefault("base", Base(caller="python-scenario", extra=extra))
        return getattr(self.client, method)(getattr(types, f"{method}Request")(**fields))

    def refused(self, code, method, **fields):
        """The call must be refused with this code; returns the exception."""
        try:
            answer = self.call(method, **fields)
        except SupportError as error:
            equal(error.code, code, f"code of {method} ({error.message})")
            assert error.message and error.reason and error.trace_id, error
            return error
        raise AssertionError(f"{method} was not refused with {code}: {answer}")


def equal(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def cache(plinth, run):
    space = f"py-{run}"
    first = plinth.call("CacheSet", namespace_name=space, key="a", value=b"\x00\xff", ttl_ms=60_000, content_type="text/x")
    got = plinth.call("CacheGet", namespace_name=space, key="a")
    equal((got.found, got.value, got.content_type, got.version), (True, b"\x00\xff", "text/x", first.version), "CacheGet")
    equal(got.base_resp.status_code, 0, "status_code")
    assert got.base_resp.extra["traceparent"].startswith("00-")
    equal(plinth.call("CacheGet", namespace_name=space, key="none").found, False, "a missing key")
    second = plinth.call("CacheSet", namespace_name=space, key="a", value=b"2", condition="version", version=first.version)
    assert second.version > first.version
    plinth.refused(1006, "CacheSet", namespace_name=space, key="a", value=b"3", condition="version", version=first.version)
    items = [CacheSetItem(key=f"k{number}", value=str(number).encode()) for number in range(3)]
    plinth.call("CacheBatchSet", namespace_name=space, items=items)
    batch = plinth.call("CacheBatchGet", namespace_name=space, keys=["k2", "none", "k0"])
    equal([item.value for item in batch.items], [b"2", None, b"0"], "CacheBatchGet")
    equal(plinth.call("CacheExists", namespace_name=space, keys=["k0", "none"]).present, [True, False], "CacheExists")
    plinth.refused(2002, "CacheExpire", namespace_name=space, key="none", ttl_ms=1_000)
    equal(plinth.call("CacheDelete", namespace_name=space, key="a").deleted, True, "CacheDelete")
    assert plinth.call("CacheStats", namespace_name=space).hits >= 3
    error = plinth.refused(1001, "CacheSet", namespace_name=space, key="", value=b"")
    equal([violation.field for violation in error.violations], ["key"], "the refused field")


def queue(plinth, run):
    name, exchange = f"py-{run}", f"py-{run}-events"
    equal(plinth.call("QueueCreateQueue", queue=name).created, True, "QueueCreateQueue")
    equal(plinth.call("QueueCreateQueue", queue=name).created, False, "the same declaration again")
    plinth.call("QueueBind", exchange=exchange, exchange_type="topic", queue=name, routing_key="order.*")
    message = QueuePublishMessage(exchange=exchange, routing_key="order.paid", body=b"\x01\x02", headers={"a": "b"})
    first = plinth.call("QueuePublish", message=message, request_id=f"{run}-1")
    equal(first.published.queues, [name], "routed")
    again = plinth.call("QueuePublish", message=message, request_id=f"{run}-1")
    equal(again.published.message_id, first.published.message_id, "the first answer again")
    batch = [QueuePublishMessage(routing_key=name, body=str(number).encode()) for number in range(2)]
    equal(len(plinth.call("QueuePublishBatch", messages=batch).published), 2, "QueuePublishBatch")
    received = plinth.call("QueueReceive", queue=name, max=3, wait_ms=5_000).messages
    equal([message.body for message in received], [b"\x01\x02", b"0", b"1"], "QueueReceive")
    equal(received[0].headers, {"a": "b"}, "headers")
    done = plinth.call("QueueAck", queue=name, receipts=[received[0].receipt])
    equal(done.items[0].settled, True, "QueueAck")
    lost = plinth.call("QueueAck", queue=name, receipts=[received[0].receipt])
    equal((lost.items[0].settled, lost.items[0].code), (False, 2105), "the same receipt again")
    plinth.call("QueueRetry", queue=name, receipts=[received[1].receipt], after_ms=0, reason="try again")
    plinth.call("QueueDead", queue=name, receipts=[received[2].receipt], reason="bad")
    dead = plinth.call("QueueReceive", queue=f"{name}.dead", max=1, wait_ms=5_000).messages
    equal(dead[0].dead_letter.queue, name, "the dead letter's origin")
    equal(dead[0].history[-1].error, "bad", "the dead letter's history")
    plinth.refused(2104, "QueuePublish", message=QueuePublishMessage(exchange=exchange, routing_key="none", body=b""))
    plinth.refused(1004, "QueueReceive", queue=f"{name}-none")
    plinth.call("QueueDeleteQueue", queue=name)


def monitor(plinth, run):
    name = f"py_{run}_total".replace("-", "_")
    for expected in (2.0, 2.0, 4.0):
        request_id = f"{run}-inc" if expected == 2.0 else f"{run}-inc-2"
        total = plinth.call("MonitorIncrementCounter", metric=name, labels={"to": "x"}, delta=2.0, request_id=request_id)
        equal(total.total, expected, "MonitorIncrementCounter")
    gauge, histogram = f"{name}_gauge", f"{name}_seconds"
    plinth.call("MonitorSetGauge", metric=gauge, value=1.5)
    equal(plinth.call("MonitorRecordHistogram", metric=histogram, observations=[0.1, 0.2]).count, 2, "observations")
    samples = [MonitorSample(metric=gauge, value=2.5), MonitorSample(metric=name, labels={"to": "y"}, increment=1.0)]
    equal(plinth.call("MonitorRecordBatch", samples=samples).accepted, 2, "MonitorRecordBatch")
    series = plinth.call("MonitorGetMetrics", metric=name, aggregate="sum").series
    equal(series[0].points[-1].value, 5.0, "the sum over both series")
    equal(plinth.call("MonitorListMetrics", prefix=name).metrics[0].metric_type, "counter", "MonitorListMetrics")
    plinth.refused(1001, "MonitorIncrementCounter", metric=name, delta=-1.0)
    plinth.refused(1001, "MonitorSetGauge", metric="not a name", value=1.0)


def audit(plinth, run):
    entry = AuditEntry(
        operation="merchant.approve",
        operator=AuditOperator(id="u-1", name="Zoë", roles=["reviewer"]),
        resource=AuditResource(type="merchant_application", id=run),
        result="success",
        details='{"score": 7}',
    )
    first = plinth.call("AuditLogOperation", entry=entry, request_id=f"{run}-audit")
    again = plinth.call("AuditLogOperation", entry=entry, request_id=f"{run}-audit")
    equal(again.receipt.id, first.receipt.id, "the first receipt again")
    equal(len(plinth.call("AuditLogBatch", entries=[entry, entry]).receipts), 2, "AuditLogBatch")
    mine = AuditFilter(resource_id=run)
    page = plinth.call("AuditQueryLogs", filter=mine, limit=2, count_total=True)
    equal((len(page.records), page.total), (2, 3), "the first page")
    rest = plinth.call("AuditQueryLogs", filter=mine, limit=2, cursor=page.next_cursor)
    equal((len(rest.records), rest.next_cursor), (1, None), "the last page")
    record = plinth.call("AuditGetRecord", record=first.receipt.id)
    equal((record.record.operator.name, record.proof.leaf_index), ("Zoë", first.receipt.index), "AuditGetRecord")
    export = plinth.call("AuditExportLogs", filter=mine, format="jsonl")
    equal((export.records, export.data.count(b"\n")), (3, 3), "AuditExportLogs")
    statistics = plinth.call("AuditGetStatistics", filter=mine)
    equal((statistics.total, statistics.by_result.top[0].key), (3, "success"), "AuditGetStatistics")
    equal(plinth.call("AuditVerify").valid, True, "AuditVerify")
    entry.result = "perhaps"
    plinth.refused(1001, "AuditLogOperation", entry=entry)
    plinth.refused(1004, "AuditGetRecord", record=str(uuid.uuid4()))


def database(plinth, run):
    name = f"py-{run}"
    plinth.call("DbRegisterDatabase", database=name, engine="sqlite", url=f"{name}.db")
    plinth.call("DbExecuteQuery", database=name, sql="CREATE TABLE shop (id INTEGER PRIMARY KEY, name TEXT, part BLOB)")
    insert = DbStep(
        sql="INSERT INTO shop (id, name, part) VALUES (?, ?, ?)",
        params=[DbValue(int_value=1), DbValue(text_value="Zoë"), DbValue(bytes_value=b"\x00\xff")],
        expect_rows_affected=1,
    )
    done = plinth.call("DbExecuteTransaction", database=name, steps=[insert], request_id=f"{run}-db")
    equal((done.results[0].rows_affected, done.repeated), (1, False), "DbExecuteTransaction")
    again = plinth.call("DbExecuteTransaction", database=name, steps=[insert], request_id=f"{run}-db")
    equal(again.repeated, True, "the first answer again")
    answer = plinth.call("DbExecuteQuery", database=name, sql="SELECT name, part FROM shop WHERE id = ?", params=[DbValue(int_value=1)])
    values = answer.rows[0].values
    equal((values[0].text_value, values[1].bytes_value), ("Zoë", b"\x00\xff"), "DbExecuteQuery")
    wrong = DbStep(sql="DELETE FROM shop WHERE id = 99", expect_rows_affected=1)
    plinth.refused(1006, "DbExecuteTransaction", database=name, steps=[DbStep(sql="DELETE FROM shop"), wrong])
    count = plinth.call("DbExecuteQuery", database=name, sql="SELECT count(*) FROM shop")
    equal(count.rows[0].values[0].int_value, 1, "rolled back")
    plan = plinth.call("DbAnalyzeQuery", database=name, sql="SELECT name FROM shop WHERE name = 'x' LIMIT 1")
    assert any(node.kind == "full_scan" for node in plan.nodes), plan.nodes
    plinth.call("DbGetSlowQueries", database=name, include_fast=True)
    plinth.refused(2402, "DbExecuteQuery", database=name, sql="SELECT nothing FROM nowhere")
    plinth.refused(1001, "DbExecuteQuery", database=name, sql="SELECT 1; SELECT 2")
    assert name in [info.database for info in plinth.call("DbListDatabases", prefix=name).databases]
    equal(plinth.call("DbRemoveDatabase", database=name).removed, True, "DbRemoveDatabase")


def access(plinth, address, transport, protocol):
    me = plinth.call("AccessWhoAmI")
    assert me.principal and me.tenant, me
    assert plinth.call("Health").ready
    stranger = Plinth(address, "", transport, protocol)
    stranger.refused(1002, "AccessWhoAmI")
    stranger.key = "plk_not_a_key"
    stranger.refused(1002, "CacheGet", namespace_name="a", key="b")
    # A required field that is missing is refused with its name, and the connection goes on.
    stranger.key = plinth.key
    error = stranger.refused(1001, "CacheGet", namespace_name="a")
    equal([violation.field for violation in error.violations], ["key"], "the missing field")
    assert stranger.call("Health").status
    stranger.close()


def unknown_method(plinth):
    """A method that does not exist is an application exception, and the connection goes on."""
    real = CouponService.Health_args.write
    plinth.client._seqid = 0
    protocol = plinth.client._oprot
    protocol.writeMessageBegin("NoSuchMethod", 1, 0)
    real(CouponService.Health_args(), protocol)
    protocol.writeMessageEnd()
    protocol.trans.flush()
    try:
        plinth.client.recv_Health()
    except TApplicationException as error:
        equal(error.type, TApplicationException.UNKNOWN_METHOD, "the exception of an unknown method")
    else:
        raise AssertionError("an unknown method was answered")
    assert plinth.call("Health").status


def main():
    address, key = sys.argv[1:]
    for transport in (TFramedTransport, TBufferedTransport):
        for protocol in (TBinaryProtocol, TCompactProtocol):
            run = uuid.uuid4().hex[:12]
            plinth = Plinth(address, key, transport, protocol)
            cache(plinth, run)
            queue(plinth, run)
            monitor(plinth, run)
            audit(plinth, run)
            database(plinth, run)
            access(plinth, address, transport, protocol)
            unknown_method(plinth)
            plinth.close()
            print(f"python, {transport.__name__}, {protocol.__name__}: as expected")


if __name__ == "__main__":
    main()
