//! A durable subscription.

use plinth_core::{Error, Result, SecretString};
use plinth_security::sign::check_webhook_secret;
use serde::{Deserialize, Serialize};

use super::limits;
use super::names::{QueueName, check_range};
use super::requests::{SubscribeRequest, SubscriptionInfo, Webhook};

/// Where and under which secret a pushing subscription delivers.
#[derive(Clone)]
pub struct WebhookTarget {
    /// Absolute http or https URL.
    pub url: String,
    /// Signs each delivery.
    pub secret: SecretString,
}

/// How a subscription gets its messages.
#[derive(Clone)]
pub enum Delivery {
    /// It asks for them.
    Polled,
    /// They are pushed to it.
    Webhook(WebhookTarget),
}

/// A subscription that was checked.
#[derive(Clone)]
pub struct Subscription {
    /// Its name.
    pub name: QueueName,
    /// Queue that it reads.
    pub queue: QueueName,
    /// Messages handed out at most at a time.
    pub prefetch: i32,
    /// Lease of a delivery, in milliseconds.
    pub lease_ms: i64,
    /// How it gets its messages.
    pub delivery: Delivery,
}

/// A subscription as the control plane keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct SubscriptionDocument {
    format: u32,
    request: SubscribeRequest,
}

/// Format of the stored document.
const DOCUMENT_FORMAT: u32 = 1;

impl Subscription {
    /// Checks a declaration. Errors: 1001 naming the field.
    pub fn validate(name: &str, request: &SubscribeRequest) -> Result<Self> {
        if let Some(webhook) = &request.webhook {
            webhook
                .check_key()
                .map_err(|error| error.in_field("webhook"))?;
        }
        Self::parse(name, request)
    }

    /// What a declaration and a stored document both keep to.
    fn parse(name: &str, request: &SubscribeRequest) -> Result<Self> {
        let delivery = match (
            request.mode.as_deref().unwrap_or("polled"),
            &request.webhook,
        ) {
            ("polled", None) => Delivery::Polled,
            ("polled", Some(_)) => {
                return Err(Error::invalid(
                    "webhook",
                    "is not for a polled subscription",
                ));
            }
            ("webhook", Some(webhook)) => Delivery::Webhook(
                webhook
                    .validate()
                    .map_err(|error| error.in_field("webhook"))?,
            ),
            ("webhook", None) => {
                return Err(Error::invalid(
                    "webhook",
                    "is required where the mode is webhook",
                ));
            }
            (other, _) => {
                return Err(Error::invalid(
                    "mode",
                    format!("is {other:?}, must be polled or webhook"),
                ));
            }
        };
        let lease_ms_min = match delivery {
            Delivery::Polled => limits::LEASE_MS_MIN,
            Delivery::Webhook(_) => limits::WEBHOOK_LEASE_MS_MIN,
        };
        Ok(Self {
            name: QueueName::parse("subscription", name)?,
            queue: QueueName::parse_target("queue", &request.queue)?,
            prefetch: check_range(
                "prefetch",
                request.prefetch.unwrap_or(limits::PREFETCH_DEFAULT),
                1,
                limits::RECEIVE_MAX,
            )?,
            lease_ms: check_range(
                "lease_ms",
                request.lease_ms.unwrap_or(limits::LEASE_MS_DEFAULT),
                lease_ms_min,
                limits::LEASE_MS_MAX,
            )?,
            delivery,
        })
    }

    /// The first way in which two declarations differ; a secret is named, never shown.
    #[must_use]
    pub fn difference(&self, asked: &Self) -> Option<String> {
        let (is, wants) = (self.info(), asked.info());
        let says = |field: &str, is: String, asked: String| {
            (is != asked).then(|| format!("{field} is {is}, not {asked}"))
        };
        let url = |info: &SubscriptionInfo| info.url.clone().unwrap_or_default();
        says("queue", self.queue.to_string(), asked.queue.to_string())
            .or_else(|| {
                says(
                    "prefetch",
                    is.prefetch.to_string(),
                    wants.prefetch.to_string(),
                )
            })
            .or_else(|| {
                says(
                    "lease_ms",
                    is.lease_ms.to_string(),
                    wants.lease_ms.to_string(),
                )
            })
            .or_else(|| says("mode", is.mode.clone(), wants.mode.clone()))
            .or_else(|| says("webhook.url", url(&is), url(&wants)))
            .or_else(|| {
                (self.secret() != asked.secret()).then(|| "webhook.secret differs".to_owned())
            })
    }

    fn secret(&self) -> Option<&str> {
        match &self.delivery {
            Delivery::Polled => None,
            Delivery::Webhook(target) => Some(target.secret.expose()),
        }
    }

    /// What callers may see of it.
    #[must_use]
    pub fn info(&self) -> SubscriptionInfo {
        let (mode, url) = match &self.delivery {
            Delivery::Polled => ("polled", None),
            Delivery::Webhook(target) => ("webhook", Some(target.url.clone())),
        };
        SubscriptionInfo {
            subscription: self.name.to_string(),
            prefetch: self.prefetch,
            lease_ms: self.lease_ms,
            mode: mode.to_owned(),
            url,
        }
    }

    /// The document for the control plane, secret included: that store must be able to sign.
    pub(crate) fn to_document(&self) -> SubscriptionDocument {
        let info = self.info();
        let webhook = match &self.delivery {
            Delivery::Polled => None,
            Delivery::Webhook(target) => Some(Webhook {
                url: target.url.clone(),
                secret: target.secret.expose().to_owned(),
            }),
        };
        SubscriptionDocument {
            format: DOCUMENT_FORMAT,
            request: SubscribeRequest {
                queue: self.queue.to_string(),
                prefetch: Some(self.prefetch),
                lease_ms: Some(self.lease_ms),
                mode: Some(info.mode),
                webhook,
            },
        }
    }

