//! Each limit of the checked codec, at the limit and one past it, in every transport and protocol that has it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

#[cfg(test)]
mod support;

use std::time::Duration;

use bytes::Bytes;
use pilota::thrift::TMessageType;
use plinth_core::limits::{BATCH_ITEMS_MAX, ELEMENTS_MAX, NESTING_DEPTH_MAX};
use plinth_idl::contract::{MethodSchema, method};
use plinth_rpc::codec::{CodecLimits, Fault, WireProtocol};
use support::decoding::{Outcome, all, decoder, limits, next, one};
use support::frames::{PROTOCOLS, TRANSPORTS, Transport, call, message, tt_header, wrap};
use support::values::{Value, smallest};
use tokio::io::AsyncWriteExt;

fn schema(name: &str) -> &'static MethodSchema {
    method(name).expect("a method of the contract")
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// The smallest request of a method with some fields set.
fn request(method: &MethodSchema, fields: &[(i16, Value)]) -> Value {
    let Value::Struct(mut request) = smallest(method.request) else {
        panic!("a request is a struct")
    };
    request.extend(fields.iter().cloned());
    Value::Struct(request)
}

/// A `CacheSet` whose message takes exactly so many bytes.
fn cache_set_of(bytes: usize, protocol: WireProtocol) -> Bytes {
    let method = schema("CacheSet");
    let sized = |length: usize| {
        let value = Value::Bytes(vec![b'v'; length]);
        call(method, &request(method, &[(3, value)]), protocol)
    };
    let length = bytes - (sized(bytes).len() - bytes);
    // The length of a length changes in Compact: look around.
    let found =
        (length.saturating_sub(4)..=length + 4).find(|length| sized(*length).len() == bytes);
    sized(found.expect("some payload has this size"))
}

fn framing(outcome: Outcome, part: &str) {
    let message = outcome.broken();
    assert!(message.contains(part), "{message:?} does not say {part:?}");
}

#[tokio::test]
async fn a_frame_may_be_as_large_as_the_limit() {
    const FRAME_BYTES: usize = 100_000;
    for protocol in PROTOCOLS {
        for transport in TRANSPORTS {
            let limits = CodecLimits {
                frame_bytes_max: FRAME_BYTES,
                ..limits()
            };
            // A frame inside of a TTHeader has its length inside of the payload.
            let room = if transport == Transport::TtHeaderFramed {
                4
            } else {
                0
            };
            let at = cache_set_of(FRAME_BYTES - room, protocol);
            let outcome = one(wrap(&at, transport, &[]), limits.clone()).await;
            assert!(outcome.is_call(), "{transport:?} {protocol:?}: {outcome:?}");
            let over = cache_set_of(FRAME_BYTES - room + 1, protocol);
            let outcome = one(wrap(&over, transport, &[]), limits).await;
            framing(outcome, "100000");
        }
    }
}

#[tokio::test]
async fn a_claimed_length_costs_nothing_before_its_bytes_come() {
    for claimed in [0x7fff_ffff_u32, 0xffff_ffff, 17 * 1024 * 1024] {
        for head in [&[0x80, 0x01][..], &[0x82, 0x21], &[0x10, 0x00]] {
            let mut bytes = claimed.to_be_bytes().to_vec();
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(&[0; 12]);
            let outcome = one(&bytes, limits()).await;
            assert!(
                matches!(outcome, Outcome::Broken(_)),
                "{claimed:x} {head:x?}: {outcome:?}"
            );
        }
    }
    // Within the limit, but the bytes never come: the connection ends.
    let mut bytes = (16_u32 * 1024 * 1024).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0x80, 0x01, 0, 1]);
    assert!(matches!(one(&bytes, limits()).await, Outcome::End));
}

#[tokio::test]
async fn a_tt_header_may_be_as_large_as_the_limit() {
    let method = schema("Health");
    let message = call(method, &request(method, &[]), WireProtocol::Binary);
    // Fixed part 10, protocol and transforms 2, block and count 3, two lengths 4, name 1: so much value fills the rest.
    let value = |header: usize| "v".repeat(header - 20);
    let limits = CodecLimits {
        header_bytes_max: 1_026,
        ..limits()
    };
    let at = tt_header(&message, &[("n", &value(1_026))]);
    assert!(one(&at, limits.clone()).await.is_call());
    let over = tt_header(&message, &[("n", &value(1_027))]);
    framing(one(&over, limits).await, "TTHeader of 1030 bytes");
}

