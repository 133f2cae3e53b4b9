//! What a backend counts. What callers did is counted by the service, the same for every backend.

/// Most entries that one look at sizes and lives samples.
pub const SAMPLE_ENTRIES_MAX: usize = 1_000;

/// What a backend knows of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendStats {
    /// Entries held now, negative ones included.
    pub keys: u64,
    /// Bytes of keys, values and bookkeeping held now.
    pub bytes: u64,
    /// The memory bound that all namespaces share; `None` where the backend does not know one.
    pub bytes_max: Option<u64>,
    /// Entries removed because their time had come.
    pub expired: u64,
    /// Entries removed to stay inside the memory bound.
    pub evicted: u64,
    /// Its connections; `None` where it has none.
    pub connections: Option<Connections>,
    /// Some entries, taken at random: at most [`SAMPLE_ENTRIES_MAX`].
    pub sample: Vec<EntrySample>,
}

/// The connections of a backend to its engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Commands whose answer is awaited now.
    pub in_flight: u64,
    /// Connections made anew since the start.
    pub reconnects: u64,
}

/// Size and life of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySample {
    /// Bytes of its value as it is stored.
    pub value_bytes: u64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<u64>,
}

/// Numbers of a namespace since the start of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads that found a live value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Of the hits, those whose value was stale.
    pub stale_hits: u64,
    /// Of the misses, those of which it was known that there is no value.
    pub negative_hits: u64,
    /// Values stored, counted or grown.
    pub sets: u64,
    /// Entries deleted by callers.
    pub deletes: u64,
    /// What the loader did.
    pub loads: LoadStats,
    /// What the backend knows.
    pub held: BackendStats,
}

/// What the loader of a namespace did since the start of the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadStats {
    /// How often it was asked.
    pub loads: u64,
    /// How often it failed.
    pub errors: u64,
    /// How long it took in all, in microseconds.
    pub total_us: u64,
    /// How long it took at most, in microseconds.
    pub max_us: u64,
}

impl Stats {
    /// hits ÷ (hits + misses); 0 where nothing was read.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let reads = self.hits.saturating_add(self.misses);
        if reads == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio for people; 52 bits are enough"
        )]
        let rate = self.hits as f64 / reads as f64;
        rate
    }
}
