//! Which queues an exchange routes a key to.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ExchangeKind, QueueName};

/// An exchange with its bindings.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) kind: ExchangeKind,
    /// Queues by key or pattern, so that a direct exchange finds its queues without a scan.
    bindings: BTreeMap<String, BTreeSet<QueueName>>,
}

impl Exchange {
    pub(crate) fn new(kind: ExchangeKind) -> Self {
        Self {
            kind,
            bindings: BTreeMap::new(),
        }
    }

    /// Returns whether the binding was new.
    pub(crate) fn bind(&mut self, key: &str, queue: &QueueName) -> bool {
        self.bindings
            .entry(key.to_owned())
            .or_default()
            .insert(queue.clone())
    }

    /// Returns whether there was one.
    pub(crate) fn unbind(&mut self, key: &str, queue: &QueueName) -> bool {
        let Some(queues) = self.bindings.get_mut(key) else {
            return false;
        };
        let removed = queues.remove(queue);
        if queues.is_empty() {
            self.bindings.remove(key);
        }
        removed
    }

    pub(crate) fn contains(&self, key: &str, queue: &QueueName) -> bool {
        self.bindings
            .get(key)
            .is_some_and(|queues| queues.contains(queue))
    }

    pub(crate) fn len(&self) -> usize {
        self.bindings.values().map(BTreeSet::len).sum()
    }

    pub(crate) fn bindings(&self) -> impl Iterator<Item = (&str, &QueueName)> {
        self.bindings
            .iter()
            .flat_map(|(key, queues)| queues.iter().map(move |queue| (key.as_str(), queue)))
    }

    /// The queues that take a key, each once, by name.
    pub(crate) fn route(&self, key: &str) -> BTreeSet<QueueName> {
        let matching: Vec<&QueueName> = match self.kind {
            ExchangeKind::Fanout => self.bindings.values().flatten().collect(),
            ExchangeKind::Topic => self
                .bindings
                .iter()
                .filter(|(pattern, _)| topic_matches(pattern, key))
                .flat_map(|(_, queues)| queues)
                .collect(),
            ExchangeKind::Direct => self.bindings.get(key).into_iter().flatten().collect(),
        };
        matching.into_iter().cloned().collect()
    }
}

/// Whether a topic pattern matches a key: words parted by '.', `*` is one word, `#` any number of words (AMQP 0-9-1,
/// section 3.1.3.3).
///
/// Runs in words of the pattern × words of the key, whatever the pattern: no backtracking.
pub(crate) fn topic_matches(pattern: &str, key: &str) -> bool {
    let words: Vec<&str> = if key.is_empty() {
        Vec::new()
    } else {
        key.split('.').collect()
    };
    // `reached[n]`: the pattern so far matches the first n words.
    let mut reached = vec![false; words.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let parts = (!pattern.is_empty())
        .then(|| pattern.split('.'))
        .into_iter()
        .flatten();
    for part in parts {
        let mut next = vec![false; reached.len()];
        let mut any_before = false;
        for (index, slot) in next.iter_mut().enumerate() {
            let here = reached.get(index).copied().unwrap_or(false);
            any_before |= here;
            *slot = if part == "#" {
                any_before
            } else {
                let before = index.checked_sub(1);
                let word_fits = before
                    .and_then(|before| words.get(before))
                    .is_some_and(|word| part == "*" || part == *word);
                word_fits
                    && before
                        .and_then(|before| reached.get(before))
                        .copied()
                        .unwrap_or(false)
            };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_match_by_words() {
        let cases = [
            ("status.*", "status.approved", true),
            ("status.*", "status", false),
            ("status.*", "status.a.b", false),
            ("status.#", "status", true),
            ("status.#", "status.a.b", true),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("*.approved", "status.approved", true),
            ("#.approved", "approved", true),
            ("#.approved", "a.b.approved", true),
            ("#.approved", "a.b.rejected", false),
            ("a.#.b.#.c", "a.x.b.c", true),
            ("a.#.b.#.c", "a.b", false),
            ("#.#", "a", true),
            ("a.*.#", "a", false),
            ("a.*.#", "a.b", true),
            ("status", "Status", false),
        ];
        for (pattern, key, expected) in cases {
            assert_eq!(topic_matches(pattern, key), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length() {
        let pattern = ["#"; 127].join(".");
        let key = ["a"; 127].join(".");
        assert!(topic_matches(&pattern, &key));
        assert!(!topic_matches(&format!("{pattern}.b"), &key));
    }

    #[test]
    fn each_kind_routes_by_its_rule_and_names_a_queue_once() {
        let queue = |name: &str| QueueName::parse("queue", name).expect("parses");
        let check = |kind: ExchangeKind, key: &str, expected: &[&str]| {
            let mut exchange = Exchange::new(kind);
            exchange.bind("a.*", &queue("one"));
            exchange.bind("a.b", &queue("one"));
            exchange.bind("a.b", &queue("two"));
            let routed: Vec<String> = exchange
                .route(key)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(routed, expected, "{} {key}", kind.as_str());
        };
        check(ExchangeKind::Direct, "a.b", &["one", "two"]);
        check(ExchangeKind::Direct, "a.*", &["one"]);
        check(ExchangeKind::Direct, "a.c", &[]);
        check(ExchangeKind::Topic, "a.c", &["one"]);
        check(ExchangeKind::Fanout, "", &["one", "two"]);
    }
}