/// A field that the contract does not know, nested so deep, in the request of `Health`.
fn nested(depth: usize, protocol: WireProtocol) -> Bytes {
    let plain = call(schema("Health"), &request(schema("Health"), &[]), protocol);
    let (head, tail) = plain.split_at(plain.len() - 2);
    // Field 100: struct, in field 1 of which the next one stands.
    let (first, inner): (&[u8], &[u8]) = match protocol {
        WireProtocol::Binary => (&[12, 0, 100], &[12, 0, 1]),
        WireProtocol::Compact => (&[0x0c, 0xc8, 0x01], &[0x1c]),
    };
    let ends = vec![0; depth];
    let levels = [first, &inner.repeat(depth - 1)].concat();
    [head, &levels, &ends, tail].concat().into()
}

#[tokio::test]
async fn nesting_ends_at_its_limit() {
    for protocol in PROTOCOLS {
        for transport in TRANSPORTS {
            // Arguments and request are two levels of their own.
            let at = wrap(&nested(NESTING_DEPTH_MAX - 2, protocol), transport, &[]);
            let over = wrap(&nested(NESTING_DEPTH_MAX - 1, protocol), transport, &[]);
            let outcomes = all([at.clone(), over, at].concat(), limits()).await;
            assert!(
                outcomes[0].is_call(),
                "{transport:?} {protocol:?}: {:?}",
                outcomes[0]
            );
            if transport == Transport::Buffered {
                assert!(
                    matches!(&outcomes[1], Outcome::Broken(message) if message.contains("64 levels"))
                );
            } else {
                let [_, over, after] = outcomes.try_into().expect("three answers");
                let (field, message) = over.refused();
                assert!(field.starts_with("#100.#1.#1"), "{field}");
                assert_eq!(message, "is nested more than 64 levels deep");
                assert!(after.is_call(), "the connection stays");
            }
        }
    }
}

/// `base.extra` with so many entries.
fn extra(entries: usize) -> Value {
    let entries = (0..entries).map(|entry| {
        let key = text(&format!("{entry}"));
        (format!("{entry:08}"), (key, text("")))
    });
    Value::Struct([(6, Value::Map(entries.collect()))].into())
}

#[tokio::test]
async fn lists_and_maps_may_have_as_many_elements_as_the_limit() {
    let method = schema("Health");
    for protocol in PROTOCOLS {
        let at = call(
            method,
            &request(method, &[(255, extra(ELEMENTS_MAX))]),
            protocol,
        );
        assert!(one(&at, limits()).await.is_call());
        let over = call(
            method,
            &request(method, &[(255, extra(ELEMENTS_MAX + 1))]),
            protocol,
        );
        let outcomes = all([over, at].concat(), limits()).await;
        let [over, after] = outcomes.try_into().expect("two answers");
        let (field, message) = over.refused();
        assert_eq!(field, "base.extra");
        assert_eq!(message, "has 65537 elements, at most 65536 are allowed");
        assert!(after.is_call(), "the connection stays");
    }
}

#[tokio::test]
async fn a_batch_may_have_as_many_items_as_the_limit() {
    let method = schema("CacheBatchGet");
    let keys = |count| Value::List(vec![text("k"); count]);
    for protocol in PROTOCOLS {
        let at = call(
            method,
            &request(method, &[(2, keys(BATCH_ITEMS_MAX))]),
            protocol,
        );
        assert!(one(&at, limits()).await.is_call());
        let over = call(
            method,
            &request(method, &[(2, keys(BATCH_ITEMS_MAX + 1))]),
            protocol,
        );
        let (field, message) = one(&over, limits()).await.refused();
        assert_eq!(field, "keys");
        assert_eq!(message, "has 1001 elements, at most 1000 are allowed");
    }
}

#[tokio::test]
async fn decoded_bytes_have_a_budget() {
    let method = schema("CacheBatchSet");
    let item = smallest(
        plinth_idl::contract::STRUCTS
            .iter()
            .find(|it| it.name == "CacheSetItem")
            .expect("declared"),
    );
    let items = Value::List(vec![item; 500]);
    for protocol in PROTOCOLS {
        let message = call(method, &request(method, &[(2, items.clone())]), protocol);
        let mut least = 0;
        let mut most = 16 * 1024 * 1024;
        // The smallest budget that takes it.
        while least + 1 < most {
            let middle = usize::midpoint(least, most);
            let limits = CodecLimits {
                decoded_bytes_max: middle,
                ..limits()
            };
            match one(&message, limits).await {
                Outcome::Call(_) => most = middle,
                refused => {
                    let (_, why) = refused.refused();
                    assert!(why.contains("once decoded"), "{why}");
                    least = middle;
                }
            }
        }
        let slots = 500 * size_of::<plinth_idl::cache::CacheSetItem>();
        assert!(
            most > slots,
            "the slots of the list alone take {slots} bytes, the budget was {most}"
        );
    }
}

