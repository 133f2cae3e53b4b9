//! Conditions on labels.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::labels::{Labels, check_label_name};
use super::limits;

/// One condition on a label. A label that a series does not have counts as the empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MonitorMatcher)]
pub struct Matcher {
    /// Name of the label.
    pub label: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// The text, at most 1,024 bytes; for `=~` and `!~` a regular expression that must match the whole value.
    pub value: String,
}

/// A condition, compiled.
#[derive(Clone, Debug)]
pub struct LabelMatcher {
    label: String,
    test: Test,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    Pattern(regex::Regex),
}

impl LabelMatcher {
    /// Compiles a condition. Errors: 1001 naming the field.
    pub fn parse(matcher: &Matcher) -> Result<Self> {
        check_label_name("label", &matcher.label)?;
        if matcher.value.len() > limits::MATCHER_VALUE_BYTES_MAX {
            return Err(Error::invalid(
                "value",
                format!(
                    "has {} bytes, at most {} are allowed",
                    matcher.value.len(),
                    limits::MATCHER_VALUE_BYTES_MAX
                ),
            ));
        }
        let (pattern, negated) = match matcher.op.as_str() {
            "=" => (false, false),
            "!=" => (false, true),
            "=~" => (true, false),
            "!~" => (true, true),
            _ => {
                return Err(Error::invalid("op", "must be '=', '!=', '=~' or '!~'"));
            }
        };
        let test = if pattern {
            Test::Pattern(compile(&matcher.value)?)
        } else {
            Test::Equal(matcher.value.clone())
        };
        Ok(Self {
            label: matcher.label.clone(),
            test,
            negated,
        })
    }

    /// Whether a series meets the condition.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.value(&self.label);
        let met = match &self.test {
            Test::Equal(expected) => value == expected,
            Test::Pattern(pattern) => pattern.is_match(value),
        };
        met != self.negated
    }
}

/// Compiles an expression that must match the whole value. The automaton runs in linear time; its size is limited. As in
/// Prometheus a dot matches a line break too.
fn compile(expression: &str) -> Result<regex::Regex> {
    // Compiled by itself first: `a)|(b` must not become legal by the group around it.
    let build = |text: &str| {
        regex::RegexBuilder::new(text)
            .size_limit(limits::REGEX_BYTES_MAX)
            .dfa_size_limit(limits::REGEX_BYTES_MAX)
            .dot_matches_new_line(true)
            .build()
    };
    build(expression)
        .and_then(|_| build(&format!("^(?:{expression})$")))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Error::invalid(
                "value",
                format!(
                    "compiles to more than {} bytes: take a simpler expression",
                    limits::REGEX_BYTES_MAX
                ),
            ),
            _ => Error::invalid("value", "is not a regular expression"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(op: &str, value: &str) -> Result<LabelMatcher> {
        LabelMatcher::parse(&Matcher {
            label: "status".to_owned(),
            op: op.to_owned(),
            value: value.to_owned(),
        })
    }

    #[test]
    fn conditions_are_anchored_and_absent_labels_are_empty() {
        let labels = Labels::from_sorted([("status", "approved")].into_iter());
        let none = Labels::default();
        let check = |op: &str, value: &str, with: bool, without: bool| {
            let matcher = matcher(op, value).expect("compiles");
            assert_eq!(
                (matcher.matches(&labels), matcher.matches(&none)),
                (with, without),
                "{op} {value}"
            );
        };
        check("=", "approved", true, false);
        check("=", "", false, true);
        check("!=", "approved", false, true);
        check("=~", "appr", false, false);
        check("=~", "appr.*|x", true, false);
        check("=~", "", false, true);
        check("!~", "appr.*", false, true);
        for bad in ["(", "a)|(b", "(?:a{1000}){1000}"] {
            assert!(matcher("=~", bad).is_err(), "{bad}");
        }
        assert!(matcher("==", "a").is_err());
        let longest = "a".repeat(limits::MATCHER_VALUE_BYTES_MAX);
        assert!(matcher("=~", &longest).is_ok());
        assert!(matcher("=", &format!("{longest}a")).is_err());
    }
}
