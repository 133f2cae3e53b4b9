//! Well-framed but wrong content is refused with the path of its field and the connection goes on; what the contract
//! does not know is skipped; broken framing ends the connection.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

#[cfg(test)]
mod support;

use bytes::{Bytes, BytesMut};
use faststr::FastStr;
use pilota::thrift::binary::TBinaryProtocol;
use pilota::thrift::compact::TCompactOutputProtocol;
use pilota::thrift::{
    TListIdentifier, TMapIdentifier, TMessageIdentifier, TMessageType, TOutputProtocol,
    TSetIdentifier, TStructIdentifier, TType, ThriftException,
};
use plinth_idl::contract::method;
use plinth_idl::coupon::CouponServiceRequestRecv;
use plinth_rpc::codec::{CompactOutput, Fault, WireProtocol};
use support::decoding::{Outcome, all, decoder, limits, next, one};
use support::frames::{PROTOCOLS, TRANSPORTS, Transport, call, tt_header, wrap};
use support::values::{Value, smallest};
use tokio::io::AsyncWriteExt;

const STRUCT: TStructIdentifier = TStructIdentifier { name: "" };

/// Writes the fields of a `CacheGet` request by hand.
trait Fields {
    fn write<P: TOutputProtocol>(&self, output: &mut P) -> Result<(), ThriftException>;
}

/// A `CacheGet` message with hand-written fields before and after which nothing stands.
fn cache_get(fields: &impl Fields, protocol: WireProtocol) -> Bytes {
    fn body<P: TOutputProtocol>(
        output: &mut P,
        fields: &impl Fields,
    ) -> Result<(), ThriftException> {
        output.write_message_begin(&TMessageIdentifier::new(
            FastStr::new("CacheGet"),
            TMessageType::Call,
            1,
        ))?;
        output.write_struct_begin(&STRUCT)?;
        output.write_field_begin(TType::Struct, 1)?;
        output.write_struct_begin(&STRUCT)?;
        fields.write(output)?;
        output.write_field_stop()?;
        output.write_struct_end()?;
        output.write_field_stop()?;
        output.write_struct_end()
    }
    let mut bytes = BytesMut::new();
    match protocol {
        WireProtocol::Binary => body(&mut TBinaryProtocol::new(&mut bytes, false), fields),
        WireProtocol::Compact => body(
            &mut CompactOutput(TCompactOutputProtocol::new(&mut bytes, false)),
            fields,
        ),
    }
    .expect("writes");
    bytes.freeze()
}

fn name<P: TOutputProtocol>(output: &mut P, id: i16, value: &[u8]) -> Result<(), ThriftException> {
    output.write_field_begin(TType::Binary, id)?;
    output.write_bytes(Bytes::copy_from_slice(value))?;
    output.write_field_end()
}

/// The request with an unknown field of each type between the known ones.
struct Unknown(TType);

impl Unknown {
    fn value<P: TOutputProtocol>(
        &self,
        output: &mut P,
        kind: TType,
        depth: usize,
    ) -> Result<(), ThriftException> {
        match kind {
            TType::Bool => output.write_bool(depth.is_multiple_of(2)),
            TType::I8 => output.write_i8(-1),
            TType::I16 => output.write_i16(i16::MIN),
            TType::I32 => output.write_i32(i32::MIN),
            TType::I64 => output.write_i64(i64::MIN),
            TType::Double => output.write_double(-0.5),
            // No text: an unknown binary field may hold anything.
            TType::Binary => output.write_bytes(Bytes::from_static(&[0xff, 0x00, 0xfe])),
            TType::Uuid => output.write_uuid([7; 16]),
            TType::Struct => {
                output.write_struct_begin(&STRUCT)?;
                for (id, kind) in (1..).zip(SCALARS) {
                    output.write_field_begin(kind, id)?;
                    self.value(output, kind, depth)?;
                    output.write_field_end()?;
                }
                output.write_field_stop()?;
                output.write_struct_end()
            }
            TType::List | TType::Set => self.elements(output, kind, depth),
            TType::Map => {
                output.write_map_begin(TMapIdentifier::new(TType::Bool, TType::Struct, 2))?;
                for entry in 0..2 {
                    self.value(output, TType::Bool, entry)?;
                    self.value(output, TType::Struct, entry)?;
                }
                output.write_map_end()
            }
            other => panic!("{other:?} has no values"),
        }
    }

