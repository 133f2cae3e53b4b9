//! Names, keys and words.

use std::fmt;

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::limits;

/// Name of a queue, exchange or subscription: 1 to [`limits::NAME_BYTES_MAX`] bytes under the house's rule of names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(String);

impl QueueName {
    /// Parses a name. Errors: 1001 naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        plinth_core::ids::check_name(field, text, limits::NAME_BYTES_MAX)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The dead-letter queue that a queue of this name has by default.
    ///
    /// It may be longer than a declared name by the five bytes of its ending.
    #[must_use]
    pub fn dead_letter(&self) -> Self {
        Self(format!("{}.dead", self.0))
    }

    /// Parses the name of a dead-letter queue: [`QueueName::dead_letter`] of the longest name is still one.
    pub(crate) fn parse_target(field: &str, text: &str) -> Result<Self> {
        plinth_core::ids::check_name(field, text, limits::NAME_BYTES_MAX + ".dead".len())?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for QueueName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse_target("queue", &text)
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0
    }
}

/// A routing key or binding pattern: at most [`limits::ROUTING_KEY_BYTES_MAX`] bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingKey(String);

impl RoutingKey {
    /// Parses a key. Errors: 1001 naming `routing_key`.
    pub fn parse(text: &str) -> Result<Self> {
        check_text("routing_key", text, limits::ROUTING_KEY_BYTES_MAX)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks free text: at most `max_bytes`, no control characters. Errors: 1001 naming `field`.
pub(super) fn check_text(field: &str, text: &str, max_bytes: usize) -> Result<()> {
    if text.len() > max_bytes {
        return Err(Error::invalid(
            field,
            format!("has {} bytes, at most {max_bytes} are allowed", text.len()),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not hold control characters"));
    }
    Ok(())
}

/// Checks that a number lies in a range. Errors: 1001 naming `field`.
pub(super) fn check_range<N: PartialOrd + fmt::Display + Copy>(
    field: &str,
    value: N,
    least: N,
    most: N,
) -> Result<N> {
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(Error::invalid(
        field,
        format!("is {value}, must lie in {least}..={most}"),
    ))
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeKind {
    /// To the queues bound with exactly the message's key.
    Direct,
    /// To the queues whose pattern matches the message's key.
    Topic,
    /// To every bound queue.
    Fanout,
}

impl ExchangeKind {
    /// Parses the word. Errors: 1001 naming `exchange_type`.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "direct" => Ok(Self::Direct),
            "topic" => Ok(Self::Topic),
            "fanout" => Ok(Self::Fanout),
            other => Err(Error::invalid(
                "exchange_type",
                format!("is {other:?}, must be direct, topic or fanout"),
            )),
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Fanout => "fanout",
        }
    }
}

/// Which messages of a queue are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// Every message of the queue.
    All,
    /// Those that can be received now.
    Ready,
    /// Those that wait for their time or for an earlier message of their ordering key.
    Delayed,
    /// Those that a consumer holds.
    Leased,
    /// Those of this queue that stand in its dead-letter queue.
    Dead,
}

impl StateFilter {
    /// Parses the word; absent means all. Errors: 1001 naming `state`.
    pub fn parse(word: Option<&str>) -> Result<Self> {
        match word.unwrap_or("all") {
            "all" => Ok(Self::All),
            "ready" => Ok(Self::Ready),
            "delayed" => Ok(Self::Delayed),
            "leased" => Ok(Self::Leased),
            "dead" => Ok(Self::Dead),
            other => Err(Error::invalid(
                "state",
                format!("is {other:?}, must be all, ready, delayed, leased or dead"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_checked_at_the_limit_and_one_past_it() {
        let longest = "q".repeat(limits::NAME_BYTES_MAX);
        let name = QueueName::parse("queue", &longest).expect("fits");
        assert!(QueueName::parse("queue", &format!("{longest}q")).is_err());
        assert!(QueueName::parse_target("queue", name.dead_letter().as_str()).is_ok());
        assert!(QueueName::parse("queue", "a b").is_err());
        let key = "k".repeat(limits::ROUTING_KEY_BYTES_MAX);
        assert!(RoutingKey::parse(&key).is_ok());
        assert!(RoutingKey::parse(&format!("{key}k")).is_err());
        assert!(RoutingKey::parse("a\nb").is_err());
    }

    #[test]
    fn an_unknown_word_names_its_field() {
        let error = StateFilter::parse(Some("gone")).expect_err("refused");
        assert_eq!(error.violations()[0].field, "state");
        let error = ExchangeKind::parse("headers").expect_err("refused");
        assert_eq!(error.violations()[0].field, "exchange_type");
    }
}
