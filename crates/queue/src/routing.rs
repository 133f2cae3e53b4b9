//! Which queues an exchange routes a key to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::QueueError;
use crate::model::{ExchangeKind, QueueName, limits};

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

    /// The queues that take a key, each once, by name. Errors: 1007 where the steps are used up.
    pub(crate) fn route(
        &self,
        key: &str,
        steps: &mut RoutingSteps,
    ) -> Result<BTreeSet<QueueName>, QueueError> {
        let mut matching = BTreeSet::new();
        match self.kind {
            ExchangeKind::Fanout => matching.extend(self.bindings.values().flatten().cloned()),
            ExchangeKind::Direct => {
                matching.extend(self.bindings.get(key).into_iter().flatten().cloned());
            }
            ExchangeKind::Topic => {
                let key = TopicKey::of(key);
                for (pattern, queues) in &self.bindings {
                    if key.is_matched_by(pattern, steps)? {
                        matching.extend(queues.iter().cloned());
                    }
                }
            }
        }
        Ok(matching)
    }
}

/// What one publish may still spend on finding its queues: words of patterns.
pub(crate) struct RoutingSteps {
    left: u64,
    since_rest: u64,
}

/// Steps after which others on the same thread get their turn: some milliseconds of work.
const STEPS_BETWEEN_RESTS: u64 = 100_000;

impl RoutingSteps {
    pub(crate) const fn new() -> Self {
        Self {
            left: limits::ROUTING_STEPS_MAX,
            since_rest: 0,
        }
    }

    fn take(&mut self) -> Result<(), QueueError> {
        self.left = self.left.checked_sub(1).ok_or(QueueError::RoutingTooLong {
            steps_max: limits::ROUTING_STEPS_MAX,
        })?;
        self.since_rest += 1;
        Ok(())
    }

    /// Lets others on the thread go on, where it was long since.
    pub(crate) async fn rest(&mut self) {
        if self.since_rest >= STEPS_BETWEEN_RESTS {
            self.since_rest = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Bits for each number of words from none to as many as the longest key has: dots alone.
const LIMBS: usize = (limits::ROUTING_KEY_BYTES_MAX + 2).div_ceil(64);

/// A set of numbers of words.
#[derive(Clone, Copy, Default)]
struct Counts([u64; LIMBS]);

impl Counts {
    fn insert(&mut self, count: usize) {
        if let Some(limb) = self.0.get_mut(count / 64) {
            *limb |= 1 << (count % 64);
        }
    }

    fn contains(&self, count: usize) -> bool {
        let limb = self.0.get(count / 64).copied().unwrap_or(0);
        limb >> (count % 64) & 1 == 1
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|limb| *limb == 0)
    }

    /// Each count one greater, as far as it is in `allowed`.
    fn next_in(&self, allowed: &Self) -> Self {
        let (mut next, mut carried) = (*self, 0);
        for (limb, allowed) in next.0.iter_mut().zip(&allowed.0) {
            let carry = *limb >> 63;
            *limb = (*limb << 1 | carried) & allowed;
            carried = carry;
        }
        next
    }

    /// Every count from the least one on, as far as it is in `allowed`.
    fn rest_in(&self, allowed: &Self) -> Self {
        let (mut rest, mut is_past) = (*self, false);
        for (limb, allowed) in rest.0.iter_mut().zip(&allowed.0) {
            if is_past {
                *limb = u64::MAX;
            } else if *limb != 0 {
                *limb = u64::MAX << limb.trailing_zeros();
                is_past = true;
            }
            *limb &= allowed;
        }
        rest
    }
}

/// A routing key, ready to be compared with many patterns.
struct TopicKey<'a> {
    words: usize,
    /// Every number of its words, none included.
    all: Counts,
    /// For each word the numbers of words that end with it.
    ends: HashMap<&'a str, Counts>,
}

impl<'a> TopicKey<'a> {
    fn of(key: &'a str) -> Self {
        let mut topic = Self {
            words: 0,
            all: Counts::default(),
            ends: HashMap::new(),
        };
        topic.all.insert(0);
        let words = (!key.is_empty()).then(|| key.split('.'));
        for word in words.into_iter().flatten() {
            topic.words += 1;
            topic.all.insert(topic.words);
            topic.ends.entry(word).or_default().insert(topic.words);
        }
        topic
    }