    fn elements<P: TOutputProtocol>(
        &self,
        output: &mut P,
        kind: TType,
        depth: usize,
    ) -> Result<(), ThriftException> {
        let element = if depth == 0 {
            TType::List
        } else {
            TType::Binary
        };
        if kind == TType::List {
            output.write_list_begin(TListIdentifier::new(element, 20))?;
        } else {
            output.write_set_begin(TSetIdentifier {
                element_type: element,
                size: 20,
            })?;
        }
        for _ in 0..20 {
            self.value(output, element, depth + 1)?;
        }
        output.write_list_end()
    }
}

const SCALARS: [TType; 7] = [
    TType::Bool,
    TType::I8,
    TType::I16,
    TType::I32,
    TType::I64,
    TType::Double,
    TType::Binary,
];
const CONTAINERS: [TType; 5] = [
    TType::Uuid,
    TType::Struct,
    TType::List,
    TType::Set,
    TType::Map,
];

impl Fields for Unknown {
    fn write<P: TOutputProtocol>(&self, output: &mut P) -> Result<(), ThriftException> {
        name(output, 1, b"shop")?;
        for id in [40, 41, -7, 3_000] {
            output.write_field_begin(self.0, id)?;
            self.value(output, self.0, usize::from(id == 41))?;
            output.write_field_end()?;
        }
        name(output, 2, b"user:7")
    }
}

#[tokio::test]
async fn unknown_fields_of_every_type_are_skipped() {
    for protocol in PROTOCOLS {
        for kind in SCALARS.into_iter().chain(CONTAINERS) {
            let message = cache_get(&Unknown(kind), protocol);
            for transport in TRANSPORTS {
                let wrapped = wrap(&message, transport, &[]);
                let outcomes = all([&wrapped[..], &wrapped[..]].concat(), limits()).await;
                assert_eq!(
                    outcomes.len(),
                    2,
                    "{kind:?} {protocol:?} {transport:?}: {outcomes:?}"
                );
                for outcome in outcomes {
                    let Outcome::Call(call) = outcome else {
                        panic!("{kind:?} {protocol:?} {transport:?}: {outcome:?}");
                    };
                    let CouponServiceRequestRecv::CacheGet(arguments) = *call else {
                        panic!("CacheGet")
                    };
                    assert_eq!(arguments.request.namespace_name, "shop");
                    assert_eq!(arguments.request.key, "user:7");
                }
            }
        }
    }
}

/// The request with a field of another type.
struct Wrong(TType);

impl Fields for Wrong {
    fn write<P: TOutputProtocol>(&self, output: &mut P) -> Result<(), ThriftException> {
        name(output, 1, b"shop")?;
        output.write_field_begin(self.0, 2)?;
        Unknown(self.0).value(output, self.0, 0)?;
        output.write_field_end()
    }
}

