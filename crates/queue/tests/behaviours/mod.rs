//! The list.

mod define;
mod deliver;
mod fail;
mod flow;
mod look;
mod publish;

use std::pin::Pin;

use plinth_core::Error;
use plinth_queue::QueueError;
use plinth_queue::model::{AckRequest, DeadRequest, Message, RetryRequest, Settled};

use super::support::{Fixture, TENANT, context};

/// A behaviour: what it is called, and how it is shown.
pub(crate) type Behaviour = (
    &'static str,
    for<'a> fn(&'a Fixture) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
);

/// Every behaviour.
pub(crate) fn all() -> Vec<Behaviour> {
    [
        define::LIST,
        deliver::LIST,
        fail::LIST,
        flow::LIST,
        look::LIST,
        publish::LIST,
    ]
    .concat()
}

/// Names behaviours after their functions.
macro_rules! list {
    ($($name:ident),* $(,)?) => {
        pub(super) const LIST: &[super::Behaviour] = &[$((stringify!($name), |fixture| Box::pin($name(fixture)))),*];
    };
}
pub(crate) use list;

/// The bodies of messages, as text.
fn bodies(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| String::from_utf8_lossy(&message.body).into_owned())
        .collect()
}

fn receipts(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .filter_map(|message| message.receipt.clone())
        .collect()
}

async fn ack(fixture: &Fixture, messages: &[Message]) -> Vec<Settled> {
    let request = AckRequest {
        queue: messages[0].queue.clone(),
        receipts: receipts(messages),
    };
    fixture
        .service
        .ack(&context(TENANT), request)
        .await
        .expect("answers")
        .items
}

async fn retry(fixture: &Fixture, messages: &[Message], after_ms: Option<i64>) -> Vec<Settled> {
    let request = RetryRequest {
        queue: messages[0].queue.clone(),
        receipts: receipts(messages),
        after_ms,
        reason: Some("no luck".to_owned()),
    };
    fixture
        .service
        .retry(&context(TENANT), request)
        .await
        .expect("answers")
        .items
}

async fn dead(fixture: &Fixture, messages: &[Message]) -> Vec<Settled> {
    let request = DeadRequest {
        queue: messages[0].queue.clone(),
        receipts: receipts(messages),
        reason: Some("poison".to_owned()),
    };
    fixture
        .service
        .dead(&context(TENANT), request)
        .await
        .expect("answers")
        .items
}

/// The number of a refusal, and the first field that it names.
fn refusal<T>(outcome: Result<T, QueueError>) -> (u16, String) {
    let Err(error) = outcome else {
        panic!("was not refused");
    };
    let error = Error::from(error);
    let field = error
        .violations()
        .first()
        .map(|violation| violation.field.clone());
    (error.code().number(), field.unwrap_or_default())
}

/// The number of a refusal.
fn code<T>(outcome: Result<T, QueueError>) -> u16 {
    refusal(outcome).0
}
