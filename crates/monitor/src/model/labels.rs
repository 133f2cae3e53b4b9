//! Names and labels of series, legal by construction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plinth_core::{Error, Resource, Result};

use super::limits;

/// Checks a metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`, not Plinth's own.
///
/// Errors: 1001 naming `metric`.
pub fn check_metric_name(name: &str) -> Result<()> {
    check_grammar(
        "metric",
        name,
        limits::METRIC_NAME_BYTES_MAX,
        |byte| byte == b':',
        "[a-zA-Z_:][a-zA-Z0-9_:]*",
    )?;
    if name.starts_with("plinth_") {
        return Err(Error::invalid(
            "metric",
            "begins with 'plinth_', which is kept for Plinth's own metrics",
        ));
    }
    Ok(())
}

/// The metrics of these names as resources, each once.
#[must_use]
pub fn metric_resources<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Resource> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let resource = |name| Resource::new("metric", name);
    names.into_iter().map(resource).collect()
}

/// Checks a label name: `[a-zA-Z_][a-zA-Z0-9_]*`, neither `le` nor beginning with `__`.
///
/// Errors: 1001 naming `field`.
pub fn check_label_name(field: &str, name: &str) -> Result<()> {
    check_grammar(
        field,
        name,
        limits::LABEL_NAME_BYTES_MAX,
        |_| false,
        "[a-zA-Z_][a-zA-Z0-9_]*",
    )?;
    if name.starts_with("__") {
        return Err(Error::invalid(
            field,
            "begins with '__', which Prometheus keeps for itself",
        ));
    }
    if name == "le" {
        return Err(Error::invalid(
            field,
            "is 'le', which names the bucket bounds of histograms",
        ));
    }
    Ok(())
}

fn check_grammar(
    field: &str,
    name: &str,
    bytes_max: usize,
    also: fn(u8) -> bool,
    grammar: &str,
) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if name.len() > bytes_max {
        return Err(Error::invalid(
            field,
            format!("has {} bytes, at most {bytes_max} are allowed", name.len()),
        ));
    }
    let begins_well = !name.starts_with(|first: char| first.is_ascii_digit());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || also(byte);
    if !begins_well || !name.bytes().all(legal) {
        return Err(Error::invalid(field, format!("must match {grammar}")));
    }
    Ok(())
}

/// The labels of a series: sorted by name, no name twice, no empty value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Parses a caller's labels. A label with an empty value is left out: Prometheus takes both for the same.
    ///
    /// Errors: 1001 naming `labels` or `labels.<name>`.
    pub fn parse(labels: &BTreeMap<String, String>) -> Result<Self> {
        if labels.len() > limits::LABELS_MAX {
            return Err(Error::invalid(
                "labels",
                format!(
                    "has {} labels, at most {} are allowed",
                    labels.len(),
                    limits::LABELS_MAX
                ),
            ));
        }
        for (name, value) in labels {
            check_label_name(&format!("labels.{}", shorten(name)), name)?;
            if value.len() > limits::LABEL_VALUE_BYTES_MAX {
                return Err(Error::invalid(
                    format!("labels.{name}"),
                    format!(
                        "has {} bytes, at most {} are allowed",
                        value.len(),
                        limits::LABEL_VALUE_BYTES_MAX
                    ),
                ));
            }
        }
        let parsed = Self::from_sorted(
            labels
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let bytes = parsed.bytes();
        if bytes > limits::LABELS_BYTES_MAX {
            return Err(Error::too_large(
                "labels",
                format!(
                    "have {bytes} bytes of names and values, at most {} are allowed",
                    limits::LABELS_BYTES_MAX
                ),
            ));
        }
        Ok(parsed)
    }

    /// Names and values together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    /// Takes pairs that are already sorted by name and legal: what this crate stored, or a subset of it.
    pub(crate) fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// The pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The value of a label; empty where there is none.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.iter()
            .find_map(|(own, value)| (own == name).then_some(value))
            .unwrap_or("")
    }

    /// Only the labels of these names.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        Self::from_sorted(
            self.iter()
                .filter(|(own, _)| names.iter().any(|name| name == own)),
        )
    }

    /// As a map, for replies.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// As stored: a JSON object.
    #[must_use]
    pub(crate) fn to_stored(&self) -> String {
        serde_json::Value::Object(
            self.iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
        .to_string()
    }

    /// Reads what [`Labels::to_stored`] wrote.
    pub(crate) fn from_stored(text: &str) -> serde_json::Result<Self> {
        let map: BTreeMap<String, String> = serde_json::from_str(text)?;
        Ok(Self::from_sorted(
            map.iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        ))
    }
}

