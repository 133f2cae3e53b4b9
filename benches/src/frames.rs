//! Requests as bytes, encoded before the run.

/// The value that is stored and read: 100 bytes.
pub const VALUE: [u8; 100] = [b'v'; 100];

const STRING: u8 = 11;
const STRUCT: u8 = 12;
const MAP: u8 = 13;
const LIST: u8 = 15;
const STOP: u8 = 0;

/// `CacheGet` in one frame of the binary protocol.
pub fn thrift_get(key: &str) -> Vec<u8> {
    thrift("CacheGet", key, &[(1, b"bench"), (2, b"key")])
}

/// `CacheSet` in one frame of the binary protocol.
pub fn thrift_set(key: &str) -> Vec<u8> {
    thrift("CacheSet", key, &[(1, b"bench"), (2, b"key"), (3, &VALUE)])
}

/// `CacheBatchGet` of the keys `key:0` and so on in one frame of the binary protocol.
pub fn thrift_batch_get(key: &str, keys: usize) -> Vec<u8> {
    let mut list = vec![STRING];
    list.extend(i32::try_from(keys).unwrap_or(i32::MAX).to_be_bytes());
    for number in 0..keys {
        text(&mut list, batch_key(number).as_bytes());
    }
    thrift_with("CacheBatchGet", key, &[(1, b"bench")], Some((2, &list)))
}

/// The name of one key of a batch.
pub fn batch_key(number: usize) -> String {
    format!("key:{number:020}")
}

/// A framed call whose request has text fields and `base.extra["authorization"]`.
fn thrift(method: &str, key: &str, fields: &[(i16, &[u8])]) -> Vec<u8> {
    thrift_with(method, key, fields, None)
}

/// The same with a list that is encoded already.
fn thrift_with(
    method: &str,
    key: &str,
    fields: &[(i16, &[u8])],
    list: Option<(i16, &[u8])>,
) -> Vec<u8> {
    let mut message = vec![0x80, 0x01, 0x00, 0x01];
    text(&mut message, method.as_bytes());
    message.extend(1_i32.to_be_bytes());
    field(&mut message, STRUCT, 1);
    for (id, value) in fields {
        field(&mut message, STRING, *id);
        text(&mut message, value);
    }
    if let Some((id, list)) = list {
        field(&mut message, LIST, id);
        message.extend(list);
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

/// A read of Redis in its own protocol.
pub fn resp_get(key: &str) -> Vec<u8> {
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes()
}

/// A read of webdis over HTTP/1.1.
pub fn webdis_get(host: &str) -> Vec<u8> {
    format!("GET /GET/bench.txt HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// A read over HTTP/1.1.
pub fn http_get(host: &str, key: &str) -> Vec<u8> {
    format!(
        "GET /v1/cache/bench/entries/key HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\r\n"
    )
    .into_bytes()
}

/// A write over HTTP/1.1.
pub fn http_set(host: &str, key: &str) -> Vec<u8> {
    let mut request = format!(
        "PUT /v1/cache/bench/entries/key HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        VALUE.len()
    )
    .into_bytes();
    request.extend(VALUE);
    request
}
