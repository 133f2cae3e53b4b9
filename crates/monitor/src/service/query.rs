//! Queries: from requests to points.

use std::sync::Arc;

use parking_lot::Mutex;
use plinth_core::CallContext;

use super::MonitorService;
use super::evaluate::{Evaluation, Plan, point};
use crate::backend::{Selection, SeriesVisitor};
use crate::error::MonitorError;
use crate::model::{
    GetMetricsReply, GetMetricsRequest, MetricDefinition, Query, SeriesPoints, Shape, clamp_count,
    limits,
};

impl MonitorService {
    /// Queries the samples of a metric: as they were stored, or as an aggregate at one instant or at many.
    ///
    /// Errors: 1001 naming the field; 1004 where no metric has the name; 1007 where the query passes a limit on series,
    /// samples or points; 1010 where the deadline passes; 2202 where the store fails.
    pub async fn get_metrics(
        &self,
        context: &CallContext,
        request: GetMetricsRequest,
    ) -> Result<GetMetricsReply, MonitorError> {
        let now_ms = self.clock.now().0;
        let query = Query::parse(&request, now_ms)?;
        let definition = self
            .registry
            .find(&context.caller.tenant, &query.metric)
            .await?
            .ok_or_else(|| MonitorError::MetricUnknown {
                metric: query.metric.clone(),
            })?;
        context.check_deadline()?;
        let (series, samples_read) = match query.shape.clone() {
            Shape::Raw { start_ms, end_ms } => {
                self.read_raw(context, query, start_ms, end_ms, now_ms)
                    .await?
            }
            Shape::Stepped {
                instants,
                aggregate,
                window_ms,
                by,
            } => {
                let plan = Plan::new(&definition, instants, aggregate, window_ms, by)?;
                self.read_stepped(context, query, plan, now_ms).await?
            }
        };
        Ok(reply(&definition, series, samples_read))
    }

    async fn read_raw(
        &self,
        context: &CallContext,
        query: Query,
        start_ms: i64,
        end_ms: i64,
        now_ms: i64,
    ) -> Result<(Vec<SeriesPoints>, u64), MonitorError> {
        // What the retention has not yet removed is no longer shown, so that the answer does not hang on the upkeep.
        let kept_from_ms = now_ms.saturating_sub(self.settings.retention_ms);
        let selection = self.selection(context, query, now_ms, |selection| {
            selection.from_ms = start_ms.max(kept_from_ms);
            selection.to_ms = end_ms;
        });
        let found = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&found);
        let mut points = 0;
        let visit: SeriesVisitor = Box::new(move |series| {
            points += series.samples.len();
            if points > limits::QUERY_POINTS_MAX {
                return Err(MonitorError::QueryTooLarge {
                    what: "points",
                    limit: u64::try_from(limits::QUERY_POINTS_MAX).unwrap_or(u64::MAX),
                });
            }
            if !series.samples.is_empty() {
                gathered.lock().push(SeriesPoints {
                    labels: series.labels.to_map(),
                    points: series
                        .samples
                        .iter()
                        .map(|sample| point(sample.at_ms, &sample.value))
                        .collect(),
                });
            }
            Ok(())
        });
        let samples_read = self.backend.read(selection, visit).await?;
        let series = std::mem::take(&mut *found.lock());
        Ok((series, samples_read))
    }

    async fn read_stepped(
        &self,
        context: &CallContext,
        query: Query,
        plan: Plan,
        now_ms: i64,
    ) -> Result<(Vec<SeriesPoints>, u64), MonitorError> {
        let selection = self.selection(context, query, now_ms, |selection| {
            selection.from_ms = plan.from_ms();
            selection.to_ms = plan.instants.end_ms;
            selection.baseline = plan.needs_baseline();
        });
        let evaluation = Arc::new(Mutex::new(Some(Evaluation::new(plan))));
        let adding = Arc::clone(&evaluation);
        let visit: SeriesVisitor = Box::new(move |series| match adding.lock().as_mut() {
            Some(evaluation) => evaluation.add(&series),
            None => Ok(()),
        });
        let samples_read = self.backend.read(selection, visit).await?;
        let finished = evaluation.lock().take();
        let series = match finished {
            Some(evaluation) => evaluation.finish()?,
            None => Vec::new(),
        };
        Ok((series, samples_read))
    }

    fn selection(
        &self,
        context: &CallContext,
        query: Query,
        now_ms: i64,
        complete: impl FnOnce(&mut Selection),
    ) -> Selection {
        let mut selection = Selection {
            tenant: context.caller.tenant.clone(),
            metric: query.metric,
            matchers: query.matchers,
            from_ms: 0,
            to_ms: 0,
            baseline: false,
            now_ms,
            deadline: context.deadline,
            series_max: limits::QUERY_SERIES_MAX,
            samples_max: limits::QUERY_SAMPLES_MAX,
        };
        complete(&mut selection);
        selection
    }
}

fn reply(
    definition: &MetricDefinition,
    series: Vec<SeriesPoints>,
    samples_read: u64,
) -> GetMetricsReply {
    GetMetricsReply {
        metric: definition.name.clone(),
        metric_type: definition.metric_type.as_str().to_owned(),
        unit: definition.unit.clone(),
        buckets: definition.buckets.clone(),
        series,
        samples_read: clamp_count(samples_read),
    }
}
