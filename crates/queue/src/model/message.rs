//! A message on its way in.

use std::collections::BTreeMap;

use bytes::Bytes;
use plinth_core::{Error, Result, TimestampMs, TraceContext};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::{QueueName, RoutingKey, check_range, check_text};
use super::{base64_text, limits};

/// One message to publish.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePublishMessage)]
pub struct PublishMessage {
    /// Exchange that routes it; empty or absent is the default exchange, which routes to the queue named by the key.
    pub exchange: Option<String>,
    /// Routing key, at most 255 bytes; words parted by '.' for topic exchanges.
    pub routing_key: String,
    /// Payload in base 64, at most 1,048,576 bytes.
    #[serde(rename = "body_base64", with = "base64_text")]
    #[schema(value_type = String, format = Byte)]
    pub body: Bytes,
    /// Media type of the payload, at most 255 bytes. Default `application/octet-stream`.
    pub content_type: Option<String>,
    /// At most 64 entries; name at most 128 bytes, value at most 4,096, together at most 32,768.
    pub headers: Option<BTreeMap<String, String>>,
    /// 0 to 9; higher goes first. Default 0.
    pub priority: Option<i32>,
    /// Wait before it can be received, 0 to 31,536,000,000 ms. Not together with `deliver_at_ms`.
    pub delay_ms: Option<i64>,
    /// When it can be received at the earliest, in ms since 1970. A past time means at once.
    pub deliver_at_ms: Option<i64>,
    /// Life from now, 1 to 31,536,000,000 ms; the shorter of this and the queue's counts.
    pub ttl_ms: Option<i64>,
    /// Caller's id, 1 to 128 visible ASCII characters, for deduplication. Default: one is made.
    pub message_id: Option<String>,
    /// Messages of one key are delivered in order, one at a time; 1 to 128 bytes.
    pub ordering_key: Option<String>,
    /// W3C trace context of the message. Default: the one of the request.
    pub traceparent: Option<String>,
}

/// What became of one published message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePublished)]
pub struct Published {
    /// Its id.
    pub message_id: String,
    /// Queues that hold it, by name.
    pub queues: Vec<String>,
    /// Whether every queue had already seen the id: nothing was stored.
    pub duplicate: bool,
}

/// A message that was checked.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The exchange; `None` is the default exchange.
    pub exchange: Option<QueueName>,
    /// Its routing key.
    pub routing_key: RoutingKey,
    /// Its payload.
    pub body: Bytes,
    /// Media type of the payload.
    pub content_type: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// 0 to [`limits::PRIORITY_MAX`].
    pub priority: i32,
    /// Wait before it can be received, in milliseconds.
    pub delay_ms: i64,
    /// Life from now, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// The caller's id; deduplicated. `None` where the caller gave none.
    pub message_id: Option<String>,
    /// Its ordering key.
    pub ordering_key: Option<String>,
    /// Its trace context.
    pub traceparent: Option<String>,
}

impl NewMessage {
    /// What it counts against `max_bytes`: body, header names and header values.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        i64::try_from(self.body.len() + headers).unwrap_or(i64::MAX)
    }
}

impl PublishMessage {
    /// Checks the message at a wall time. Errors: 1001 or 1007 naming the field.
    pub fn validate(&self, now: TimestampMs) -> Result<NewMessage> {
        if self.body.len() > limits::BODY_BYTES_MAX {
            return Err(Error::too_large(
                "body",
                format!(
                    "has {} bytes, at most {} are allowed",
                    self.body.len(),
                    limits::BODY_BYTES_MAX
                ),
            ));
        }
        let exchange = match self.exchange.as_deref() {
            None | Some("") => None,
            Some(name) => Some(QueueName::parse("exchange", name)?),
        };
        let content_type = self
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream");
        check_text("content_type", content_type, limits::CONTENT_TYPE_BYTES_MAX)?;
        let priority = check_range(
            "priority",
            self.priority.unwrap_or(0),
            0,
            limits::PRIORITY_MAX,
        )?;
        if let Some(ttl_ms) = self.ttl_ms {
            check_range("ttl_ms", ttl_ms, 1, limits::DELAY_MS_MAX)?;
        }
        Ok(NewMessage {
            exchange,
            routing_key: RoutingKey::parse(&self.routing_key)?,
            body: self.body.clone(),
            content_type: content_type.to_owned(),
            headers: self.checked_headers()?,
            priority,
            delay_ms: self.checked_delay(now)?,
            ttl_ms: self.ttl_ms,
            message_id: self.checked_id()?,
            ordering_key: self.checked_ordering_key()?,
            traceparent: self.checked_traceparent()?,
        })
    }

