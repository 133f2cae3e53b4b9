//! What queries and exports have in common: a filter, an order, a cursor, a limit, and a snapshot that all pages show.

use plinth_core::{CallContext, Cursor, Error, PageLimit};
use plinth_security::digest::sha256;
use serde::{Deserialize, Serialize};

use super::AuditService;
use crate::backend::{Hit, PageQuery, Place, Selection};
use crate::error::AuditError;
use crate::model::{
    AuditFilter, AuditRecord, AuditResult, Filter, JoinedOutcome, PAGE_BYTES_MAX, SortOrder,
};

/// A listing as its caller asked for it, checked.
pub(super) struct Listing {
    filter: Filter,
    order: SortOrder,
    limit: PageLimit,
    place: Option<CursorPlace>,
    fingerprint: String,
}

/// What a cursor holds. The names are short because the text travels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorPlace {
    /// Size of the log that the listing shows.
    s: u64,
    /// Event time of the last record.
    t: i64,
    /// Its leaf index.
    i: u64,
    /// Fingerprint of filter and order.
    f: String,
}

/// One page of a listing.
pub(super) struct ListingPage {
    pub(super) records: Vec<AuditRecord>,
    pub(super) next_cursor: Option<String>,
    pub(super) snapshot: u64,
    /// Whether it is the first.
    pub(super) first: bool,
}

impl Listing {
    /// Checks the request. `kind` tells listings apart whose cursors must not be mixed up. Errors: 1001 naming the field.
    pub(super) fn parse(
        kind: &str,
        filter: Option<AuditFilter>,
        order: SortOrder,
        limit: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<Self, Error> {
        let filter = filter.unwrap_or_default().parse()?;
        let limit = PageLimit::parse(limit)?;
        let shape = serde_json::to_vec(&(kind, &filter, order)).map_err(Error::internal)?;
        let mut fingerprint = hex::encode(sha256(&shape));
        fingerprint.truncate(16);
        let place = match cursor {
            Some(text) => Some(Cursor::decode::<CursorPlace>(text)?),
            None => None,
        };
        if place.as_ref().is_some_and(|place| place.f != fingerprint) {
            return Err(Error::invalid(
                "cursor",
                "belongs to another listing; filter, order and format must stay the same",
            ));
        }
        Ok(Self {
            filter,
            order,
            limit,
            place,
            fingerprint,
        })
    }
}

/// Parses the order of a listing.
pub(super) fn parse_order(word: Option<&str>, default: SortOrder) -> Result<SortOrder, Error> {
    match word {
        Some(word) => SortOrder::parse("sort", word),
        None => Ok(default),
    }
}

impl AuditService {
    /// Reads one page. The first one fixes the snapshot: what is recorded later, or completed later, changes no page.
    pub(super) async fn page(
        &self,
        context: &CallContext,
        listing: Listing,
    ) -> Result<(ListingPage, Selection), AuditError> {
        let size = self.catch_up(context).await?;
        let snapshot = match &listing.place {
            Some(place) if place.s > size => {
                return Err(Error::invalid("cursor", "is not one that this log returned").into());
            }
            Some(place) => place.s,
            None => size,
        };
        let selection = Selection {
            tenant: context.caller.tenant.clone(),
            filter: listing.filter,
            snapshot,
            deadline: context.deadline,
        };
        let found = self
            .index
            .find(PageQuery {
                selection: selection.clone(),
                order: listing.order,
                after: listing.place.as_ref().map(|place| Place {
                    time_ms: place.t,
                    index: place.i,
                }),
                limit: listing.limit.get(),
                bytes_max: PAGE_BYTES_MAX,
            })
            .await?;
        let next = match found.hits.last() {
            Some(last) if found.more => Some(Cursor::encode(&CursorPlace {
                s: snapshot,
                t: last.leaf.time_ms,
                i: last.leaf.index,
                f: listing.fingerprint,
            })?),
            _ => None,
        };
        let page = ListingPage {
            records: found.hits.into_iter().map(AuditRecord::from).collect(),
            next_cursor: next.map(|cursor| cursor.as_str().to_owned()),
            snapshot,
            first: listing.place.is_none(),
        };
        Ok((page, selection))
    }
}

impl From<Hit> for AuditRecord {
    fn from(hit: Hit) -> Self {
        let Hit { leaf, outcome } = hit;
        let result = outcome
            .as_ref()
            .map_or(leaf.result, |outcome: &_| -> AuditResult { outcome.result });
        Self {
            id: leaf.id,
            index: wide(leaf.index),
            tenant: leaf.tenant,
            operation: leaf.operation,
            operator: leaf.operator,
            recorded_by: leaf.recorded_by,
            resource: leaf.resource,
            result,
            severity: leaf.severity,
            time_ms: leaf.time_ms,
            recorded_at_ms: leaf.recorded_ms,
            reason: leaf.reason,
            details: leaf.details,
            before: leaf.before,
            after: leaf.after,
            ip: leaf.ip,
            user_agent: leaf.user_agent,
            trace_id: leaf.trace_id,
            phase: leaf.phase,
            source: leaf.source,
            intent_id: leaf.intent_id,
            outcome: outcome.map(|outcome| JoinedOutcome {
                id: outcome.id,
                index: wide(outcome.index),
                result: outcome.result,
                reason: outcome.reason,
                time_ms: outcome.time_ms,
                details: outcome.details,
                before: outcome.before,
                after: outcome.after,
            }),
        }
    }
}

fn wide(index: u64) -> plinth_core::WideInt {
    plinth_core::WideInt(crate::log::sequencer::to_sql(index))
}