/// A caller's text, short enough to be quoted in a message.
pub(crate) fn shorten(text: &str) -> &str {
    const QUOTED_BYTES_MAX: usize = 64;
    if text.len() <= QUOTED_BYTES_MAX {
        return text;
    }
    text.get(..text.floor_char_boundary(QUOTED_BYTES_MAX))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn metric_names_are_prometheus_names() {
        let longest = "a".repeat(limits::METRIC_NAME_BYTES_MAX);
        for good in ["a", "_a", ":a", "merchant_reviews_total", "a:b_9", &longest] {
            assert!(check_metric_name(good).is_ok(), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in ["", "9a", "a-b", "a.b", "审核", "a b", "plinth_x", &too_long] {
            assert!(check_metric_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn label_names_are_legal_and_not_reserved() {
        let longest = "a".repeat(limits::LABEL_NAME_BYTES_MAX);
        for good in ["a", "_a", "le_", "status", &longest] {
            assert!(check_label_name("labels", good).is_ok(), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in ["", "9a", "a:b", "__name__", "le", "a-b", &too_long] {
            assert!(check_label_name("labels", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn label_counts_and_values_are_checked_at_the_limit_and_one_past_it() {
        let many = |count: usize| {
            (0..count)
                .map(|index| (format!("l{index}"), "v".to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert!(Labels::parse(&many(limits::LABELS_MAX)).is_ok());
        assert!(Labels::parse(&many(limits::LABELS_MAX + 1)).is_err());
        let value = "v".repeat(limits::LABEL_VALUE_BYTES_MAX);
        assert!(Labels::parse(&labels(&[("a", &value)])).is_ok());
        let error = Labels::parse(&labels(&[("a", &format!("{value}v"))])).expect_err("too long");
        assert_eq!(error.violations()[0].field, "labels.a");
    }

    #[test]
    fn names_and_values_are_bounded_together() {
        let of = |bytes: usize| {
            // Eight labels of a name of one byte and a value of 1,023; the last one makes up the rest.
            let mut labels: BTreeMap<_, _> = ('a'..='g')
                .map(|name| (name.to_string(), "v".repeat(1_023)))
                .collect();
            labels.insert("h".to_owned(), "v".repeat(bytes - 7 * 1_024 - 1));
            Labels::parse(&labels)
        };
        let longest = of(limits::LABELS_BYTES_MAX).expect("at the limit");
        assert_eq!(longest.bytes(), limits::LABELS_BYTES_MAX);
        let error = of(limits::LABELS_BYTES_MAX + 1).expect_err("past it");
        assert_eq!(error.code().number(), 1007);
        assert_eq!(error.violations()[0].field, "labels");
    }

    #[test]
    fn labels_survive_storage_and_empty_values_vanish() {
        let parsed = Labels::parse(&labels(&[("b", "\u{0}\"\\\n审"), ("a", "x"), ("c", "")]))
            .expect("parses");
        assert_eq!(parsed.iter().count(), 2);
        assert_eq!(
            Labels::from_stored(&parsed.to_stored()).expect("reads"),
            parsed
        );
        assert_eq!((parsed.value("a"), parsed.value("c")), ("x", ""));
        assert_eq!(
            parsed.only(&["a".to_owned()]).to_map(),
            labels(&[("a", "x")])
        );
    }
}
