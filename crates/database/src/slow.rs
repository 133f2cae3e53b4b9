//! What was run: one row for each shape of statement, in a bounded table.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::{SlowQuery, SlowQueryOrder, TimeBucket};
use crate::sql::{Statement, mask};

/// Most shapes that are kept for one database.
pub(crate) const SHAPES_MAX: usize = 1_000;
/// Upper bounds of the histogram's buckets, in microseconds; one more bucket has none.
const BOUNDS_US: [i64; 20] = [
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    120_000_000,
];

/// One execution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) elapsed_us: i64,
    pub(crate) slow: bool,
    pub(crate) failed: bool,
    pub(crate) rows_returned: i64,
    pub(crate) rows_affected: i64,
    pub(crate) at_ms: i64,
}

/// The table.
#[derive(Default)]
pub(crate) struct SlowLog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shapes: HashMap<u64, Shape>,
    evicted: i64,
}

struct Shape {
    /// The slowest execution's statement: its text, syntax tree and shape; never its parameters.
    slowest: Arc<Statement>,
    engine: crate::model::EngineKind,
    calls: i64,
    slow_calls: i64,
    failed_calls: i64,
    total_us: i64,
    max_us: i64,
    rows_returned: i64,
    rows_affected: i64,
    first_seen_ms: i64,
    last_seen_ms: i64,
    buckets: [i64; BOUNDS_US.len() + 1],
}

impl SlowLog {
    /// Notes one execution.
    pub(crate) fn record(
        &self,
        statement: &Arc<Statement>,
        engine: crate::model::EngineKind,
        run: Run,
    ) {
        let mut state = self.state.lock();
        let digest = statement.shape.digest;
        if state.shapes.len() >= SHAPES_MAX && !state.shapes.contains_key(&digest) {
            state.forget_one();
        }
        let shape = state.shapes.entry(digest).or_insert_with(|| Shape {
            slowest: Arc::clone(statement),
            engine,
            calls: 0,
            slow_calls: 0,
            failed_calls: 0,
            total_us: 0,
            max_us: -1,
            rows_returned: 0,
            rows_affected: 0,
            first_seen_ms: run.at_ms,
            last_seen_ms: run.at_ms,
            buckets: [0; BOUNDS_US.len() + 1],
        });
        shape.add(statement, run);
    }

    /// The statements in an order, at most `limit`, and how many shapes were forgotten.
    pub(crate) fn list(
        &self,
        order: SlowQueryOrder,
        limit: usize,
        include_fast: bool,
    ) -> (Vec<SlowQuery>, i64) {
        let state = self.state.lock();
        let mut rows: Vec<SlowQuery> = state
            .shapes
            .values()
            .filter(|shape| include_fast || shape.slow_calls > 0)
            .map(Shape::row)
            .collect();
        let evicted = state.evicted;
        drop(state);
        let key = |row: &SlowQuery| match order {
            SlowQueryOrder::Total => row.total_us,
            SlowQueryOrder::Mean => row.mean_us,
            SlowQueryOrder::Max => row.max_us,
        };
        // Equal times are put in order by digest, so that the list is the same each time.
        rows.sort_by(|left, right| {
            key(right)
                .cmp(&key(left))
                .then_with(|| left.digest.cmp(&right.digest))
        });
        rows.truncate(limit);
        (rows, evicted)
    }

    /// The statements that were seen, the most expensive first, at most `limit`.
    pub(crate) fn workload(&self, limit: usize) -> Vec<Arc<Statement>> {
        let state = self.state.lock();
        let mut shapes: Vec<(i64, Arc<Statement>)> = state
            .shapes
            .values()
            .map(|shape| (shape.total_us, Arc::clone(&shape.slowest)))
            .collect();
        drop(state);
        shapes.sort_by_key(|(total_us, _)| std::cmp::Reverse(*total_us));
        shapes.truncate(limit);
        shapes.into_iter().map(|(_, statement)| statement).collect()
    }
}

impl State {
    /// Forgets the shape that cost least; among equals the one not seen for longest.
    fn forget_one(&mut self) {
        let least = self
            .shapes
            .iter()
            .min_by_key(|(_, shape)| (shape.total_us, shape.last_seen_ms))
            .map(|(digest, _)| *digest);
        if let Some(digest) = least {
            self.shapes.remove(&digest);
            self.evicted += 1;
        }
    }
}