    /// Reads a document back. Errors: 1013 where it is of a later format, 1001 where it breaks the rules.
    pub(crate) fn from_document(name: &str, document: &SubscriptionDocument) -> Result<Self> {
        if document.format > DOCUMENT_FORMAT {
            return Err(Error::internal(format!(
                "subscription {name} has format {}, known is {DOCUMENT_FORMAT}",
                document.format
            )));
        }
        Self::parse(name, &document.request)
    }
}

impl Webhook {
    /// Refuses a secret that signs otherwise than a receiver's library would check. What is stored already stays as it is.
    fn check_key(&self) -> Result<()> {
        check_webhook_secret(&SecretString::new(self.secret.clone()))
            .map_err(|error| Error::invalid("secret", error.to_string()))
    }

    fn validate(&self) -> Result<WebhookTarget> {
        if self.url.len() > limits::WEBHOOK_URL_BYTES_MAX {
            return Err(Error::invalid(
                "url",
                format!(
                    "has {} bytes, at most {} are allowed",
                    self.url.len(),
                    limits::WEBHOOK_URL_BYTES_MAX
                ),
            ));
        }
        plinth_outbound::Target::parse(&self.url)
            .map_err(|error| Error::invalid("url", error.to_string()))?;
        let secret_bytes = limits::WEBHOOK_SECRET_BYTES_MIN..=limits::WEBHOOK_SECRET_BYTES_MAX;
        if !secret_bytes.contains(&self.secret.len()) {
            return Err(Error::invalid(
                "secret",
                format!(
                    "must have {} to {} bytes",
                    secret_bytes.start(),
                    secret_bytes.end()
                ),
            ));
        }
        Ok(WebhookTarget {
            url: self.url.clone(),
            secret: SecretString::new(self.secret.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(secret_bytes: usize) -> SubscribeRequest {
        SubscribeRequest {
            queue: "orders".to_owned(),
            mode: Some("webhook".to_owned()),
            webhook: Some(Webhook {
                url: "https://example.com/hook".to_owned(),
                secret: "s".repeat(secret_bytes),
            }),
            ..SubscribeRequest::default()
        }
    }

    #[test]
    fn a_subscription_survives_its_document() {
        for request in [
            webhook(32),
            SubscribeRequest {
                queue: "orders".to_owned(),
                ..SubscribeRequest::default()
            },
        ] {
            let subscription = Subscription::validate("mail", &request).expect("valid");
            let back =
                Subscription::from_document("mail", &subscription.to_document()).expect("reads");
            assert_eq!(subscription.difference(&back), None);
        }
    }

    #[test]
    fn a_secret_of_the_scheme_is_checked_when_it_is_declared_and_kept_where_it_is_stored() {
        let with = |secret: &str| {
            let mut request = webhook(16);
            if let Some(webhook) = &mut request.webhook {
                secret.clone_into(&mut webhook.secret);
            }
            request
        };
        let good = with("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        assert!(Subscription::validate("mail", &good).is_ok());
        let bad = with("whsec_no key, only words");
        let refused = Subscription::validate("mail", &bad).err().expect("refused");
        assert_eq!(refused.violations()[0].field, "webhook.secret");
        let earlier = SubscriptionDocument {
            format: DOCUMENT_FORMAT,
            request: bad,
        };
        assert!(Subscription::from_document("mail", &earlier).is_ok());
    }

    #[test]
    fn each_field_is_checked_at_its_limit_and_one_past_it() {
        let check = |request: &SubscribeRequest| {
            Subscription::validate("mail", request)
                .err()
                .map(|error| error.violations()[0].field.clone())
        };
        let with = |change: fn(&mut SubscribeRequest)| {
            let mut request = webhook(16);
            change(&mut request);
            check(&request)
        };
        assert_eq!(check(&webhook(16)), None);
        assert_eq!(check(&webhook(256)), None);
        assert_eq!(check(&webhook(15)).as_deref(), Some("webhook.secret"));
        assert_eq!(check(&webhook(257)).as_deref(), Some("webhook.secret"));
        assert_eq!(with(|r| r.prefetch = Some(256)), None);
        assert_eq!(
            with(|r| r.prefetch = Some(257)).as_deref(),
            Some("prefetch")
        );
        assert_eq!(with(|r| r.lease_ms = Some(15_000)), None);
        assert_eq!(
            with(|r| r.lease_ms = Some(14_999)).as_deref(),
            Some("lease_ms")
        );
        let polled = |lease_ms| SubscribeRequest {
            queue: "orders".to_owned(),
            lease_ms: Some(lease_ms),
            ..SubscribeRequest::default()
        };
        assert_eq!(check(&polled(100)), None);
        assert_eq!(check(&polled(99)).as_deref(), Some("lease_ms"));
        assert_eq!(with(|r| r.mode = None).as_deref(), Some("webhook"));
        assert_eq!(with(|r| r.webhook = None).as_deref(), Some("webhook"));
        assert_eq!(
            with(|r| r.mode = Some("push".to_owned())).as_deref(),
            Some("mode")
        );
    }

    #[test]
    fn a_difference_names_the_secret_without_showing_it() {
        let one = Subscription::validate("mail", &webhook(16)).expect("valid");
        let other = Subscription::validate("mail", &webhook(17)).expect("valid");
        assert_eq!(
            one.difference(&other).as_deref(),
            Some("webhook.secret differs")
        );
        assert!(!format!("{:?}", webhook(16)).contains("sss"));
    }
}
