//! `plinth.example.toml`: every setting with its default and what it means, from the types and their comments.

use std::fmt::Write as _;
use std::process::Command;

use syn::{Expr, ExprLit, Fields, Item, Lit, Meta, Type};

/// Where types of settings are declared.
const SOURCES: &[&str] = &[
    "crates/plinth/src/settings.rs",
    "crates/plinth/src/logs.rs",
    "crates/plinth/src/traces.rs",
    "crates/http/src/settings.rs",
    "crates/rpc/src/settings.rs",
    "crates/gate/src/settings.rs",
    "crates/gate/src/access/separation.rs",
    "crates/resilience/src/limiter.rs",
    "crates/cache/src/settings.rs",
    "crates/redis_link/src/settings.rs",
    "crates/monitor/src/settings.rs",
    "crates/audit/src/service.rs",
    "crates/lock/src/settings.rs",
    "crates/outbound/src/settings.rs",
];

/// A field: its name, its type, what it means.
struct Field {
    name: String,
    kind: String,
    meaning: String,
}

#[test]
fn the_example_settings_are_current() {
    crate::check_document("plinth.example.toml", &document());
}

#[test]
fn the_example_settings_are_the_defaults() {
    let file = crate::root().join("plinth.example.toml");
    let shown = settings_shown(&["settings", "show", file.to_str().expect("a path")]);
    assert_eq!(shown, settings_shown(&["settings", "show"]));
}

fn settings_shown(arguments: &[&str]) -> toml::Table {
    let place = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_plinth"))
        .args(arguments)
        .current_dir(place.path())
        .env_clear()
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .parse()
        .expect("parses")
}

fn document() -> String {
    let types = types();
    let mut text = String::from(
        "# Every setting of Plinth with its default, made by `cargo xtask docs`. Copy what you change into plinth.toml.\n\
         # The environment goes over the file: PLINTH__HTTP__LISTEN=0.0.0.0:7400. `plinth settings check` says what is wrong.\n",
    );
    section(
        &mut text,
        &types,
        "Settings",
        &settings_shown(&["settings", "show"]),
        "",
    );
    text
}

/// Writes the fields of a type, its own values first, then its sections.
fn section(
    text: &mut String,
    types: &[(String, Vec<Field>)],
    kind: &str,
    values: &toml::Table,
    path: &str,
) {
    // Two crates may have types of one name: the right one has a field for every value.
    let fits = |fields: &[Field]| {
        values
            .keys()
            .all(|name| fields.iter().any(|field| field.name == *name))
    };
    let (_, fields) = types
        .iter()
        .find(|(name, fields)| name == kind && fits(fields))
        .unwrap_or_else(|| panic!("{kind} with its fields is in none of the sources"));
    let (sections, plain): (Vec<_>, Vec<_>) = fields
        .iter()
        .partition(|field| values.get(&field.name).is_some_and(toml::Value::is_table));
    for field in plain {
        comment(text, &field.meaning);
        let _infallible = match values.get(&field.name) {
            Some(value) => writeln!(text, "{} = {value}", field.name),
            // Nothing by default: show its place only.
            None => writeln!(text, "# {} = …", field.name),
        };
    }
    for field in sections {
        let path = if path.is_empty() {
            field.name.clone()
        } else {
            format!("{path}.{}", field.name)
        };
        comment(text, &field.meaning);
        let _infallible = writeln!(text, "[{path}]");
        if let Some(toml::Value::Table(values)) = values.get(&field.name) {
            section(text, types, &field.kind, values, &path);
        }
    }
}

fn comment(text: &mut String, meaning: &str) {
    let _infallible = writeln!(text);
    for line in meaning.lines() {
        let _infallible = writeln!(text, "# {}", line.trim());
    }
}

fn types() -> Vec<(String, Vec<Field>)> {
    let mut types = Vec::new();
    for source in SOURCES {
        let text = std::fs::read_to_string(crate::root().join(source)).expect("reads");
        for item in syn::parse_file(&text).expect("parses").items {
            if let Item::Struct(item) = item
                && let Fields::Named(fields) = item.fields
            {
                let fields = fields.named.iter().map(field).collect();
                types.push((item.ident.to_string(), fields));
            }
        }
    }
    types
}

fn field(field: &syn::Field) -> Field {
    let meaning: Vec<String> = field
        .attrs
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(line),
                    ..
                }) => Some(line.value()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let kind = match &field.ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string()),
        _ => None,
    };
    Field {
        name: field
            .ident
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        meaning: meaning.join("\n"),
    }
}