impl Shape {
    fn add(&mut self, statement: &Arc<Statement>, run: Run) {
        self.calls += 1;
        self.slow_calls += i64::from(run.slow);
        self.failed_calls += i64::from(run.failed);
        self.total_us = self.total_us.saturating_add(run.elapsed_us);
        self.rows_returned = self.rows_returned.saturating_add(run.rows_returned);
        self.rows_affected = self.rows_affected.saturating_add(run.rows_affected);
        self.last_seen_ms = self.last_seen_ms.max(run.at_ms);
        if run.elapsed_us > self.max_us {
            self.max_us = run.elapsed_us;
            self.slowest = Arc::clone(statement);
        }
        let bucket = BOUNDS_US.partition_point(|bound| *bound < run.elapsed_us);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    fn row(&self) -> SlowQuery {
        SlowQuery {
            digest: self.slowest.shape.digest_text(),
            statement: self.slowest.shape.text.clone(),
            calls: self.calls,
            slow_calls: self.slow_calls,
            failed_calls: self.failed_calls,
            total_us: self.total_us,
            mean_us: self.total_us / self.calls.max(1),
            max_us: self.max_us.max(0),
            p95_us: self.quantile_us(95),
            rows_returned: self.rows_returned,
            rows_affected: self.rows_affected,
            first_seen_ms: self.first_seen_ms,
            last_seen_ms: self.last_seen_ms,
            sample: mask(&self.slowest.text, self.engine),
            buckets: self.filled_buckets(),
        }
    }

    /// The upper bound of the bucket that holds the quantile, and never more than the longest time.
    fn quantile_us(&self, percent: i64) -> i64 {
        let rank = (self.calls * percent + 99) / 100;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return BOUNDS_US
                    .get(at)
                    .copied()
                    .unwrap_or(i64::MAX)
                    .min(self.max_us);
            }
        }
        self.max_us
    }

    fn filled_buckets(&self) -> Vec<TimeBucket> {
        self.buckets
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(at, count)| TimeBucket {
                le_us: BOUNDS_US.get(at).copied().unwrap_or(-1),
                count: *count,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EngineKind;

    fn statement(sql: &str) -> Arc<Statement> {
        Arc::new(Statement::parse(sql, EngineKind::Sqlite).expect("is one statement"))
    }

    const fn run(elapsed_us: i64, slow: bool) -> Run {
        Run {
            elapsed_us,
            slow,
            failed: false,
            rows_returned: 1,
            rows_affected: 0,
            at_ms: elapsed_us,
        }
    }

    #[test]
    fn shapes_gather_their_executions() {
        let log = SlowLog::default();
        log.record(
            &statement("select a from t where b = 1"),
            EngineKind::Sqlite,
            run(100, false),
        );
        log.record(
            &statement("SELECT a FROM t WHERE b = 22"),
            EngineKind::Sqlite,
            run(900_000, true),
        );
        log.record(
            &statement("select c from t"),
            EngineKind::Sqlite,
            run(10, false),
        );
        let (rows, _) = log.list(SlowQueryOrder::Total, 10, false);
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.calls, row.slow_calls, row.max_us), (2, 1, 900_000));
        assert_eq!(row.mean_us, 450_050);
        assert_eq!(row.p95_us, 900_000);
        assert_eq!(row.sample, "SELECT a FROM t WHERE b = ?");
        assert_eq!(
            row.buckets.iter().map(|bucket| bucket.count).sum::<i64>(),
            2
        );
        assert_eq!(log.list(SlowQueryOrder::Max, 10, true).0.len(), 2);
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_costs_most() {
        let log = SlowLog::default();
        log.record(
            &statement("select dear from t"),
            EngineKind::Sqlite,
            run(1_000_000, true),
        );
        for number in 0..SHAPES_MAX {
            log.record(
                &statement(&format!("select c{number} from t")),
                EngineKind::Sqlite,
                run(1, true),
            );
        }
        let (rows, evicted) = log.list(SlowQueryOrder::Total, SHAPES_MAX * 2, false);
        assert_eq!((rows.len(), evicted), (SHAPES_MAX, 1));
        assert!(rows[0].statement.contains("dear"));
    }
}