    fn checked_headers(&self) -> Result<BTreeMap<String, String>> {
        let headers = self.headers.clone().unwrap_or_default();
        if headers.len() > limits::HEADERS_MAX {
            return Err(Error::invalid(
                "headers",
                format!(
                    "has {} entries, at most {} are allowed",
                    headers.len(),
                    limits::HEADERS_MAX
                ),
            ));
        }
        let mut total = 0;
        for (name, value) in &headers {
            if name.is_empty() {
                return Err(Error::invalid("headers", "must not hold an empty name"));
            }
            check_text("headers", name, limits::HEADER_NAME_BYTES_MAX)?;
            if value.len() > limits::HEADER_VALUE_BYTES_MAX {
                return Err(Error::invalid(
                    format!("headers.{name}"),
                    format!(
                        "has {} bytes, at most {} are allowed",
                        value.len(),
                        limits::HEADER_VALUE_BYTES_MAX
                    ),
                ));
            }
            total += name.len() + value.len();
        }
        if total > limits::HEADERS_BYTES_MAX {
            return Err(Error::too_large(
                "headers",
                format!(
                    "have {total} bytes, at most {} are allowed",
                    limits::HEADERS_BYTES_MAX
                ),
            ));
        }
        Ok(headers)
    }

    fn checked_delay(&self, now: TimestampMs) -> Result<i64> {
        match (self.delay_ms, self.deliver_at_ms) {
            (Some(_), Some(_)) => Err(Error::invalid(
                "deliver_at_ms",
                "must not stand beside delay_ms",
            )),
            (Some(delay_ms), None) => check_range("delay_ms", delay_ms, 0, limits::DELAY_MS_MAX),
            (None, Some(at_ms)) => check_range(
                "deliver_at_ms",
                at_ms,
                0,
                now.0.saturating_add(limits::DELAY_MS_MAX),
            )
            .map(|at_ms| at_ms.saturating_sub(now.0).max(0)),
            (None, None) => Ok(0),
        }
    }

