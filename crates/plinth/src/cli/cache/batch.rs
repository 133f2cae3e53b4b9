//! `plinth cache batch-set`: many values at once, each with what is said about it.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use plinth_client::{ItemResult, SetCondition, SetItem, SetOptions};
use plinth_core::WideInt;
use serde::Deserialize;

use crate::cli::Table;
use crate::cli::exit::Usage;

/// One value as the command line says it: the fields are those of HTTP, and `value` is text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    ttl_ms: Option<i64>,
    expires_at_ms: Option<i64>,
    sliding_ms: Option<i64>,
    #[serde(default)]
    persist: bool,
    content_type: Option<String>,
    condition: Option<Condition>,
    version: Option<WideInt>,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    known_absent: bool,
    lease_token: Option<WideInt>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Condition {
    Always,
    Absent,
    Present,
    Version,
}

/// Reads items from a JSON array.
pub(super) fn parse(text: &str) -> Result<Vec<SetItem>> {
    let items: Vec<Item> = serde_json::from_str(text).context(Usage(
        "the items must be a JSON array of objects with `key` and `value`".to_owned(),
    ))?;
    let items = items.into_iter().enumerate();
    items
        .map(|(index, item)| item.checked().with_context(|| format!("items[{index}]")))
        .collect()
}

impl Item {
    fn checked(self) -> Result<SetItem> {
        let value = match (self.value, self.value_base64) {
            (Some(_), Some(_)) => bail!(Usage("has both `value` and `value_base64`".to_owned())),
            (None, None) if !self.known_absent => {
                bail!(Usage("has neither `value` nor `value_base64`".to_owned()))
            }
            (text, None) => text.unwrap_or_default().into_bytes(),
            (None, Some(text)) => BASE64
                .decode(text)
                .context(Usage("`value_base64` is no base64".to_owned()))?,
        };
        let condition = match (self.condition, self.version) {
            (None | Some(Condition::Version), Some(version)) => SetCondition::Version(version.0),
            (Some(Condition::Version), None) => {
                bail!(Usage("`condition` is `version`, and names none".to_owned()))
            }
            (Some(_), Some(_)) => bail!(Usage(
                "`version` goes with the condition `version` only".to_owned()
            )),
            (None | Some(Condition::Always), None) => SetCondition::Always,
            (Some(Condition::Absent), None) => SetCondition::Absent,
            (Some(Condition::Present), None) => SetCondition::Present,
        };
        Ok(SetItem {
            key: self.key,
            value: value.into(),
            options: SetOptions {
                ttl_ms: self.ttl_ms,
                content_type: self.content_type,
                condition,
                expires_at_ms: self.expires_at_ms,
                sliding_ms: self.sliding_ms,
                persist: self.persist,
                flags: self.flags,
                tags: self.tags,
                known_absent: self.known_absent,
                lease_token: self.lease_token.map(|token| token.0),
            },
        })
    }
}

/// One line for each item.
pub(super) fn stored_table(results: &[ItemResult]) -> Table {
    let mut table = Table::new(["key", "version", "code", "message"]);
    for result in results {
        let version = result.version.map(|version| version.to_string());
        table.row([
            result.key.clone(),
            version.unwrap_or_default(),
            result.code.to_string(),
            result.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// One line for each key.
pub(super) fn deleted_table(results: &[ItemResult]) -> Table {
    let mut table = Table::new(["key", "deleted"]);
    for result in results {
        let deleted = result.deleted.unwrap_or_default();
        table.row([result.key.clone(), deleted.to_string()]);
    }
    table
}

/// Ends with 1 where an item was refused.
pub(super) fn all_done(results: &[ItemResult]) -> Result<()> {
    match results.iter().find(|result| result.code != 0) {
        None => Ok(()),
        Some(result) => bail!(
            "{} was refused with {}: {}",
            result.key,
            result.code,
            result.message.as_deref().unwrap_or("no reason was told")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_say_all_that_one_value_can_and_are_refused_by_their_place() {
        let text = r#"[{"key":"a","value":"x","ttl_ms":5,"tags":["t"],"version":"7"},
            {"key":"b","value_base64":"/w==","condition":"absent"},{"key":"c","known_absent":true}]"#;
        let items = parse(text).expect("items");
        assert_eq!(items[0].options.condition, SetCondition::Version(7));
        assert_eq!(
            (items[0].options.ttl_ms, &items[0].value[..]),
            (Some(5), &b"x"[..])
        );
        assert_eq!(&items[1].value[..], [0xff]);
        assert_eq!(items[1].options.condition, SetCondition::Absent);
        assert!(items[2].options.known_absent && items[2].value.is_empty());
        for (text, why) in [
            (r#"{"key":"a"}"#, "JSON array"),
            (r#"[{"key":"a","value":"x","bogus":1}]"#, "bogus"),
            (r#"[{"key":"a","value":"x"},{"key":"b"}]"#, "items[1]"),
            (r#"[{"key":"a","value":"x","value_base64":""}]"#, "both"),
            (r#"[{"key":"a","value_base64":"!"}]"#, "no base64"),
            (
                r#"[{"key":"a","value":"x","condition":"version"}]"#,
                "names none",
            ),
            (
                r#"[{"key":"a","value":"x","condition":"absent","version":1}]"#,
                "goes with",
            ),
        ] {
            let Err(refusal) = parse(text) else {
                panic!("{text} is taken");
            };
            assert!(format!("{refusal:#}").contains(why), "{text}: {refusal:#}");
        }
    }
}
