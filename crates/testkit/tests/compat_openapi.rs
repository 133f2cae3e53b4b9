//! What the comparison of OpenAPI documents lets pass and what it reports.
#![expect(clippy::expect_used, reason = "a broken fixture must stop the test")]

use plinth_testkit::compat_openapi::incompatibilities;
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "paths": {"/v1/cache/{key}": {"put": {
            "operationId": "cache.set",
            "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "format": "int64"}}],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Set"}}}},
            "responses": {
                "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Reply"}}}},
                "400": {"description": "bad"}
            }
        }}},
        "components": {"schemas": {
            "Set": {"type": "object", "required": ["value"], "properties": {
                "value": {"type": "string"},
                "mode": {"type": ["string", "null"], "enum": ["any", "absent"]},
                "children": {"type": "array", "items": {"$ref": "#/components/schemas/Set"}}
            }},
            "Reply": {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}}
        }}
    })
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let mut current = document();
    change(&mut current);
    assert_eq!(incompatibilities(&document(), &current), expected);
}

const OPERATION: &str = "/paths/~1v1~1cache~1{key}/put";

fn at<'a>(document: &'a mut Value, pointer: &str) -> &'a mut Value {
    document.pointer_mut(pointer).expect("the place exists")
}

fn operation(document: &mut Value) -> &mut Value {
    at(document, OPERATION)
}

#[test]
fn the_same_and_more_are_compatible() {
    check(|_| {}, &[]);
    check(
        |now| {
            now["paths"]["/v1/new"] = json!({"get": {"operationId": "new"}});
            operation(now)["parameters"]
                .as_array_mut()
                .expect("list")
                .push(json!({"name": "more", "in": "query"}));
            now["components"]["schemas"]["Set"]["properties"]["more"] = json!({"type": "string"});
            now["components"]["schemas"]["Set"]["properties"]["mode"]["enum"] =
                json!(["any", "absent", "present"]);
            now["components"]["schemas"]["Reply"]["properties"]["more"] = json!({"type": "string"});
            now["components"]["schemas"]["Reply"]["required"] = json!(["version", "more"]);
            operation(now)["responses"]
                .as_object_mut()
                .expect("map")
                .remove("400");
        },
        &[],
    );
}

#[test]
fn what_a_client_names_may_not_go() {
    let put = "PUT /v1/cache/{key}";
    check(
        |now| now["paths"] = json!({}),
        &[&format!("{put}: is gone")],
    );
    check(
        |now| operation(now)["operationId"] = json!("x"),
        &[&format!("{put}: has another operation id")],
    );
    check(
        |now| operation(now)["parameters"] = json!([]),
        &[&format!("{put}: parameter query limit is gone")],
    );
    check(
        |now| operation(now)["responses"] = json!({"201": {}}),
        &[&format!("{put}: no longer answers 200")],
    );
    check(
        |now| {
            let properties = at(now, "/components/schemas/Set/properties");
            properties.as_object_mut().expect("map").remove("mode");
        },
        &[&format!("{put} body.mode: is gone")],
    );
    check(
        |now| *at(now, "/components/schemas/Reply") = json!({"type": "object"}),
        &[
            &format!("{put} answer 200.version: is gone"),
            &format!("{put} answer 200.version: may now be absent"),
        ],
    );
}

#[test]
fn types_words_and_needs_may_not_change() {
    let put = "PUT /v1/cache/{key}";
    check(
        |now| operation(now)["parameters"][0]["schema"]["format"] = json!("int32"),
        &[&format!(
            "{put} parameter query limit: was integer (int64), is integer (int32)"
        )],
    );
    check(
        |now| operation(now)["parameters"][0]["required"] = json!(true),
        &[&format!("{put}: parameter query limit is now required")],
    );
    check(
        |now| now["components"]["schemas"]["Set"]["properties"]["value"]["type"] = json!("integer"),
        &[&format!("{put} body.value: was string, is integer")],
    );
    check(
        |now| now["components"]["schemas"]["Set"]["properties"]["mode"]["enum"] = json!(["any"]),
        &[&format!("{put} body.mode: no longer takes \"absent\"")],
    );
    check(
        |now| now["components"]["schemas"]["Set"]["required"] = json!(["value", "mode"]),
        &[&format!("{put} body.mode: is now required")],
    );
    check(
        |now| {
            now["components"]["schemas"]["Reply"]["properties"]["version"]["type"] =
                json!(["string", "null"])
        },
        &[&format!("{put} answer 200.version: may now be null")],
    );
}