#[tokio::test]
async fn a_method_name_has_a_limit() {
    for protocol in PROTOCOLS {
        let named = |length: usize| {
            message(
                &"m".repeat(length),
                TMessageType::Call,
                protocol,
                |output| {
                    output.value(
                        &plinth_idl::contract::TypeSchema::Struct(schema("Health").arguments),
                        &Value::Struct([(1, request(schema("Health"), &[]))].into()),
                    )
                },
            )
        };
        let outcome = one(named(128), limits()).await;
        assert!(matches!(
            outcome,
            Outcome::Refused {
                fault: Fault::UnknownMethod,
                ..
            }
        ));
        framing(
            one(named(129), limits()).await,
            "method name past its limit",
        );
    }
}

#[tokio::test]
async fn a_silent_connection_ends_and_a_slow_frame_is_refused() {
    let limits = CodecLimits {
        idle_timeout: Duration::from_millis(30),
        frame_timeout: Duration::from_millis(30),
        ..limits()
    };
    let (client, server) = tokio::io::duplex(1_024);
    let mut silent = decoder(server, limits.clone());
    assert!(matches!(next(&mut silent).await.0, Outcome::End));
    drop(client);
    for begin in [
        &[0, 0, 0, 9, 0x80, 0x01, 0][..],
        &[0x80, 0x01, 0, 1, 0],
        &[0],
    ] {
        let (mut client, server) = tokio::io::duplex(1_024);
        let mut slow = decoder(server, limits.clone());
        client.write_all(begin).await.expect("room");
        framing(next(&mut slow).await.0, "took longer than 30 ms");
        drop(client);
    }
}

#[tokio::test]
async fn a_silence_is_counted_from_the_last_call() {
    const IDLE: Duration = Duration::from_millis(1_000);
    let limits = CodecLimits {
        idle_timeout: IDLE,
        ..limits()
    };
    let method = schema("Health");
    let message = call(method, &smallest(method.request), WireProtocol::Binary);
    let frame = wrap(&message, Transport::Framed, &[]);
    let (mut client, server) = tokio::io::duplex(1_024);
    let mut decoder = decoder(server, limits);
    // Two pauses that together are longer than the time-out.
    let calls = async {
        for _ in 0..2 {
            tokio::time::sleep(IDLE * 6 / 10).await;
            client.write_all(&frame).await.expect("room");
        }
    };
    let answers = async {
        for _ in 0..2 {
            assert!(next(&mut decoder).await.0.is_call());
        }
    };
    tokio::join!(calls, answers);
    let silent = std::time::Instant::now();
    assert!(matches!(next(&mut decoder).await.0, Outcome::End));
    assert!(silent.elapsed() >= IDLE, "{:?}", silent.elapsed());
}

/// Room for one frame of 1 MiB and nothing else.
fn room_for_one() -> (CodecLimits, Bytes) {
    const FRAME_BYTES: usize = 1024 * 1024;
    let settings = plinth_rpc::RpcSettings {
        frame_bytes_max: FRAME_BYTES,
        receiving_bytes_max: FRAME_BYTES + 64 * 1024 + 4,
        decoded_bytes_max: 4 * FRAME_BYTES,
        frame_timeout_ms: 200,
        ..plinth_rpc::RpcSettings::default()
    };
    settings.validate().expect("the smallest that is allowed");
    let message = cache_set_of(FRAME_BYTES, WireProtocol::Binary);
    let message = wrap(&message, Transport::Framed, &[]);
    (CodecLimits::new(&settings), message)
}

#[tokio::test]
async fn large_frames_wait_for_their_share_of_memory() {
    let (limits, bytes) = room_for_one();
    let mut first = decoder(std::io::Cursor::new(bytes.clone()), limits.clone());
    let mut second = decoder(std::io::Cursor::new(bytes.clone()), limits.clone());
    assert!(next(&mut first).await.0.is_call());
    // The first one keeps its share until its next message is waited for.
    framing(next(&mut second).await.0, "took longer");
    assert!(matches!(next(&mut first).await.0, Outcome::End));
    let mut third = decoder(std::io::Cursor::new(bytes), limits);
    assert!(next(&mut third).await.0.is_call());
}

#[tokio::test]
async fn a_claimed_length_takes_no_memory_from_others() {
    let (limits, bytes) = room_for_one();
    let begun = bytes.get(..1_000).expect("longer").to_vec();
    // They are told of a whole frame and get the beginning of it; a client that holds the line is like this.
    let (_held, open) = tokio::io::duplex(8);
    let claims = tokio::io::AsyncReadExt::chain(std::io::Cursor::new(begun), open);
    let mut claiming = decoder(claims, limits.clone());
    let mut honest = decoder(std::io::Cursor::new(bytes), limits);
    let (claimed, answered) = tokio::join!(next(&mut claiming), next(&mut honest));
    framing(claimed.0, "took longer");
    assert!(answered.0.is_call());
}
