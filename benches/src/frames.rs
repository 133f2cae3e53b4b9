//! Requests as bytes, encoded before the run.

/// The value that is stored and read: 100 bytes.
const VALUE: [u8; 100] = [b'v'; 100];

const STRING: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const STOP: u8 = 0;

/// `CacheGet` in one frame of the binary protocol.
pub(crate) fn thrift_get(key: &str) -> Vec<u8> {
    thrift("CacheGet", key, &[(1, b"bench"), (2, b"key")])
}

/// `CacheSet` in one frame of the binary protocol.
pub(crate) fn thrift_set(key: &str) -> Vec<u8> {
    thrift("CacheSet", key, &[(1, b"bench"), (2, b"key"), (3, &VALUE)])
}

/// A framed call whose request has text fields and `base.extra["authorization"]`.
fn thrift(method: &str, key: &str, fields: &[(i16, &[u8])]) -> Vec<u8> {
    let mut message = vec![0x80, 0x01, 0x00, 0x01];
    text(&mut message, method.as_bytes());
    message.extend(1_i32.to_be_bytes());
    field(&mut message, STRUCT, 1);
    for (id, value) in fields {
        field(&mut message, STRING, *id);
        text(&mut message, value);
    }
    field(&mut message, STRUCT, 255);
    field(&mut message, MAP, 6);
    message.extend([STRING, STRING]);
    message.extend(1_i32.to_be_bytes());
    text(&mut message, b"authorization");
    text(&mut message, format!("Bearer {key}").as_bytes());
    // Ends of the base, of the request and of the arguments.
    message.extend([STOP, STOP, STOP]);
    let mut frame = Vec::new();
    text(&mut frame, &message);
    frame
}

fn field(message: &mut Vec<u8>, kind: u8, id: i16) {
    message.push(kind);
    message.extend(id.to_be_bytes());
}

/// Bytes behind their length, as text and as a frame.
fn text(message: &mut Vec<u8>, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    message.extend(length.to_be_bytes());
    message.extend(bytes);
}

/// A read over HTTP/1.1.
pub(crate) fn http_get(host: &str, key: &str) -> Vec<u8> {
    format!(
        "GET /v1/cache/bench/entries/key HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n"
    )
    .into_bytes()
}

/// A write over HTTP/1.1.
pub(crate) fn http_set(host: &str, key: &str) -> Vec<u8> {
    let mut request = format!(
        "PUT /v1/cache/bench/entries/key HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        VALUE.len()
    )
    .into_bytes();
    request.extend(VALUE);
    request
}
