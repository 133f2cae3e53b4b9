//! Which crate may use which: the twin of the table in ARCHITECTURE.md.

/// One row: a crate by its folder, and what it may use besides `core` (which every crate may use).
pub(crate) struct Row {
    /// The crate: its package without `plinth-`.
    pub(crate) name: &'static str,
    /// What it may use.
    pub(crate) may_use: &'static [&'static str],
    /// What its tests may use on top.
    pub(crate) tests_may_use: &'static [&'static str],
}

const FOUNDATIONS: &[&str] = &["resilience", "security", "store", "redis-link", "outbound"];
const BLOCKS_AND_GATE: &[&str] = &[
    "resilience",
    "security",
    "gate",
    "cache",
    "queue",
    "monitor",
    "audit",
    "database",
    "lock",
];
const TEST_TOOLS: &[&str] = &["testkit", "resilience", "security", "store", "outbound"];

const fn row(
    name: &'static str,
    may_use: &'static [&'static str],
    tests_may_use: &'static [&'static str],
) -> Row {
    Row {
        name,
        may_use,
        tests_may_use,
    }
}

/// The table.
pub(crate) const TABLE: &[Row] = &[
    row("core", &[], &[]),
    row("resilience", &[], &[]),
    row("security", &["resilience"], TEST_TOOLS),
    row("store", &["resilience", "security"], TEST_TOOLS),
    row("redis-link", &["resilience"], TEST_TOOLS),
    row("outbound", &["resilience", "security"], TEST_TOOLS),
    row("cache", FOUNDATIONS, TEST_TOOLS),
    row("queue", FOUNDATIONS, TEST_TOOLS),
    row("monitor", FOUNDATIONS, TEST_TOOLS),
    row("audit", FOUNDATIONS, TEST_TOOLS),
    row("database", FOUNDATIONS, TEST_TOOLS),
    row("lock", FOUNDATIONS, TEST_TOOLS),
    row("gate", &["resilience", "security"], TEST_TOOLS),
    row("idl", &[], &[]),
    row(
        "rpc",
        &[
            "idl",
            "resilience",
            "security",
            "gate",
            "cache",
            "queue",
            "monitor",
            "audit",
            "database",
            "lock",
        ],
        TEST_TOOLS,
    ),
    row("http", BLOCKS_AND_GATE, TEST_TOOLS),
    row("client", &["idl"], TEST_TOOLS),
    row("testkit", &["client"], &[]),
    // The example starts, kills and restarts a Plinth of its own, which is what the test kit does.
    row("merchant-onboarding", &["client", "testkit"], &[]),
    row("benches", &["client", "testkit"], &[]),
    row("xtask", &["client"], &[]),
    row("plinth", ALL, ALL),
];

const ALL: &[&str] = &[
    "resilience",
    "security",
    "store",
    "redis-link",
    "outbound",
    "cache",
    "queue",
    "monitor",
    "audit",
    "database",
    "lock",
    "gate",
    "idl",
    "rpc",
    "http",
    "client",
    "testkit",
];
