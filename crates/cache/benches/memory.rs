//! The embedded backend by itself: resident memory of each entry, and how long sets, gets and a walk over everything take.
//!
//! `cargo bench -p plinth-cache --bench memory -- [entries] [value bytes]` (1,000,000 entries of 100 bytes where not told
//! otherwise; keys have 24 bytes).

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::expect_used, reason = "a bench ends where something fails")]

use std::sync::Arc;
use std::time::Instant;

use plinth_cache::backend::{CacheBackend, Looking};
use plinth_cache::model::{
    Atomicity, Change, ChangeKind, Condition, Content, Guard, Key, KeyPrefix, Life, Namespace,
    Policy, Put, Read, Scan, ScanLimit, Scope, Space, Tags, Value,
};
use plinth_cache::{CacheSettings, MemoryCache};
use plinth_core::{SystemClock, TenantId};

/// Entries of one set.
const BATCH: u64 = 100;
/// Single reads that are timed.
const READS: u64 = 1_000_000;

fn key(number: u64) -> Key {
    Key::parse(&format!("merchant:status:{number:08}")).expect("a key")
}

fn put(number: u64, value: &[u8]) -> Change {
    let value = Value::parse(value.to_vec().into(), None, None).expect("a value");
    Change {
        key: key(number),
        kind: ChangeKind::Put(Put {
            content: Content::Value(value),
            life: Life::FOREVER,
            condition: Condition::Always,
            tags: Tags::default(),
            lease: None,
        }),
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        * 1_024
}

fn each(total_ns: u128, count: u64) -> u128 {
    total_ns / u128::from(count.max(1))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<u64>().ok());
    let entries = numbers.next().unwrap_or(1_000_000).clamp(BATCH, 99_999_999) / BATCH * BATCH;
    let value = vec![b'v'; usize::try_from(numbers.next().unwrap_or(100)).expect("a length")];
    let settings = CacheSettings {
        bytes_max: u64::MAX,
        ..CacheSettings::default()
    };
    let cache = MemoryCache::new(&settings, SystemClock::shared());
    let space = Space {
        scope: Scope {
            tenant: TenantId::parse("bench").expect("a tenant"),
            namespace: Namespace::parse("memory").expect("a namespace"),
        },
        policy: Policy::default(),
    };
    let guard = || Guard::unfenced(Atomicity::EachAlone);
    let before = resident();
    let began = Instant::now();
    for first in (0..entries).step_by(usize::try_from(BATCH).expect("a number")) {
        let changes = (first..first + BATCH).map(|number| put(number, &value));
        let changes: Vec<Change> = changes.collect();
        cache.apply(&space, changes, guard()).await.expect("is set");
    }
    let took = began.elapsed().as_nanos();
    let grown = resident().saturating_sub(before);
    let payload = 24 + u64::try_from(value.len()).expect("a length");
    println!(
        "{entries} entries, keys of 24 bytes, values of {} bytes",
        value.len()
    );
    println!(
        "  resident memory       {:>8} bytes an entry, {:.2} x key and value",
        grown / entries,
        ratio(grown, entries * payload)
    );
    println!(
        "  counted by the bound  {:>8} bytes an entry",
        cache.bytes() / entries
    );
    println!("  set, 100 at a time    {:>8} ns each", each(took, entries));
    get(&cache, &space, entries).await;
    walk(&cache, &space, entries).await;
}

fn ratio(part: u64, whole: u64) -> f64 {
    let permille = part.saturating_mul(1_000) / whole.max(1);
    f64::from(u32::try_from(permille).unwrap_or(u32::MAX)) / 1_000.0
}

async fn get(cache: &Arc<MemoryCache>, space: &Space, entries: u64) {
    // A step that shares no divisor with the entries reaches all of them in an order that no cache line helps.
    let keys: Vec<Key> = (0..READS.min(entries))
        .map(|number| key(number.wrapping_mul(7_919) % entries))
        .collect();
    let began = Instant::now();
    for key in &keys {
        let read = cache.get(space, key).await.expect("reads").answer;
        assert!(matches!(read, Read::Found(_)), "every key is there");
    }
    let took = began.elapsed().as_nanos();
    let count = u64::try_from(keys.len()).expect("a number");
    println!("  get, one at a time    {:>8} ns each", each(took, count));
    let began = Instant::now();
    for keys in keys.chunks(100) {
        let reads = cache.get_many(space, keys, Looking::Reading).await;
        assert_eq!(reads.expect("reads").answer.len(), keys.len());
    }
    let took = began.elapsed().as_nanos();
    println!("  get, 100 at a time    {:>8} ns each", each(took, count));
}

async fn walk(cache: &Arc<MemoryCache>, space: &Space, entries: u64) {
    let began = Instant::now();
    let (mut seen, mut place) = (0, None);
    loop {
        let scan = Scan {
            prefix: KeyPrefix::default(),
            place,
            limit: ScanLimit::parse(Some(1_000)).expect("a limit"),
        };
        let page = cache.scan(space, scan).await.expect("a page");
        seen += u64::try_from(page.items.len()).expect("a number");
        place = page.next;
        if place.is_none() {
            break;
        }
    }
    assert_eq!(seen, entries, "a walk sees everything once");
    let took = began.elapsed().as_nanos();
    println!(
        "  walk over everything  {:>8} ns an entry",
        each(took, entries)
    );
}
