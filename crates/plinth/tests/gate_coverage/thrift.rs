//! A Thrift client of its own: framed binary over TCP, written from the contract as data, so that it can say what no
//! generated client would.

use plinth_gate::catalogue::Operation;
use plinth_idl::contract::{self, StructSchema, TypeSchema};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::edges::Answer;

const VERSION_CALL: u32 = 0x8001_0001;
const MESSAGE_REPLY: u8 = 2;
const FIELD_STOP: u8 = 0;

/// Calls a method on a connection of its own. The key travels in `base.extra`, as it does for framed clients.
pub(crate) async fn call(
    address: &str,
    key: Option<&str>,
    operation: &Operation,
    request: &Value,
) -> Answer {
    let method = contract::method(operation.thrift_method).expect("a method of the IDL");
    let mut request = request.clone();
    if let Some(key) = key {
        request["base"] = json!({ "extra": { "authorization": format!("Bearer {key}") } });
    }
    let mut message = VERSION_CALL.to_be_bytes().to_vec();
    put_bytes(&mut message, method.name.as_bytes());
    message.extend(1_u32.to_be_bytes());
    put_struct(
        &mut message,
        method.arguments,
        &json!({ "request": request }),
    );
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let length = u32::try_from(message.len()).expect("a short message");
    stream
        .write_all(&length.to_be_bytes())
        .await
        .expect("is sent");
    stream.write_all(&message).await.expect("is sent");
    let length = stream.read_u32().await.expect("is answered");
    let mut body = vec![0; length as usize];
    stream
        .read_exact(&mut body)
        .await
        .expect("is answered whole");
    let code = error_code(&body, operation);
    Answer { code, body }
}

/// The number in the declared exception; `None` where the answer is a success.
fn error_code(body: &[u8], operation: &Operation) -> Option<i64> {
    let shown = || format!("{}: {}", operation.id, String::from_utf8_lossy(body));
    assert_eq!(body[3], MESSAGE_REPLY, "{}", shown());
    let name_length = u32::from_be_bytes(body[4..8].try_into().expect("4 bytes")) as usize;
    let result = &body[8 + name_length + 4..];
    match result[..3] {
        [12, 0, 0] => None,
        [12, 0, 1] => {
            assert_eq!(result[3..6], [8, 0, 1], "the code comes first: {}", shown());
            let code = i32::from_be_bytes(result[6..10].try_into().expect("4 bytes"));
            Some(code.into())
        }
        _ => panic!("neither a success nor the declared exception: {}", shown()),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).expect("short").to_be_bytes());
    out.extend(bytes);
}

fn put_struct(out: &mut Vec<u8>, schema: &StructSchema, value: &Value) {
    for (name, value) in value.as_object().expect("an object") {
        let field = schema.fields.iter().find(|field| field.name == name);
        let field = field.unwrap_or_else(|| panic!("{} has no field {name}", schema.name));
        out.push(type_byte(field.kind));
        out.extend(field.id.to_be_bytes());
        put(out, field.kind, value);
    }
    out.push(FIELD_STOP);
}

fn put(out: &mut Vec<u8>, kind: TypeSchema, value: &Value) {
    let integer = || value.as_i64().expect("an integer");
    match kind {
        TypeSchema::Bool => out.push(value.as_bool().expect("a truth").into()),
        TypeSchema::I8 => out.extend(i8::try_from(integer()).expect("8 bits").to_be_bytes()),
        TypeSchema::I16 => out.extend(i16::try_from(integer()).expect("16 bits").to_be_bytes()),
        TypeSchema::I32 => out.extend(i32::try_from(integer()).expect("32 bits").to_be_bytes()),
        TypeSchema::I64 => out.extend(integer().to_be_bytes()),
        TypeSchema::Double => out.extend(value.as_f64().expect("a number").to_be_bytes()),
        TypeSchema::String | TypeSchema::Binary => {
            put_bytes(out, value.as_str().expect("a text").as_bytes());
        }
        TypeSchema::Struct(schema) => put_struct(out, schema, value),
        TypeSchema::List(element) | TypeSchema::Set(element) => {
            let items = value.as_array().expect("a list");
            out.push(type_byte(*element));
            out.extend(u32::try_from(items.len()).expect("short").to_be_bytes());
            for item in items {
                put(out, *element, item);
            }
        }
        TypeSchema::Map(key, element) => {
            let entries = value.as_object().expect("a map");
            out.extend([type_byte(*key), type_byte(*element)]);
            out.extend(u32::try_from(entries.len()).expect("short").to_be_bytes());
            for (name, item) in entries {
                put_bytes(out, name.as_bytes());
                put(out, *element, item);
            }
        }
    }
}

const fn type_byte(kind: TypeSchema) -> u8 {
    match kind {
        TypeSchema::Bool => 2,
        TypeSchema::I8 => 3,
        TypeSchema::Double => 4,
        TypeSchema::I16 => 6,
        TypeSchema::I32 => 8,
        TypeSchema::I64 => 10,
        TypeSchema::String | TypeSchema::Binary => 11,
        TypeSchema::Struct(_) => 12,
        TypeSchema::Map(..) => 13,
        TypeSchema::Set(_) => 14,
        TypeSchema::List(_) => 15,
    }
}
