//! Where the cache loads what it lacks: queries on registered databases, and signed callbacks.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use plinth_core::seams::{LoadRequest, LoadSource, Loaded, Loader, RowForm};
use plinth_core::{
    CallContext, Caller, CredentialId, Error, ErrorCode, Principal, PrincipalId, PrincipalKind,
    Resource, Result, SecretString, Transport,
};
use plinth_database::model::{QueryReply, QueryRequest, Value};
use plinth_database::{DatabaseError, DatabaseService};
use plinth_gate::catalogue::ops;
use plinth_outbound::{
    CallLimits, Delivery, OutboundClient, OutboundError, OutboundResponse, Target,
};
use plinth_security::rbac::RoleBook;
use serde_json::{Map, Number, json};

/// Who a load's query is run as: Plinth itself, in the definition's tenant.
const PRINCIPAL: &str = "cache-loader";
/// Rows that are asked for: one more than the value may have, to tell that there are more.
const ROWS_ASKED: i32 = 2;
/// Most bytes of a row, the database's own limit.
const ROW_BYTES_MAX: i64 = 8 * 1024 * 1024;
/// Media type of a value that was a column's text.
const TEXT: &str = "text/plain; charset=utf-8";
/// Media type of a value that was a row, or a column's JSON.
const JSON: &str = "application/json";

/// The loaders of an instance.
pub(super) struct Loaders {
    pub(super) database: Arc<DatabaseService>,
    pub(super) outbound: OutboundClient,
    pub(super) roles: RoleBook,
}

#[async_trait]
impl Loader for Loaders {
    async fn check(&self, caller: &Caller, source: &LoadSource, params: usize) -> Result<()> {
        match source {
            LoadSource::Query { database, sql, .. } => {
                self.check_permission(caller, database)?;
                let checked = self
                    .database
                    .check_read(&caller.tenant, database, sql, params);
                checked.await.map_err(|error| match error {
                    DatabaseError::Unknown(_) => named("database", error.into()),
                    error => error.into(),
                })
            }
            LoadSource::Callback { url, .. } => {
                let target = Target::parse(url);
                let target = target.map_err(|error| Error::invalid("url", error.to_string()))?;
                let checked = self.outbound.check(&target);
                checked.map_err(|error| named("url", unreached(error)))
            }
        }
    }

    async fn load(&self, request: LoadRequest<'_>) -> Result<Loaded> {
        match request.source {
            LoadSource::Query {
                database,
                sql,
                form,
            } => self.query(&request, database, sql, *form).await,
            LoadSource::Callback { url, secret } => self.call_back(&request, url, secret).await,
        }
    }
}

impl Loaders {
    /// Whoever defines a loader lets others read what it reads, so he must be allowed to read it himself.
    fn check_permission(&self, caller: &Caller, database: &str) -> Result<()> {
        let (operation, resource) = (ops::DB_EXECUTE_QUERY.id, Resource::new("db", database));
        let decision = self.roles.decide(&caller.roles, operation, Some(&resource));
        if decision.is_allowed() {
            return Ok(());
        }
        let rule = format!("needs the permission {operation} on {resource}, which you do not hold");
        let refusal = Error::new(ErrorCode::Forbidden, format!("database: {rule}"));
        Err(refusal.with_violation("database", rule))
    }

    async fn query(
        &self,
        request: &LoadRequest<'_>,
        database: &str,
        sql: &str,
        form: RowForm,
    ) -> Result<Loaded> {
        let context = CallContext {
            caller: Caller {
                tenant: request.tenant.clone(),
                principal: Principal {
                    id: PrincipalId::parse(PRINCIPAL)?,
                    name: PRINCIPAL.to_owned(),
                    kind: PrincipalKind::System,
                },
                credential: CredentialId::parse(PRINCIPAL)?,
                roles: Arc::from([]),
                address: None,
                user_agent: None,
                trace: request.trace,
            },
            operation: ops::DB_EXECUTE_QUERY.id,
            transport: Transport::Internal,
            deadline: request.deadline,
            idempotency_key: None,
        };
        let query = QueryRequest {
            sql: sql.to_owned(),
            params: request.params.iter().cloned().map(Value::Text).collect(),
            max_rows: Some(ROWS_ASKED),
            max_bytes: Some(ROW_BYTES_MAX),
            ..QueryRequest::default()
        };
        let reply = self.database.read(&context, database, query).await;
        value_of(reply.map_err(unanswered)?, form)
    }

    async fn call_back(
        &self,
        request: &LoadRequest<'_>,
        url: &str,
        secret: &SecretString,
    ) -> Result<Loaded> {
        let target = Target::parse(url).map_err(|error| unreached(error.into()))?;
        let body = json!({ "namespace_name": request.namespace, "key": request.key }).to_string();
        let left = request.deadline.remaining().as_millis();
        let delivery = Delivery {
            target: &target,
            secret,
            id: &format!("load_{}", uuid::Uuid::now_v7()),
            content_type: JSON,
            body: Bytes::from(body),
            traceparent: Some(&request.trace.header()),
        };
        let limits = CallLimits {
            attempt_ms_max: u64::try_from(left).unwrap_or(u64::MAX).max(1),
            response_bytes_max: request.bytes_max,
        };
        let answer = self.outbound.call(&delivery, limits).await;
        answered(answer.map_err(unreached)?, request.bytes_max)
    }
}