    fn checked_id(&self) -> Result<Option<String>> {
        let Some(id) = &self.message_id else {
            return Ok(None);
        };
        let good_length = (1..=limits::MESSAGE_ID_BYTES_MAX).contains(&id.len());
        if !good_length || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(
                "message_id",
                format!(
                    "must be 1 to {} visible ASCII characters",
                    limits::MESSAGE_ID_BYTES_MAX
                ),
            ));
        }
        Ok(Some(id.clone()))
    }

    fn checked_ordering_key(&self) -> Result<Option<String>> {
        let Some(key) = &self.ordering_key else {
            return Ok(None);
        };
        if key.is_empty() {
            return Err(Error::invalid("ordering_key", "must not be empty"));
        }
        check_text("ordering_key", key, limits::ORDERING_KEY_BYTES_MAX)?;
        Ok(Some(key.clone()))
    }

    fn checked_traceparent(&self) -> Result<Option<String>> {
        let Some(header) = &self.traceparent else {
            return Ok(None);
        };
        if header.len() > limits::TRACEPARENT_BYTES_MAX || TraceContext::parse(header).is_none() {
            return Err(Error::invalid("traceparent", "is no W3C trace context"));
        }
        Ok(Some(header.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut PublishMessage)) -> Option<String> {
        let mut message = PublishMessage::default();
        change(&mut message);
        message
            .validate(TimestampMs(1_000))
            .err()
            .map(|error| error.violations()[0].field.clone())
    }

    fn text(length: usize) -> String {
        "x".repeat(length)
    }

    #[test]
    fn each_field_is_checked_at_its_limit_and_one_past_it() {
        let check = |field: &str, at: fn(&mut PublishMessage), past: fn(&mut PublishMessage)| {
            assert_eq!(refused(at), None, "{field} at its limit");
            assert_eq!(
                refused(past).as_deref(),
                Some(field),
                "{field} past its limit"
            );
        };
        check(
            "body",
            |m| m.body = vec![0; limits::BODY_BYTES_MAX].into(),
            |m| m.body = vec![0; limits::BODY_BYTES_MAX + 1].into(),
        );
        check(
            "priority",
            |m| m.priority = Some(9),
            |m| m.priority = Some(10),
        );
        check(
            "priority",
            |m| m.priority = Some(0),
            |m| m.priority = Some(-1),
        );
        check("ttl_ms", |m| m.ttl_ms = Some(1), |m| m.ttl_ms = Some(0));
        check(
            "delay_ms",
            |m| m.delay_ms = Some(limits::DELAY_MS_MAX),
            |m| m.delay_ms = Some(limits::DELAY_MS_MAX + 1),
        );
        check(
            "deliver_at_ms",
            |m| m.deliver_at_ms = Some(1_000 + limits::DELAY_MS_MAX),
            |m| m.deliver_at_ms = Some(1_001 + limits::DELAY_MS_MAX),
        );
        check(
            "message_id",
            |m| m.message_id = Some(text(limits::MESSAGE_ID_BYTES_MAX)),
            |m| m.message_id = Some(text(limits::MESSAGE_ID_BYTES_MAX + 1)),
        );
        check(
            "ordering_key",
            |m| m.ordering_key = Some(text(limits::ORDERING_KEY_BYTES_MAX)),
            |m| m.ordering_key = Some(text(limits::ORDERING_KEY_BYTES_MAX + 1)),
        );
        check(
            "content_type",
            |m| m.content_type = Some(text(limits::CONTENT_TYPE_BYTES_MAX)),
            |m| m.content_type = Some(text(limits::CONTENT_TYPE_BYTES_MAX + 1)),
        );
    }

    #[test]
    fn headers_are_checked_in_number_and_bytes() {
        let headers = |count: usize, bytes: usize| {
            Some(
                (0..count)
                    .map(|index| (format!("h{index:03}"), text(bytes)))
                    .collect(),
            )
        };
        let cases = [
            (limits::HEADERS_MAX, 1, None),
            (limits::HEADERS_MAX + 1, 1, Some("headers")),
            (1, limits::HEADER_VALUE_BYTES_MAX, None),
            (1, limits::HEADER_VALUE_BYTES_MAX + 1, Some("headers.h000")),
            (8, 4_092, None),
            (8, 4_093, Some("headers")),
        ];
        for (count, bytes, expected) in cases {
            let field = refused(|message| message.headers = headers(count, bytes));
            assert_eq!(field.as_deref(), expected, "{count} × {bytes}");
        }
    }

    #[test]
    fn contradictions_and_bad_traces_are_refused() {
        let both = |message: &mut PublishMessage| {
            message.delay_ms = Some(1);
            message.deliver_at_ms = Some(1);
        };
        assert_eq!(refused(both).as_deref(), Some("deliver_at_ms"));
        assert_eq!(
            refused(|m| m.traceparent = Some("00-x".to_owned())).as_deref(),
            Some("traceparent")
        );
        let past = PublishMessage {
            deliver_at_ms: Some(1),
            ..PublishMessage::default()
        };
        assert_eq!(
            past.validate(TimestampMs(1_000)).expect("valid").delay_ms,
            0
        );
    }
}
