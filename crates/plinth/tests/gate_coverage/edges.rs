//! Both transports under one call: an operation of the catalogue, a key, a request in the words of the IDL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plinth_gate::catalogue::Operation;
use plinth_idl::contract::{self, StructSchema, TypeSchema};
use plinth_testkit::process::Announcement;
use reqwest::{Client, Method, Url};
use serde_json::{Map, Value};

use crate::thrift;

/// The way in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Http,
    Thrift,
}

/// Both of them.
pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Http, Transport::Thrift];

/// What came back.
pub(crate) struct Answer {
    /// The number of the error; `None` on success.
    pub(crate) code: Option<i64>,
    /// The reply as it came.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The reply for people.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the reply holds a text, plain or in base 64.
    pub(crate) fn shows(&self, text: &str) -> bool {
        let body = self.text();
        body.contains(text) || body.contains(&BASE64.encode(text))
    }
}

/// Where a server listens.
pub(crate) struct Edges {
    client: Client,
    http: Url,
    thrift: String,
}

impl Edges {
    pub(crate) fn of(announcement: &Announcement) -> Self {
        // Fails only where a provider is installed already, which then serves as well.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            client: Client::new(),
            http: Url::parse(&announcement.http).expect("a URL"),
            thrift: announcement.thrift.clone(),
        }
    }

    pub(crate) async fn call(
        &self,
        transport: Transport,
        key: Option<&str>,
        operation: &Operation,
        request: &Value,
    ) -> Answer {
        match transport {
            Transport::Http => self.http(key, operation, request).await,
            Transport::Thrift => thrift::call(&self.thrift, key, operation, request).await,
        }
    }

    async fn http(&self, key: Option<&str>, operation: &Operation, request: &Value) -> Answer {
        let schema = contract::method(operation.thrift_method).expect("a method of the IDL");
        let fields = request.as_object().expect("an object");
        let mut rest = to_json_edge(schema.request, fields);
        let mut url = self.http.clone();
        {
            let mut path = url.path_segments_mut().expect("has a path");
            path.clear();
            for segment in operation.http_path.trim_start_matches('/').split('/') {
                let name = segment
                    .strip_prefix('{')
                    .and_then(|name| name.strip_suffix('}'));
                match name {
                    None => path.push(segment),
                    Some(name) => path.push(&take_parameter(&mut rest, name)),
                };
            }
        }
        let method = Method::from_bytes(operation.http_method.as_bytes()).expect("a method");
        let mut call = self.client.request(method.clone(), url);
        if let Some(key) = key {
            call = call.bearer_auth(key);
        }
        if operation.id.as_str() == "cache.set" {
            let value = fields["value"].as_str().expect("a text");
            call = call.body(value.to_owned());
        } else if method == Method::GET || method == Method::DELETE {
            call = call.query(&rest);
        } else if !(rest.is_empty() && operation.id.as_str() == "access.revoke_key") {
            call = call.json(&rest);
        }
        let response = call.send().await.expect("answers");
        let failed = !response.status().is_success();
        let body = response.bytes().await.expect("a body").to_vec();
        let code = failed.then(|| {
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            let shown = String::from_utf8_lossy(&body);
            problem["code"]
                .as_i64()
                .unwrap_or_else(|| panic!("{}: {shown}", operation.id))
        });
        Answer { code, body }
    }
}

/// The field that a parameter of the path stands for: of the same name, or of that name with `_name`.
fn take_parameter(rest: &mut Map<String, Value>, name: &str) -> String {
    let value = rest
        .remove(name)
        .or_else(|| rest.remove(&format!("{name}_name")));
    match value {
        Some(Value::String(text)) => text,
        other => panic!("the parameter {name} is {other:?}"),
    }
}

/// The request as the HTTP edge has it: binary fields in base 64 under `<name>_base64`.
fn to_json_edge(schema: &StructSchema, fields: &Map<String, Value>) -> Map<String, Value> {
    let field = |(name, value): (&String, &Value)| {
        let kind = schema.fields.iter().find(|field| field.name == name);
        let kind = kind
            .unwrap_or_else(|| panic!("{} has no field {name}", schema.name))
            .kind;
        match (kind, value) {
            (TypeSchema::Binary, Value::String(text)) => {
                (format!("{name}_base64"), BASE64.encode(text).into())
            }
            _ => (name.clone(), value_to_json_edge(kind, value)),
        }
    };
    fields.iter().map(field).collect()
}

fn value_to_json_edge(kind: TypeSchema, value: &Value) -> Value {
    match (kind, value) {
        (TypeSchema::Struct(schema), Value::Object(fields)) => {
            Value::Object(to_json_edge(schema, fields))
        }
        (TypeSchema::List(element), Value::Array(items)) => items
            .iter()
            .map(|item| value_to_json_edge(*element, item))
            .collect(),
        _ => value.clone(),
    }
}