fn named(field: &str, error: Error) -> Error {
    let message = error.message().to_owned();
    error.with_violation(field, message)
}

fn bad_answer(rule: impl Into<String>) -> Error {
    Error::new(ErrorCode::CacheLoadBadAnswer, rule)
}

/// What a failed query means for the load. What the database said stays in the log.
fn unanswered(error: DatabaseError) -> Error {
    if matches!(error, DatabaseError::Deadline { .. }) {
        let message = "the loader's database did not answer in time";
        return Error::new(ErrorCode::CacheLoadTimeout, message).with_source(error);
    }
    let cause = Error::from(error);
    let message = format!(
        "the loader's database refused or is away ({})",
        cause.code()
    );
    let failure = Error::new(ErrorCode::CacheLoadFailed, message);
    let failure = match cause.retry_after() {
        Some(delay_ms) => failure.retry_after_ms(delay_ms),
        None => failure,
    };
    failure.with_source(cause.to_string())
}

/// What a callback without an answer means for the load.
fn unreached(error: OutboundError) -> Error {
    let (code, message) = match &error {
        OutboundError::Forbidden { reason, .. } => (
            ErrorCode::CacheLoadForbidden,
            format!("the loader's address may not be called: {reason}"),
        ),
        OutboundError::TimedOut { .. } => (
            ErrorCode::CacheLoadTimeout,
            "the loader's callback did not answer in time".to_owned(),
        ),
        OutboundError::Connect(_) => (
            ErrorCode::CacheLoadFailed,
            "the loader's callback cannot be reached".to_owned(),
        ),
        OutboundError::Target(_) | OutboundError::Broken(_) | OutboundError::Build(_) => (
            ErrorCode::CacheLoadFailed,
            "the loader's callback broke off".to_owned(),
        ),
    };
    Error::new(code, message).with_source(error)
}

fn answered(response: OutboundResponse, bytes_max: usize) -> Result<Loaded> {
    let failed = |message: String| Error::new(ErrorCode::CacheLoadFailed, message);
    match response.status {
        200 if response.is_cut => Err(bad_answer(format!(
            "the loader's callback answered more than {bytes_max} bytes"
        ))),
        200 => Ok(Loaded::Value {
            bytes: response.body,
            content_type: response.content_type,
        }),
        404 => Ok(Loaded::Absent),
        status @ 201..=299 => Err(bad_answer(format!(
            "the loader's callback answered {status}, must be 200 with the value or 404"
        ))),
        status => {
            let failure = failed(format!("the loader's callback answered {status}"));
            Err(match response.retry_after_ms {
                Some(delay_ms) if matches!(status, 429 | 503) => failure.retry_after_ms(delay_ms),
                _ => failure,
            })
        }
    }
}

fn value_of(reply: QueryReply, form: RowForm) -> Result<Loaded> {
    let mut rows = reply.rows.into_iter();
    let row = match (rows.next(), rows.next(), reply.truncated) {
        (None, _, false) => return Ok(Loaded::Absent),
        (Some(row), None, false) => row,
        _ => {
            return Err(bad_answer(
                "the loader's query answered more than one row, or more than 8 MiB",
            ));
        }
    };
    match form {
        RowForm::Column => {
            let (Some(value), 1) = (row.values.into_iter().next(), reply.columns.len()) else {
                return Err(bad_answer(
                    "the loader's query answered more than one column; use `value: row`",
                ));
            };
            Ok(column(value))
        }
        RowForm::Row => {
            let names = reply.columns.into_iter().map(|column| column.name);
            let names: Vec<String> = names.collect();
            if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
                return Err(bad_answer(
                    "the loader's query answered two columns of one name",
                ));
            }
            let values = row.values.into_iter().map(json_of);
            let object: Map<String, serde_json::Value> = names.into_iter().zip(values).collect();
            Ok(Loaded::Value {
                bytes: serde_json::Value::Object(object).to_string().into(),
                content_type: Some(JSON.to_owned()),
            })
        }
    }
}

/// A column as it is, with the media type of its form. NULL is no value.
fn column(value: Value) -> Loaded {
    let (bytes, content_type) = match value {
        Value::Null => return Loaded::Absent,
        Value::Bytes(bytes) => (Bytes::from(bytes), None),
        Value::Json(text) => (text.into(), Some(JSON.to_owned())),
        Value::Bool(value) => (value.to_string().into(), Some(TEXT.to_owned())),
        Value::Int(value) => (value.to_string().into(), Some(TEXT.to_owned())),
        Value::Float(value) => (value.to_string().into(), Some(TEXT.to_owned())),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::Uuid(text) => (text.into(), Some(TEXT.to_owned())),
    };
    Loaded::Value {
        bytes,
        content_type,
    }
}

