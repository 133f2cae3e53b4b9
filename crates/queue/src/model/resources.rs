//! What each request is applied to, for whoever decides whether a caller may.

use plinth_core::Resource;

use super::message::PublishMessage;
use super::requests::{
    BindRequest, CreateQueueRequest, PublishBatchRequest, PublishRequest, UnbindRequest,
};

/// A queue, by name.
#[must_use]
pub fn queue_resource(name: &str) -> Resource {
    Resource::new("queue", name)
}

fn exchange_resource(name: &str) -> Resource {
    Resource::new("exchange", name)
}

impl PublishMessage {
    /// An exchange, or by the default exchange the queue named by the key.
    fn resource(&self) -> Resource {
        match self.exchange.as_deref() {
            None | Some("") => queue_resource(&self.routing_key),
            Some(exchange) => exchange_resource(exchange),
        }
    }
}

impl PublishRequest {
    /// What is published to.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        vec![self.message.resource()]
    }
}

impl PublishBatchRequest {
    /// What is published to, each once.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        let mut resources: Vec<Resource> =
            self.messages.iter().map(PublishMessage::resource).collect();
        resources.sort_by(|one, other| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)));
        resources.dedup();
        resources
    }
}

impl CreateQueueRequest {
    /// The queue, and the dead-letter queue where the request names one: whoever declares a queue writes there.
    #[must_use]
    pub fn resources(&self, queue: &str) -> Vec<Resource> {
        let target = self
            .options
            .as_ref()
            .and_then(|options| options.dead_letter_queue.as_deref())
            .filter(|target| !target.is_empty());
        std::iter::once(queue)
            .chain(target)
            .map(queue_resource)
            .collect()
    }
}

impl BindRequest {
    /// The exchange and the queue.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        vec![
            exchange_resource(&self.exchange),
            queue_resource(&self.queue),
        ]
    }
}

impl UnbindRequest {
    /// The exchange and the queue.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        vec![
            exchange_resource(&self.exchange),
            queue_resource(&self.queue),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QueueOptions;

    #[test]
    fn a_batch_names_each_destination_once() {
        let message = |exchange: Option<&str>, key: &str| PublishMessage {
            exchange: exchange.map(ToOwned::to_owned),
            routing_key: key.to_owned(),
            ..PublishMessage::default()
        };
        let batch = PublishBatchRequest {
            messages: vec![
                message(None, "a"),
                message(Some("x"), "a"),
                message(Some(""), "a"),
            ],
        };
        let names: Vec<String> = batch.resources().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["exchange/x", "queue/a"]);
    }

    #[test]
    fn a_named_dead_letter_queue_is_touched_too() {
        let touched = |target: Option<&str>| {
            let options = QueueOptions {
                dead_letter_queue: target.map(ToOwned::to_owned),
                ..QueueOptions::default()
            };
            CreateQueueRequest {
                options: Some(options),
            }
            .resources("a")
            .len()
        };
        assert_eq!(
            (touched(None), touched(Some("")), touched(Some("b"))),
            (1, 1, 2)
        );
    }
}
