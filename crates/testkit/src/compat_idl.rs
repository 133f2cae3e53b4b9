//! Whether the IDL still serves the clients that were generated from a released one.
//!
//! A client of the release calls the methods it knows, sends the fields it knows and reads what it was promised. So no
//! method, struct or field may be gone, renamed, renumbered or retyped; a request may not come to need more, and a reply
//! may not come to hold less. New methods, structs and optional fields are free.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use pilota_thrift_parser::{
    Attribute, Field, File, FileParser, FileSource, Item, StructLike, Ty, Type,
};

/// One field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldFacts {
    name: String,
    kind: String,
    required: bool,
}

/// One method of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MethodFacts {
    /// Arguments and exceptions by number: name and type.
    arguments: BTreeMap<i32, (String, String)>,
    throws: BTreeMap<i32, (String, String)>,
    reply: String,
    oneway: bool,
}

/// What clients rely on in an IDL. Structs are called `file.Name`, methods `Service.Method`.
#[derive(Debug, Default)]
pub struct Idl {
    structs: BTreeMap<String, BTreeMap<i32, FieldFacts>>,
    methods: BTreeMap<String, MethodFacts>,
}

impl Idl {
    /// Reads every `.thrift` file of a folder and its subfolders. Errors name the file.
    pub fn load(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(folder, &mut files)?;
        if files.is_empty() {
            return Err(anyhow!("{} holds no .thrift file", folder.display()));
        }
        let mut idl = Self::default();
        for path in files {
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            idl.add(&stem, &text)
                .with_context(|| path.display().to_string())?;
        }
        Ok(idl)
    }