/// The request with these bytes as its key.
struct Key(&'static [u8]);

impl Fields for Key {
    fn write<P: TOutputProtocol>(&self, output: &mut P) -> Result<(), ThriftException> {
        name(output, 1, b"shop")?;
        name(output, 2, self.0)
    }
}

/// The request without its namespace.
struct Keyless;

impl Fields for Keyless {
    fn write<P: TOutputProtocol>(&self, output: &mut P) -> Result<(), ThriftException> {
        name(output, 2, b"k")
    }
}

/// The message is refused so, and the one after it on the same connection is served.
async fn check(message: &Bytes, field: &str, why: &str) {
    let good = cache_get(&Key(b"k"), WireProtocol::Binary);
    for transport in TRANSPORTS {
        let bytes = [wrap(message, transport, &[]), wrap(&good, transport, &[])].concat();
        let outcomes = all(&bytes, limits()).await;
        let [refused, after] = outcomes.try_into().expect("two answers");
        if let Outcome::Refused { method, .. } = &refused {
            assert_eq!(method, "CacheGet");
        }
        assert_eq!(
            refused.refused(),
            (field.to_owned(), why.to_owned()),
            "{transport:?}"
        );
        assert!(after.is_call(), "the connection stays: {after:?}");
    }
}

#[tokio::test]
async fn content_faults_name_their_field() {
    for protocol in PROTOCOLS {
        check(
            &cache_get(&Keyless, protocol),
            "namespace_name",
            "is required",
        )
        .await;
        check(
            &cache_get(&Key(b"ab\xffc"), protocol),
            "key",
            "is not UTF-8 at byte 2",
        )
        .await;
        let wrong = cache_get(&Wrong(TType::I64), protocol);
        check(&wrong, "key", "expected string, found i64").await;
        let wrong = cache_get(&Wrong(TType::Bool), protocol);
        check(&wrong, "key", "expected string, found bool").await;
        let wrong = cache_get(&Wrong(TType::Struct), protocol);
        check(&wrong, "key", "expected string, found struct").await;
    }
}

#[tokio::test]
async fn paths_lead_into_lists_and_maps() {
    let method = method("CacheBatchSet").expect("declared");
    let item = |fields: &[(i16, Value)]| Value::Struct(fields.iter().cloned().collect());
    let good = item(&[(1, Value::Text("a".into())), (2, Value::Bytes(vec![1]))]);
    let bad = item(&[(1, Value::Text("b".into()))]);
    let Value::Struct(mut request) = smallest(method.request) else {
        panic!("a struct")
    };
    request.insert(2, Value::List(vec![good.clone(), good, bad]));
    for protocol in PROTOCOLS {
        let message = call(method, &Value::Struct(request.clone()), protocol);
        let refused = one(&message, limits()).await.refused();
        assert_eq!(refused, ("items[2].value".into(), "is required".into()));
    }
    // Entry 1 of base.extra with a value that is no UTF-8, in Binary by hand.
    let mut fields = vec![11, 0, 1, 0, 0, 0, 1, b's', 11, 0, 2, 0, 0, 0, 1, b'k'];
    fields.extend([12, 0, 255, 13, 0, 6, 11, 11, 0, 0, 0, 2]);
    fields.extend([
        0, 0, 0, 1, b'a', 0, 0, 0, 1, b'b', 0, 0, 0, 1, b'c', 0, 0, 0, 1, 0xff, 0, 0, 0,
    ]);
    let plain = cache_get(&Key(b""), WireProtocol::Binary);
    let head = plain.len() - (8 + 3 + 7 + 2) + 1;
    let message = [&plain[..head - 1], &fields].concat();
    let refused = one(&message, limits()).await;
    assert_eq!(
        refused.refused(),
        (
            "base.extra[1].value".into(),
            "is not UTF-8 at byte 0".into()
        )
    );
}

#[tokio::test]
async fn an_unknown_method_is_refused_and_the_connection_stays() {
    for protocol in PROTOCOLS {
        let mut unknown = BytesMut::from(&cache_get(&Key(b"k"), protocol)[..]);
        let at = unknown
            .windows(8)
            .position(|part| part == b"CacheGet")
            .expect("the name");
        unknown[at..at + 8].copy_from_slice(b"CacheGot");
        let good = cache_get(&Key(b"k"), protocol);
        let outcomes = all([&unknown[..], &good[..]].concat(), limits()).await;
        let [first, second] = outcomes.try_into().expect("two answers");
        assert!(matches!(
            first,
            Outcome::Refused { fault: Fault::UnknownMethod, method } if method == "CacheGot"
        ));
        assert!(second.is_call());
    }
}

#[tokio::test]
async fn broken_framing_ends_the_connection() {
    let good = cache_get(&Key(b"k"), WireProtocol::Binary);
    let framed = wrap(&good, Transport::Framed, &[]);
    let mut lies = BytesMut::from(&framed[..]);
    // The namespace claims more bytes than the frame has.
    let at = lies
        .windows(4)
        .position(|part| part == b"shop")
        .expect("the namespace");
    lies[at - 1] = 200;
    let mut negative = lies.clone();
    negative[at - 4] = 0xff;
    let mut trailing = BytesMut::from(&framed[..]);
    trailing.extend_from_slice(&[0]);
    trailing[3] += 1;
    let mut reply = BytesMut::from(&framed[..]);
    reply[7] = 2;
    let truncated = {
        let mut bytes = BytesMut::from(&framed[..framed.len() - 1]);
        bytes[3] -= 1;
        bytes
    };
    let cases: [(&[u8], &str); 9] = [
        (&lies, "a length of 200"),
        (&negative, "a negative length"),
        (&trailing, "1 bytes after the message"),
        (&reply, "a reply where a call is expected"),
        (&truncated, "ends before its message does"),
        (b"GET /v1/health HTTP/1.1\r\n\r\n", "not a Thrift message"),
        (
            &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00],
            "not a Thrift message",
        ),
        // Old Binary: the length of the name first.
        (
            &[
                0, 0, 0, 6, b'H', b'e', b'a', b'l', b't', b'h', 1, 0, 0, 0, 0, 0,
            ],
            "old Binary",
        ),
        (&tt_header(b"none", &[]), "no Thrift message"),
    ];
    for (bytes, part) in cases {
        let bytes = [bytes, &framed[..]].concat();
        let outcomes = all(&bytes, limits()).await;
        let [only] = outcomes.try_into().expect("nothing after it is served");
        let message = only.broken();
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[tokio::test]
async fn tt_headers_that_lie_or_ask_for_what_is_not_offered_are_refused() {
    let message = cache_get(&Key(b"k"), WireProtocol::Binary);
    let good = tt_header(&message, &[("authorization", "x")]);
    // Where a byte is changed, to what, and what is said.
    let cases: [(usize, u8, &str); 7] = [
        (7, 0x02, "streaming"),
        (14, 4, "protocol other than"),
        (15, 1, "transforms"),
        (16, 0x22, "unknown TTHeader block"),
        (18, 9, "ends before its size"),
        (20, 200, "ends before its size"),
        (13, 200, "ends before its size"),
    ];
    assert!(one(&good, limits()).await.is_call());
    for (at, value, part) in cases {
        let mut bytes = BytesMut::from(&good[..]);
        bytes[at] = value;
        let message = one(&bytes, limits()).await.broken();
        assert!(
            message.contains(part),
            "byte {at}: {message:?} does not say {part:?}"
        );
    }
}

#[tokio::test]
async fn headers_are_read_under_every_name_that_clients_send() {
    let message = cache_get(&Key(b"k"), WireProtocol::Compact);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (key, traced) in [
        ("authorization", "traceparent"),
        ("RPC_PERSIST_AUTHORIZATION", "RPC_TRANSIT_TRACEPARENT"),
        ("RPC_PERSIST_authorization", "Traceparent"),
    ] {
        let frame = tt_header(
            &message,
            &[
                (key, "Bearer plk_1"),
                (traced, trace),
                ("idempotency_key", "i"),
            ],
        );
        let mut decoder = decoder(std::io::Cursor::new(frame), limits());
        let (outcome, headers) = next(&mut decoder).await;
        assert!(outcome.is_call());
        assert_eq!(headers.credential.expect("a credential").expose(), "plk_1");
        assert_eq!(headers.traceparent.as_deref(), Some(trace));
        assert_eq!(headers.idempotency_key.as_deref(), Some("i"));
    }
}

#[tokio::test]
async fn messages_that_drip_in_byte_by_byte_are_served() {
    for protocol in PROTOCOLS {
        for transport in TRANSPORTS {
            let wrapped = wrap(&cache_get(&Unknown(TType::Map), protocol), transport, &[]);
            let (mut client, server) = tokio::io::duplex(1);
            let bytes = [&wrapped[..], &wrapped[..]].concat();
            let sender = tokio::spawn(async move {
                for byte in bytes {
                    client
                        .write_all(&[byte])
                        .await
                        .expect("read on the other side");
                }
            });
            let mut decoder = decoder(server, limits());
            for _ in 0..2 {
                let (outcome, _) = next(&mut decoder).await;
                assert!(outcome.is_call(), "{transport:?} {protocol:?}: {outcome:?}");
            }
            assert!(matches!(next(&mut decoder).await.0, Outcome::End));
            sender.await.expect("sent");
        }
    }
}
