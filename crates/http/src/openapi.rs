//! The OpenAPI 3.1 document: what the routes registered, completed with what holds for every operation.

use plinth_gate::catalogue::{self, Operation as Row};
use serde_json::json;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, Ref, RefOr,
    Required, Response, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{PROBLEM_JSON, ProblemBody, ProblemField};
use crate::streams::{EVENT_STREAM, Follows, view};

/// The name of the security scheme: an API key as a bearer token.
const SCHEME: &str = "api_key";
/// The answers that every operation behind the gate may give, beside those that it declares.
const COMMON_RESPONSES: [(&str, &str); 9] = [
    (
        "400",
        "A field is missing, malformed or out of its range; `errors` names it.",
    ),
    ("401", "No credential, or one that is not valid."),
    ("403", "The caller is known but may not do this."),
    ("404", "The thing that was named does not exist."),
    ("413", "A named size limit was passed."),
    ("429", "Too many requests; come back after `Retry-After`."),
    (
        "500",
        "A fault of ours; the log tells more under `trace_id`.",
    ),
    (
        "503",
        "Overloaded, or something that the operation needs is away.",
    ),
    (
        "504",
        "The deadline passed; `outcome` says what is known of the effect.",
    ),
];
/// What the blocks are for, in the order of the page.
const TAGS: [(&str, &str); 8] = [
    ("cache", "Values with an expiry, versions and conditions."),
    (
        "queue",
        "Durable messages: publish, lease, acknowledge, retry, dead letters.",
    ),
    (
        "monitor",
        "Counters, gauges and histograms, recorded and queried.",
    ),
    ("audit", "Records in a log that proves it was not changed."),
    (
        "db",
        "Queries, transactions, plans and slow statements of registered databases.",
    ),
    (
        "lock",
        "Leases with fencing tokens: exclusive, shared, semaphores; waiting in order.",
    ),
    ("access", "Tenants, API keys and roles."),
    ("health", "The state of this instance."),
];

/// The document of all routes.
#[must_use]
pub fn openapi_document() -> OpenApi {
    complete(crate::routes::api().into_openapi())
}

/// Completes what the routes registered.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("Plinth")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Cache, queue, monitoring, audit and database support for business services, over one gate. \
             Unknown fields, parameters and values are refused. Errors are RFC 9457 problem details.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    document.tags = Some(
        TAGS.iter()
            .map(|(name, description)| {
                TagBuilder::new()
                    .name(*name)
                    .description(Some(*description))
                    .build()
            })
            .collect(),
    );
    complete_components(document.components.get_or_insert_with(Components::new));
    for item in document.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            complete_operation(operation);
        }
    }
    document
}

fn complete_components(components: &mut Components) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("Plinth API key")
        .description(Some("The API key, as `authorization: Bearer <key>`."))
        .build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    components
        .schemas
        .insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    components
        .schemas
        .insert(ProblemField::name().into_owned(), ProblemField::schema());
    for (status, description) in COMMON_RESPONSES {
        let response: RefOr<Response> = problem_response(description).into();
        components
            .responses
            .insert(component_name(status), response);
    }
}

fn problem_response(description: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    ResponseBuilder::new()
        .description(description)
        .content(
            PROBLEM_JSON,
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}

fn component_name(status: &str) -> String {
    format!("Problem{status}")
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

/// Adds what follows from the operation's row in the catalogue.
fn complete_operation(operation: &mut Operation) {
    let row = operation.operation_id.as_deref().and_then(catalogue::by_id);
    let Some(row) = row else {
        return;
    };
    // The catalogue has the sentence; what the handler says beside it is the description.
    let own = operation
        .summary
        .replace(row.summary.trim_end_matches('.').to_owned());
    let description: Vec<String> = own
        .filter(|own| own.trim_end_matches('.') != row.summary.trim_end_matches('.'))
        .into_iter()
        .chain(operation.description.take())
        .collect();
    if !description.is_empty() {
        operation.description = Some(description.join("\n\n"));
    }
    operation.tags = Some(vec![row.block.to_owned()]);
    operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(
        SCHEME,
        [],
    )]);
    if let Some(follows) = Follows::of(row) {
        describe_stream(operation, follows);
    }
    let parameters = operation.parameters.get_or_insert_with(Vec::new);
    for parameter in header_parameters(row) {
        parameters.push(RefOr::T(parameter));
    }
    // One extension that is an object: extensions themselves come out in no particular order.
    let extension = json!({ "permission": row.id.as_str(), "thrift": row.thrift_method });
    let extensions = ExtensionsBuilder::new().add("x-plinth", extension).build();
    operation
        .extensions
        .get_or_insert_default()
        .merge(extensions);
    for (status, _) in COMMON_RESPONSES {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| Ref::from_response_name(component_name(status)).into());
    }
}

/// Says that an operation can be followed: what its stream is, and the header that sets its pace.
fn describe_stream(operation: &mut Operation, follows: Follows) {
    let words = match follows {
        Follows::Messages => {
            "With `accept: text/event-stream` it goes on until the caller leaves: each message is an event `message`, and \
             `max` says how many may be unsettled at a time; `wait_ms` must be absent."
        }
        Follows::Views => {
            "With `accept: text/event-stream` it is asked again and again: each answer that differs from the one before is \
             an event `view`."
        }
    };
    let more = "A turn that fails is an event `problem`, after which the stream ends unless the problem is retriable.";
    let description = operation.description.take();
    let description: Vec<String> = description
        .into_iter()
        .chain([format!("{words} {more}")])
        .collect();
    operation.description = Some(description.join("\n\n"));
    if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut("200") {
        let events = ObjectBuilder::new().schema_type(Type::String).build();
        let content = ContentBuilder::new().schema(Some(Schema::from(events)));
        answer
            .content
            .insert(EVENT_STREAM.to_owned(), RefOr::T(content.build()));
    }
    if follows == Follows::Views {
        let interval = header_parameter(
            "X-Live-Interval-Ms",
            "For a stream: the rest between two looks, in milliseconds. Default 1,000.",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(view::INTERVAL_MS_MIN))
                .maximum(Some(view::INTERVAL_MS_MAX))
                .build()
                .into(),
        );
        let parameters = operation.parameters.get_or_insert_with(Vec::new);
        parameters.push(RefOr::T(interval));
    }
}

fn header_parameters(row: &Row) -> Vec<Parameter> {
    let timeout = header_parameter(
        "X-Request-Timeout-Ms",
        "When the caller stops waiting, in milliseconds; capped by the operation's longest deadline.",
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .build()
            .into(),
    );
    let key = header_parameter(
        "Idempotency-Key",
        "The caller's name for this attempt: a repeat with the same key and body gets the first answer.",
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(128))
            .build()
            .into(),
    );
    if row.takes_idempotency_key {
        vec![timeout, key]
    } else {
        vec![timeout]
    }
}

fn header_parameter(name: &str, description: &str, schema: Schema) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