    /// Adds one file, called `stem` where others include it.
    fn add(&mut self, stem: &str, text: &str) -> Result<()> {
        let file: File = FileParser::new(FileSource::new(text))
            .parse()
            .map_err(|error| anyhow!("does not parse: {error:?}"))?;
        for item in file.items {
            match item {
                Item::Struct(item) => self.add_struct(stem, &item.struct_like),
                Item::Exception(item) => self.add_struct(stem, &item.struct_like),
                Item::Union(item) => self.add_struct(stem, &item.struct_like),
                Item::Service(service) => {
                    for method in &service.functions {
                        let facts = MethodFacts {
                            arguments: places(stem, &method.arguments),
                            throws: places(stem, &method.throws),
                            reply: kind(stem, &method.result_type),
                            oneway: method.oneway,
                        };
                        let name = format!("{}.{}", service.name.as_str(), method.name.as_str());
                        self.methods.insert(name, facts);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_struct(&mut self, stem: &str, body: &StructLike) {
        let fields = body.fields.iter().map(|field| {
            let facts = FieldFacts {
                name: field.name.as_str().to_owned(),
                kind: kind(stem, &field.ty),
                required: field.attribute == Attribute::Required,
            };
            (field.id, facts)
        });
        let name = format!("{stem}.{}", body.name.as_str());
        self.structs.insert(name, fields.collect());
    }

    /// The structs that a client sends.
    fn sent(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for method in self.methods.values() {
            for (_, argument) in method.arguments.values() {
                self.reach(argument, &mut found);
            }
        }
        found
    }

    fn reach(&self, kind: &str, found: &mut BTreeSet<String>) {
        for name in kind.split(['<', '>', ',']) {
            let Some(fields) = self.structs.get(name) else {
                continue;
            };
            if found.insert(name.to_owned()) {
                for field in fields.values() {
                    self.reach(&field.kind, found);
                }
            }
        }
    }
}

/// Lists what a client of `released` would find broken in `current`, each as a place and what is wrong there. Empty
/// means compatible.
#[must_use]
pub fn incompatibilities(released: &Idl, current: &Idl) -> Vec<String> {
    let mut found = Vec::new();
    for (name, before) in &released.methods {
        match current.methods.get(name) {
            None => found.push(format!("method {name}: is gone")),
            Some(now) => compare_methods(name, before, now, &mut found),
        }
    }
    let sent = current.sent();
    for (name, before) in &released.structs {
        match current.structs.get(name) {
            None => found.push(format!("struct {name}: is gone")),
            Some(now) => compare_structs(name, before, now, sent.contains(name), &mut found),
        }
    }
    found
}

fn compare_methods(name: &str, before: &MethodFacts, now: &MethodFacts, found: &mut Vec<String>) {
    let parts = [
        ("arguments", before.arguments == now.arguments),
        ("exceptions", before.throws == now.throws),
        ("reply", before.reply == now.reply),
        ("oneway", before.oneway == now.oneway),
    ];
    for (part, same) in parts {
        if !same {
            found.push(format!("method {name}: its {part} changed"));
        }
    }
}

fn compare_structs(
    name: &str,
    before: &BTreeMap<i32, FieldFacts>,
    now: &BTreeMap<i32, FieldFacts>,
    sent: bool,
    found: &mut Vec<String>,
) {
    for (id, field) in before {
        let place = format!("field {name}.{} ({id})", field.name);
        let Some(field_now) = now.get(id) else {
            let moved = now.iter().find(|(_, other)| other.name == field.name);
            found.push(match moved {
                Some((other, _)) => format!("{place}: was renumbered to {other}"),
                None => format!("{place}: is gone"),
            });
            continue;
        };
        if field.name != field_now.name {
            found.push(format!("{place}: was renamed to {}", field_now.name));
        }
        if field.kind != field_now.kind {
            found.push(format!(
                "{place}: was {}, is {}",
                field.kind, field_now.kind
            ));
        }
        if field.required != field_now.required {
            let word = if field_now.required {
                "required"
            } else {
                "optional"
            };
            found.push(format!("{place}: became {word}"));
        }
    }
    let new = now.iter().filter(|(id, _)| !before.contains_key(id));
    for (id, field) in new.filter(|(_, field)| sent && field.required) {
        found.push(format!(
            "field {name}.{} ({id}): is new and required",
            field.name
        ));
    }
}

fn places(stem: &str, fields: &[Field]) -> BTreeMap<i32, (String, String)> {
    let place = |field: &Field| (field.name.as_str().to_owned(), kind(stem, &field.ty));
    fields
        .iter()
        .map(|field| (field.id, place(field)))
        .collect()
}

/// A type as text; structs with the file that declares them.
fn kind(stem: &str, ty: &Type) -> String {
    match &ty.0 {
        Ty::List { value, .. } => format!("list<{}>", kind(stem, value)),
        Ty::Set { value, .. } => format!("set<{}>", kind(stem, value)),
        Ty::Map { key, value, .. } => format!("map<{},{}>", kind(stem, key), kind(stem, value)),
        Ty::Path(path) => {
            let names: Vec<&str> = path.segments.iter().map(|name| name.as_str()).collect();
            match names.as_slice() {
                [name] => format!("{stem}.{name}"),
                _ => names.join("."),
            }
        }
        // `byte` is the old word for the same thing.
        Ty::Byte => "i8".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            // Releases lie beside what they are compared with.
            if path.file_name().is_none_or(|name| name != "released") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "thrift") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "
        struct Item { 1: required string key 2: optional i64 ttl_ms }
        struct SetRequest { 1: required list<Item> items 255: optional string base }
        struct SetResponse { 1: required i64 version 2: optional string note }
        exception Failure { 1: required i32 code }
        service Store {
            SetResponse Set(1: SetRequest request) throws (1: Failure failure)
            SetResponse Old(1: SetRequest request) throws (1: Failure failure)
        }";

    fn idl(text: &str) -> Idl {
        let mut idl = Idl::default();
        idl.add("store", text).expect("parses");
        idl
    }

    fn check(from: &str, to: &str, expected: &[&str]) {
        let after = BEFORE.replace(from, to);
        assert_ne!(after, BEFORE, "the case changes nothing");
        assert_eq!(incompatibilities(&idl(BEFORE), &idl(&after)), expected);
    }

    #[test]
    fn what_breaks_a_client_is_found() {
        check(
            "2: optional i64 ttl_ms",
            "",
            &["field store.Item.ttl_ms (2): is gone"],
        );
        check(
            "2: optional i64 ttl_ms",
            "3: optional i64 ttl_ms",
            &["field store.Item.ttl_ms (2): was renumbered to 3"],
        );
        check(
            "2: optional i64 ttl_ms",
            "2: optional i32 ttl_ms",
            &["field store.Item.ttl_ms (2): was i64, is i32"],
        );
        check(
            "2: optional i64 ttl_ms",
            "2: optional i64 expiry_ms",
            &["field store.Item.ttl_ms (2): was renamed to expiry_ms"],
        );
        check(
            "2: optional i64 ttl_ms",
            "2: required i64 ttl_ms",
            &["field store.Item.ttl_ms (2): became required"],
        );
        check(
            "1: required i64 version",
            "1: optional i64 version",
            &["field store.SetResponse.version (1): became optional"],
        );
        check(
            "1: required string key",
            "1: required string key 3: required string tag",
            &["field store.Item.tag (3): is new and required"],
        );
        check(
            "list<Item> items",
            "list<string> items",
            &["field store.SetRequest.items (1): was list<store.Item>, is list<string>"],
        );
        check(
            "SetResponse Old(1: SetRequest request) throws (1: Failure failure)",
            "",
            &["method Store.Old: is gone"],
        );
        check(
            "Old(1: SetRequest request)",
            "Old(2: SetRequest request)",
            &["method Store.Old: its arguments changed"],
        );
        check(
            "SetResponse Old",
            "Failure Old",
            &["method Store.Old: its reply changed"],
        );
        check(
            "struct Item {",
            "struct Thing {} struct Items {",
            &["struct store.Item: is gone"],
        );
    }

    #[test]
    fn what_is_added_is_free() {
        check(
            "2: optional i64 ttl_ms",
            "2: optional i64 ttl_ms 3: optional string tag",
            &[],
        );
        // Clients do not send replies: a new field of theirs may be required.
        check(
            "1: required i64 version",
            "1: required i64 version 3: required bool new",
            &[],
        );
        check(
            "service Store {",
            "struct More { 1: required i8 a } service Store { More More(1: More more)",
            &[],
        );
    }

    #[test]
    fn the_idl_of_this_workspace_loads_and_agrees_with_itself() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../idl");
        let current = Idl::load(&folder).expect("loads");
        assert!(
            current.methods.len() > 50,
            "{} methods",
            current.methods.len()
        );
        assert!(incompatibilities(&current, &current).is_empty());
        assert!(current.sent().contains("base.Base"));
    }
}
