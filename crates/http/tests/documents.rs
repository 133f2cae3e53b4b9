//! The documents that callers generate from and read: complete, consistent, and as committed.
//!
//! `UPDATE_OPENAPI=1` rewrites `docs/openapi.json`, `UPDATE_DOCS=1` rewrites `docs/errors.md`.
#![expect(
    clippy::expect_used,
    reason = "a document that does not parse must stop the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use plinth_gate::catalogue;
use plinth_http::{documents, openapi_document};
use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(openapi_document()).expect("it serialises")
}

/// Method, path and operation of everything in the document.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("a path item");
            methods
                .iter()
                .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
        })
        .collect()
}

fn committed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

/// Compares a generated text with the committed one, or rewrites that where the variable is set.
fn check_committed(name: &str, variable: &str, generated: &str) {
    let path = committed(name);
    if std::env::var_os(variable).is_some() {
        std::fs::write(&path, generated).expect("docs/ can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "docs/{name} is not what the code says; rewrite it with {variable}=1"
    );
}

#[test]
fn the_catalogue_and_the_routes_are_the_same_both_ways() {
    let document = document();
    let routes: BTreeMap<String, String> = operations(&document)
        .into_iter()
        .map(|(method, path, operation)| {
            let id = operation["operationId"]
                .as_str()
                .expect("each has an id")
                .to_owned();
            (id, format!("{method} {path}"))
        })
        .collect();
    let rows: BTreeMap<String, String> = catalogue::operations()
        .iter()
        .map(|row| {
            (
                row.id.as_str().to_owned(),
                format!("{} {}", row.http_method, row.http_path),
            )
        })
        .collect();
    let missing: Vec<_> = rows
        .iter()
        .filter(|(id, _)| !routes.contains_key(*id))
        .collect();
    assert!(missing.is_empty(), "without a route: {missing:?}");
    assert_eq!(routes, rows);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap_or_default();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn every_operation_names_its_parameters_its_success_and_its_errors() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let place = format!("{method} {path}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{place} has no success"
        );
        for status in [
            "400", "401", "403", "404", "413", "429", "500", "503", "504",
        ] {
            assert!(
                responses.contains_key(status),
                "{place} does not say {status}"
            );
        }
        let parameters = operation["parameters"].as_array().expect("parameters");
        let named: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let in_path: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        assert_eq!(named, in_path, "{place}");
        let row =
            catalogue::by_id(operation["operationId"].as_str().expect("an id")).expect("a row");
        let takes_key = parameters
            .iter()
            .any(|parameter| parameter["name"] == "Idempotency-Key");
        assert_eq!(takes_key, row.takes_idempotency_key, "{place}");
    }
}

/// Follows references from a schema and collects the objects with fields that would take unknown ones.
fn open_objects(
    document: &Value,
    schema: &Value,
    name: &str,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<String>,
) {
    if !schema.is_object() {
        return;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        if seen.insert(reference.to_owned()) {
            let target = document
                .pointer(reference.trim_start_matches('#'))
                .expect("it leads somewhere");
            open_objects(document, target, reference, seen, found);
        }
        return;
    }
    if schema["properties"].is_object() && schema["additionalProperties"] != Value::Bool(false) {
        found.push(name.to_owned());
    }
    let children = ["allOf", "oneOf", "anyOf"]
        .iter()
        .filter_map(|key| schema[*key].as_array())
        .flatten();
    let fields = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values());
    for child in children
        .chain(fields)
        .chain([&schema["items"], &schema["additionalProperties"]])
    {
        open_objects(document, child, name, seen, found);
    }
}

#[test]
fn no_request_takes_unknown_fields() {
    let document = document();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for (method, path, operation) in operations(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        open_objects(
            &document,
            schema,
            &format!("{method} {path}"),
            &mut seen,
            &mut found,
        );
    }
    assert!(
        found.is_empty(),
        "without #[serde(deny_unknown_fields)]: {found:?}"
    );
}

/// Collects the words of all enumerations.
fn words<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    let own = value.get("enum").and_then(Value::as_array);
    found.extend(own.into_iter().flatten().filter_map(Value::as_str));
    match value {
        Value::Object(fields) => fields.values().for_each(|field| words(field, found)),
        Value::Array(items) => items.iter().for_each(|item| words(item, found)),
        _ => {}
    }
}

/// A word in the case of Rust means that the document shows a variant's name and not what goes over the wire.
#[test]
fn enumerations_show_the_words_of_the_wire() {
    let document = document();
    let mut found = BTreeSet::new();
    words(&document, &mut found);
    let mixed =
        |word: &&str| word.chars().any(char::is_uppercase) && word.chars().any(char::is_lowercase);
    let strange: Vec<_> = found.into_iter().filter(mixed).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let mut text = openapi_document().to_pretty_json().expect("it serialises");
    text.push('\n');
    check_committed("openapi.json", "UPDATE_OPENAPI", &text);
}

#[test]
fn the_committed_errors_are_the_generated_ones() {
    check_committed("errors.md", "UPDATE_DOCS", &documents::errors_markdown());
}
