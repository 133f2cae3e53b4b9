//! Frames that were good once.

use bytes::Bytes;
use plinth_idl::contract::METHODS;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::frames::{PROTOCOLS, TRANSPORTS, call, wrap};
use super::values::{any_struct, smallest};

/// Longest mutated frame, in bytes.
const FRAME_BYTES_MAX: usize = 32 * 1024;
/// Values that lengths, counts and types break at.
const EDGES: [u32; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x0010_0000,
    0x0100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// A small generator whose whole state is its seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound; 0 for the bound 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("64 bits");
        usize::try_from(self.next().checked_rem(bound).unwrap_or(0)).expect("64 bits")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Good messages of every method in every transport and protocol: the smallest one and a generated one.
pub(crate) fn corpus(seed: u64) -> Vec<Bytes> {
    let words = [seed.to_le_bytes(); 4].concat();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &words);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut corpus = Vec::new();
    for method in METHODS {
        let generated = any_struct(method.request, 0)
            .new_tree(&mut runner)
            .expect("a strategy without filters")
            .current();
        for request in [smallest(method.request), generated] {
            for protocol in PROTOCOLS {
                let message = call(method, &request, protocol);
                for transport in TRANSPORTS {
                    corpus.push(wrap(
                        &message,
                        transport,
                        &[("authorization", "Bearer plk_x")],
                    ));
                }
            }
        }
    }
    corpus
}

/// One of the good frames after some mutations.
pub(crate) fn mutated(corpus: &[Bytes], random: &mut Random) -> Vec<u8> {
    let mut frame = corpus[random.below(corpus.len())].to_vec();
    for _ in 0..=random.below(4) {
        mutate(&mut frame, corpus, random);
    }
    frame.truncate(FRAME_BYTES_MAX);
    frame
}

fn mutate(frame: &mut Vec<u8>, corpus: &[Bytes], random: &mut Random) {
    if frame.is_empty() {
        frame.push(random.byte());
    }
    let at = random.below(frame.len());
    match random.below(9) {
        0 => frame[at] ^= 1 << random.below(8),
        1 => frame[at] = random.byte(),
        2 => frame.truncate(at),
        3 => frame.insert(at, random.byte()),
        4 => {
            frame.remove(at);
        }
        5 => {
            let edge = EDGES[random.below(EDGES.len())].to_be_bytes();
            let width = [1, 2, 4][random.below(3)];
            let end = (at + width).min(frame.len());
            frame[at..end].copy_from_slice(&edge[4 - (end - at)..]);
        }
        6 => {
            let end = (at + random.below(64)).min(frame.len());
            let part = frame[at..end].to_vec();
            frame.splice(at..at, part.repeat(1 + random.below(4)));
        }
        7 => {
            let other = &corpus[random.below(corpus.len())];
            frame.truncate(at);
            frame.extend_from_slice(&other[random.below(other.len())..]);
        }
        _ => {
            // Keep the frame's length honest, so that what lies behind it is reached.
            let length = u32::try_from(frame.len().saturating_sub(4)).expect("small");
            if let Some(head) = frame.first_chunk_mut::<4>() {
                *head = length.to_be_bytes();
            }
        }
    }
}

/// The seed of this run: printed, and taken from `PLINTH_SEED` to repeat a run.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let seed = std::env::var("PLINTH_SEED")
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("PLINTH_SEED={seed}");
    seed
}

/// How many frames to run: the environment's number, or the ordinary one.
pub(crate) fn frames(variable: &str, ordinary: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ordinary)
}

/// Resident memory of this process now and at its peak, in bytes.
pub(crate) fn resident_bytes() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a field of status");
        let number = line.split_whitespace().nth(1).expect("a number");
        number.parse::<usize>().expect("kilobytes") * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}
