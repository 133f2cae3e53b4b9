//! Whether an OpenAPI document still serves the clients of a released one.
//!
//! A client of the release sends what the release described and reads what it promised. So nothing that it names may be
//! gone or have another type, a request may not come to need more, and an answer may not come to hold less. Additions
//! are free.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Deepest nesting of schemas that is followed; documents of ours stay far below.
const DEPTH_MAX: usize = 32;
/// The HTTP methods that a path item may hold.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Lists what a client of `released` would find broken in `current`, each as a place and what is wrong there. Empty
/// means compatible.
#[must_use]
pub fn incompatibilities(released: &Value, current: &Value) -> Vec<String> {
    let mut comparison = Comparison {
        released,
        current,
        seen: HashSet::new(),
        found: Vec::new(),
    };
    comparison.paths();
    comparison.found
}

/// Which way the data goes: what is harmless in one direction breaks in the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Request,
    Answer,
}

struct Comparison<'a> {
    released: &'a Value,
    current: &'a Value,
    /// Pairs of named schemas that are being compared or were: schemas may refer to themselves.
    seen: HashSet<(String, String, Way)>,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn report(&mut self, place: &str, what: impl AsRef<str>) {
        self.found.push(format!("{place}: {}", what.as_ref()));
    }

    fn paths(&mut self) {
        let (released, current) = (self.released, self.current);
        for (path, item) in object(released.get("paths")) {
            for method in METHODS {
                let Some(operation) = item.get(method) else {
                    continue;
                };
                let place = format!("{} {path}", method.to_uppercase());
                match current
                    .get("paths")
                    .and_then(|paths| paths.get(path)?.get(method))
                {
                    Some(now) => self.operation(&place, operation, now),
                    None => self.report(&place, "is gone"),
                }
            }
        }
    }

    fn operation(&mut self, place: &str, before: &'a Value, now: &'a Value) {
        if before.get("operationId") != now.get("operationId") {
            self.report(place, "has another operation id");
        }
        self.parameters(place, before, now);
        self.request_body(place, before, now);
        for (status, answer) in object(before.get("responses")) {
            if !status.starts_with('2') {
                continue;
            }
            let answer = resolve(self.released, answer);
            let answer_now = now
                .get("responses")
                .and_then(|responses| responses.get(status));
            match answer_now {
                Some(answer_now) => {
                    let answer_now = resolve(self.current, answer_now);
                    let place = format!("{place} answer {status}");
                    self.contents(&place, answer, answer_now, Way::Answer);
                }
                None => self.report(place, format!("no longer answers {status}")),
            }
        }
    }

    fn parameters(&mut self, place: &str, before: &'a Value, now: &'a Value) {
        let before = parameters(self.released, before);
        let now = parameters(self.current, now);
        for (key, parameter) in &before {
            let Some((_, parameter_now)) = now.iter().find(|(other, _)| other == key) else {
                self.report(place, format!("parameter {key} is gone"));
                continue;
            };
            if is_true(parameter_now, "required") && !is_true(parameter, "required") {
                self.report(place, format!("parameter {key} is now required"));
            }
            let place = format!("{place} parameter {key}");
            self.optional_schema(
                &place,
                parameter.get("schema"),
                parameter_now.get("schema"),
                Way::Request,
            );
        }
        for (key, parameter) in &now {
            if is_true(parameter, "required") && !before.iter().any(|(other, _)| other == key) {
                self.report(place, format!("parameter {key} is new and required"));
            }
        }
    }

    fn request_body(&mut self, place: &str, before: &'a Value, now: &'a Value) {
        let place = format!("{place} body");
        match (before.get("requestBody"), now.get("requestBody")) {
            (Some(before), Some(now)) => {
                let (before, now) = (resolve(self.released, before), resolve(self.current, now));
                if is_true(now, "required") && !is_true(before, "required") {
                    self.report(&place, "is now required");
                }
                self.contents(&place, before, now, Way::Request);
            }
            (Some(_), None) => self.report(&place, "is gone"),
            (None, Some(now)) if is_true(resolve(self.current, now), "required") => {
                self.report(&place, "is new and required");
            }
            (None, _) => {}
        }
    }

    fn contents(&mut self, place: &str, before: &'a Value, now: &'a Value, way: Way) {
        for (media_type, content) in object(before.get("content")) {
            match now
                .get("content")
                .and_then(|contents| contents.get(media_type))
            {
                Some(content_now) => {
                    self.optional_schema(
                        place,
                        content.get("schema"),
                        content_now.get("schema"),
                        way,
                    );
                }
                None => self.report(place, format!("{media_type} is gone")),
            }
        }
    }

    fn optional_schema(
        &mut self,
        place: &str,
        before: Option<&'a Value>,
        now: Option<&'a Value>,
        way: Way,
    ) {
        match (before, now) {
            (Some(before), Some(now)) => self.schema(place, before, now, way, 0),
            (Some(_), None) => self.report(place, "has lost its schema"),
            (None, _) => {}
        }
    }

    fn schema(&mut self, place: &str, before: &'a Value, now: &'a Value, way: Way, depth: usize) {
        if depth > DEPTH_MAX || !self.first_time(before, now, way) {
            return;
        }
        let (before, now) = (resolve(self.released, before), resolve(self.current, now));
        let (types, types_now) = (
            type_words(self.released, before),
            type_words(self.current, now),
        );
        if types != types_now {
            self.report(place, format!("was {types}, is {types_now}"));
            return;
        }
        match (way, nullable(before), nullable(now)) {
            (Way::Answer, false, true) => self.report(place, "may now be null"),
            (Way::Request, true, false) => self.report(place, "no longer takes null"),
            _ => {}
        }
        if way == Way::Request {
            self.words(place, before, now);
        }
        self.properties(place, before, now, way, depth);
        for key in ["items", "additionalProperties"] {
            if let (Some(before @ Value::Object(_)), Some(now @ Value::Object(_))) =
                (before.get(key), now.get(key))
            {
                self.schema(&format!("{place}[]"), before, now, way, depth + 1);
            }
        }
        for key in ["allOf", "oneOf", "anyOf"] {
            let parts = array(before.get(key)).iter().zip(array(now.get(key)));
            for (before, now) in parts {
                self.schema(place, before, now, way, depth + 1);
            }
            if array(now.get(key)).len() < array(before.get(key)).len() {
                self.report(place, format!("has fewer choices in {key}"));
            }
        }
    }

    /// Whether this pair of named schemas is met for the first time; schemas without a name always are.
    fn first_time(&mut self, before: &Value, now: &Value, way: Way) -> bool {
        let name = |schema: &Value| {
            schema
                .get("$ref")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        match (name(before), name(now)) {
            (Some(before), Some(now)) => self.seen.insert((before, now, way)),
            _ => true,
        }
    }

    fn properties(
        &mut self,
        place: &str,
        before: &'a Value,
        now: &'a Value,
        way: Way,
        depth: usize,
    ) {
        for (name, property) in object(before.get("properties")) {
            let place = format!("{place}.{name}");
            match now
                .get("properties")
                .and_then(|properties| properties.get(name))
            {
                Some(property_now) => self.schema(&place, property, property_now, way, depth + 1),
                None => self.report(&place, "is gone"),
            }
        }
        let (needed, needed_now) = (array(before.get("required")), array(now.get("required")));
        let (more, less) = match way {
            Way::Request => (needed_now, needed),
            Way::Answer => (needed, needed_now),
        };
        for name in more
            .iter()
            .filter(|name| !less.contains(name))
            .filter_map(Value::as_str)
        {
            let what = match way {
                Way::Request => "is now required",
                Way::Answer => "may now be absent",
            };
            self.report(&format!("{place}.{name}"), what);
        }
    }

    fn words(&mut self, place: &str, before: &Value, now: &Value) {
        if now.get("enum").is_none() {
            return;
        }
        let allowed = array(now.get("enum"));
        if before.get("enum").is_none() {
            self.report(place, "takes only some words now");
        }
        for word in array(before.get("enum")) {
            if !allowed.contains(word) {
                self.report(place, format!("no longer takes {word}"));
            }
        }
    }
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_true(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Follows a reference inside its document; a dangling one stays as it is.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut at = value;
    for _hop in 0..8 {
        let Some(reference) = at.get("$ref").and_then(Value::as_str) else {
            break;
        };
        match reference
            .strip_prefix('#')
            .and_then(|pointer| document.pointer(pointer))
        {
            Some(found) => at = found,
            None => break,
        }
    }
    at
}

/// The parameters of an operation by place and name: `query limit`.
fn parameters<'a>(document: &'a Value, operation: &'a Value) -> Vec<(String, &'a Value)> {
    array(operation.get("parameters"))
        .iter()
        .map(|parameter| resolve(document, parameter))
        .map(|parameter| {
            let text = |key: &str| {
                parameter
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            (format!("{} {}", text("in"), text("name")), parameter)
        })
        .collect()
}

/// Whether a schema allows `null`.
fn nullable(schema: &Value) -> bool {
    let is_null = |value: &Value| value.as_str() == Some("null");
    let choices = array(schema.get("oneOf").or_else(|| schema.get("anyOf")));
    array(schema.get("type")).iter().any(is_null)
        || choices
            .iter()
            .any(|choice| choice.get("type").is_some_and(is_null))
}

/// The type of a schema as words, with its format. `null` beside another type is judged apart, by [`nullable`].
fn type_words(document: &Value, schema: &Value) -> String {
    let mut types: Vec<&str> = match schema.get("type") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    types.retain(|word| *word != "null");
    types.sort_unstable();
    if types.is_empty() {
        // "This schema or null" is how a reference says that it may be absent.
        let choices = array(schema.get("oneOf").or_else(|| schema.get("anyOf")));
        let mut real = choices
            .iter()
            .map(|choice| resolve(document, choice))
            .filter(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
        if let (Some(only), None) = (real.next(), real.next()) {
            return type_words(document, only);
        }
    }
    let format = schema.get("format").and_then(Value::as_str);
    match (types.join("|"), format) {
        (words, Some(format)) => format!("{words} ({format})"),
        (words, None) if words.is_empty() => "anything".to_owned(),
        (words, None) => words,
    }
}
