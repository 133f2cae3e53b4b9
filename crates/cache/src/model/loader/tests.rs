//! Each rule of a loader's settings, at its limit and one past it.

use super::*;
use serde_json::json;

fn settings(loader: &serde_json::Value) -> NamespaceSettings {
    serde_json::from_value(json!({
        "default_ttl_ms": 1_000, "fresh_percent": 80, "loader": loader,
    }))
    .expect("settings")
}

fn refused(loader: &serde_json::Value, field: &str) {
    let error = settings(loader).loader().err().expect("is refused");
    let field = format!("settings.loader.{field}");
    assert_eq!(error.violations()[0].field, field, "{loader}");
}

fn sql(more: &serde_json::Value) -> serde_json::Value {
    let mut loader = json!({ "kind": "sql", "database": "shop", "sql": "SELECT ?" });
    for (field, value) in more.as_object().expect("an object") {
        loader[field] = value.clone();
    }
    loader
}

#[test]
fn each_bad_field_is_refused_by_its_name() {
    refused(&json!({ "kind": "file" }), "kind");
    refused(&json!({ "kind": "sql", "sql": "SELECT ?" }), "database");
    refused(&json!({ "kind": "sql", "database": "shop" }), "sql");
    refused(
        &sql(&json!({ "sql": "x".repeat(LOAD_SQL_BYTES_MAX + 1) })),
        "sql",
    );
    refused(&sql(&json!({ "url": "http://example.com" })), "url");
    refused(&sql(&json!({ "secret": "s" })), "secret");
    refused(&sql(&json!({ "value": "rows" })), "value");
    refused(&sql(&json!({ "params": [] })), "params");
    refused(
        &sql(&json!({ "params": vec!["key"; LOAD_PARAMS_MAX + 1] })),
        "params",
    );
    for bad in ["part", "part:", "part:x", "part:-1", "KEY", ""] {
        refused(&sql(&json!({ "params": ["key", bad] })), "params[1]");
    }
    refused(&sql(&json!({ "separator": "" })), "separator");
    refused(&sql(&json!({ "separator": "123456789" })), "separator");
    refused(&sql(&json!({ "hard_timeout_ms": 9 })), "hard_timeout_ms");
    refused(
        &sql(&json!({ "hard_timeout_ms": 30_001 })),
        "hard_timeout_ms",
    );
    refused(
        &sql(&json!({ "soft_timeout_ms": 5_001 })),
        "soft_timeout_ms",
    );
    refused(&sql(&json!({ "on_error": "null" })), "on_error");
    refused(&sql(&json!({ "error_ttl_ms": 60_001 })), "error_ttl_ms");
    refused(&sql(&json!({ "loads_max": 0 })), "loads_max");
    refused(&sql(&json!({ "loads_max": 257 })), "loads_max");
    refused(&sql(&json!({ "refresh_percent": 80 })), "refresh_percent");
    refused(&sql(&json!({ "warm_up": ["a", ""] })), "warm_up[1]");
    refused(&sql(&json!({ "warm_up": ["a", "a"] })), "warm_up[1]");
    refused(
        &sql(&json!({ "refresh_every_ms": 1_000 })),
        "refresh_every_ms",
    );
    let early = json!({ "warm_up": ["a"], "refresh_every_ms": 999 });
    refused(&sql(&early), "refresh_every_ms");
    let many: Vec<String> = (0..=WARM_UP_KEYS_MAX).map(|n| n.to_string()).collect();
    refused(&sql(&json!({ "warm_up": many })), "warm_up");
    let http = |secret: &str| json!({ "kind": "http", "url": "https://example.com/load", "secret": secret });
    refused(&json!({ "kind": "http", "secret": "s".repeat(16) }), "url");
    refused(&http(&"s".repeat(15)), "secret");
    refused(&http(&"s".repeat(257)), "secret");
    assert!(settings(&http(&"s".repeat(16))).loader().is_ok());
    assert!(settings(&http(&"s".repeat(256))).loader().is_ok());
}

#[test]
fn a_loader_goes_with_fixed_lives_alone() {
    let mut space = settings(&sql(&json!({})));
    assert!(space.loader().is_ok());
    space.default_sliding_ms = Some(500);
    let error = space.loader().err().expect("is refused");
    assert_eq!(error.violations()[0].field, "settings.default_sliding_ms");
    space.default_ttl_ms = None;
    let error = space.loader().err().expect("is refused");
    assert_eq!(error.violations()[0].field, "settings.default_ttl_ms");
    let mut space = settings(&sql(&json!({ "soft_timeout_ms": 10 })));
    space.fresh_percent = None;
    let error = space.loader().err().expect("is refused");
    assert_eq!(
        error.violations()[0].field,
        "settings.loader.soft_timeout_ms"
    );
}

#[test]
fn parameters_are_the_key_or_its_parts() {
    let params = json!({ "params": ["part:1", "key", "part:0"], "separator": "::" });
    let spec = settings(&sql(&params))
        .loader()
        .expect("holds")
        .expect("a loader");
    let key = Key::parse("m::17").expect("a key");
    assert_eq!(
        spec.params_of(&key).expect("has them"),
        ["17", "m::17", "m"]
    );
    let error = spec.params_of(&Key::parse("m").expect("a key"));
    assert_eq!(
        error.expect_err("has no part 1").violations()[0].field,
        "key"
    );
}

#[test]
fn a_secret_is_never_printed() {
    let loader = json!({ "kind": "http", "url": "http://h/", "secret": "s3cr3t-s3cr3t-s3" });
    assert!(!format!("{:?}", settings(&loader)).contains("s3cr3t"));
}