    /// Whether a topic pattern matches: words parted by '.', `*` is one word, `#` any number of words (AMQP 0-9-1, section
    /// 3.1.3.3). One step for each word of the pattern, whatever the pattern and the key, and none after the first that
    /// cannot fit: all ways to match are followed at once.
    fn is_matched_by(&self, pattern: &str, steps: &mut RoutingSteps) -> Result<bool, QueueError> {
        let mut matched = Counts::default();
        matched.insert(0);
        let parts = (!pattern.is_empty()).then(|| pattern.split('.'));
        for part in parts.into_iter().flatten() {
            steps.take()?;
            matched = match part {
                "#" => matched.rest_in(&self.all),
                "*" => matched.next_in(&self.all),
                word => match self.ends.get(word) {
                    Some(ends) => matched.next_in(ends),
                    None => return Ok(false),
                },
            };
            if matched.is_empty() {
                return Ok(false);
            }
        }
        Ok(matched.contains(self.words))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic_matches(pattern: &str, key: &str) -> bool {
        let matched = TopicKey::of(key).is_matched_by(pattern, &mut RoutingSteps::new());
        matched.expect("has steps enough")
    }

    /// The rule as it is written down, by trying every way.
    fn matches_by_the_book(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern, words) {
            ([], []) => true,
            (["#", rest @ ..], _) => {
                (0..=words.len()).any(|taken| matches_by_the_book(rest, &words[taken..]))
            }
            ([part, rest @ ..], [word, others @ ..]) => {
                (*part == "*" || part == word) && matches_by_the_book(rest, others)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn topics_match_by_the_book(
            pattern in proptest::collection::vec(prop_oneof!["#", "\\*", "a", "b", ""], 0..7),
            words in proptest::collection::vec(prop_oneof!["a", "b", ""], 0..7),
        ) {
            let split = |text: &str| -> Vec<String> {
                let words = (!text.is_empty()).then(|| text.split('.'));
                words.into_iter().flatten().map(ToOwned::to_owned).collect()
            };
            let (pattern, key) = (pattern.join("."), words.join("."));
            let (parts, words) = (split(&pattern), split(&key));
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            prop_assert_eq!(topic_matches(&pattern, &key), matches_by_the_book(&parts, &words));
        }
    }

    #[test]
    fn the_longest_keys_match_at_their_last_word() {
        let dots = ".".repeat(limits::ROUTING_KEY_BYTES_MAX);
        assert!(topic_matches(&dots, &dots));
        assert!(!topic_matches(&dots, &dots[1..]));
        let words = ["a"; 128].join(".");
        assert!(topic_matches(&["*"; 128].join("."), &words));
        assert!(!topic_matches(&["*"; 127].join("."), &words));
        assert!(topic_matches(
            &format!("#.{}", ["a"; 126].join(".")),
            &words
        ));
    }

    #[test]
    fn each_word_of_a_pattern_is_a_step_and_a_publish_has_so_many() {
        let queue = QueueName::parse("queue", "q").expect("parses");
        let mut exchange = Exchange::new(ExchangeKind::Topic);
        exchange.bind("#.a.#", &queue);
        // This one ends at its first word, which the key does not have.
        exchange.bind("b.a.a", &queue);
        let with = |left: u64| {
            let mut steps = RoutingSteps {
                left,
                since_rest: 0,
            };
            exchange.route("a.a", &mut steps).map(|queues| queues.len())
        };
        assert_eq!(with(4).expect("at the limit"), 1);
        let error = plinth_core::Error::from(with(3).expect_err("one past it"));
        assert_eq!(error.code().number(), 1007);
        assert_eq!(error.violations()[0].field, "routing_key");
        assert!(!error.is_retriable());
    }

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
                .route(key, &mut RoutingSteps::new())
                .expect("has steps enough")
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