/// A column in an object: numbers that JSON holds without loss as numbers, bytes in base64, the rest as text.
fn json_of(value: Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::Float(value) => match Number::from_f64(value) {
            Some(number) => number.into(),
            None => value.to_string().into(),
        },
        Value::Bytes(bytes) => BASE64.encode(bytes).into(),
        Value::Json(text) => match serde_json::from_str(&text) {
            Ok(document) => document,
            Err(_not_json) => text.into(),
        },
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::Timestamp(text)
        | Value::Uuid(text) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plinth_database::model::{Column, Row};

    fn reply(columns: &[&str], rows: &[&[Value]]) -> QueryReply {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            type_name: "text".to_owned(),
        };
        let row = |values: &&[Value]| Row {
            values: values.to_vec(),
        };
        QueryReply {
            columns: columns.iter().map(column).collect(),
            rows: rows.iter().map(row).collect(),
            rows_affected: 0,
            truncated: false,
            next_cursor: None,
            last_insert_id: None,
            elapsed_us: 1,
        }
    }

    fn text(loaded: Result<Loaded>) -> (String, Option<String>) {
        match loaded.expect("is a value") {
            Loaded::Value {
                bytes,
                content_type,
            } => (String::from_utf8_lossy(&bytes).into_owned(), content_type),
            Loaded::Absent => ("absent".to_owned(), None),
        }
    }

    fn code(loaded: Result<Loaded>) -> ErrorCode {
        loaded.expect_err("is refused").code()
    }

    #[test]
    fn one_row_is_a_value_and_none_is_the_knowledge_of_its_absence() {
        let approved = [Value::Text("approved".to_owned())];
        let one = |value: Value| value_of(reply(&["s"], &[&[value]]), RowForm::Column);
        let typed = |text: &str, media: &str| (text.to_owned(), Some(media.to_owned()));
        assert_eq!(text(one(approved[0].clone())), typed("approved", TEXT));
        assert_eq!(text(one(Value::Int(-7))), typed("-7", TEXT));
        assert_eq!(text(one(Value::Json("{}".to_owned()))), typed("{}", JSON));
        assert_eq!(text(one(Value::Bytes(vec![65]))), ("A".to_owned(), None));
        assert_eq!(one(Value::Null).expect("loads"), Loaded::Absent);
        let none = value_of(reply(&["s"], &[]), RowForm::Column);
        assert_eq!(none.expect("loads"), Loaded::Absent);
        let two = value_of(reply(&["s"], &[&approved, &approved]), RowForm::Column);
        assert_eq!(code(two), ErrorCode::CacheLoadBadAnswer);
        let wide = [approved[0].clone(), Value::Null];
        let wide = value_of(reply(&["s", "t"], &[&wide]), RowForm::Column);
        assert_eq!(code(wide), ErrorCode::CacheLoadBadAnswer);
        let cut = QueryReply {
            truncated: true,
            ..reply(&["s"], &[&approved])
        };
        assert_eq!(
            code(value_of(cut, RowForm::Row)),
            ErrorCode::CacheLoadBadAnswer
        );
    }

    #[test]
    fn a_row_is_an_object_without_loss() {
        let row = [
            Value::Int(i64::MAX),
            Value::Decimal("1.10".to_owned()),
            Value::Bytes(vec![0xff]),
            Value::Json("[1]".to_owned()),
            Value::Float(f64::NAN),
            Value::Null,
        ];
        let names = ["i", "d", "b", "j", "f", "n"];
        let (object, media) = text(value_of(reply(&names, &[&row]), RowForm::Row));
        assert_eq!(
            object, r#"{"i":9223372036854775807,"d":"1.10","b":"/w==","j":[1],"f":"NaN","n":null}"#,
            "in the order of the columns"
        );
        assert_eq!(media.as_deref(), Some(JSON));
        let twice = value_of(
            reply(&["a", "a"], &[&[Value::Null, Value::Null]]),
            RowForm::Row,
        );
        assert_eq!(code(twice), ErrorCode::CacheLoadBadAnswer);
    }

    #[test]
    fn the_answer_of_a_callback_decides() {
        let answer = |status, retry_after_ms, is_cut| {
            let response = OutboundResponse {
                status,
                retry_after_ms,
                body: Bytes::from_static(b"v"),
                is_cut,
                content_type: Some(JSON.to_owned()),
            };
            answered(response, 1)
        };
        assert_eq!(text(answer(200, None, false)).0, "v");
        assert_eq!(answer(404, None, false).expect("loads"), Loaded::Absent);
        assert_eq!(code(answer(200, None, true)), ErrorCode::CacheLoadBadAnswer);
        assert_eq!(
            code(answer(204, None, false)),
            ErrorCode::CacheLoadBadAnswer
        );
        for status in [301, 400, 410, 500] {
            assert_eq!(
                code(answer(status, None, false)),
                ErrorCode::CacheLoadFailed
            );
        }
        let later = |status| {
            answer(status, Some(7), false)
                .expect_err("fails")
                .retry_after()
        };
        assert_eq!((later(503), later(500)), (Some(7), None));
    }
}
