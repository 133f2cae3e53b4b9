//! What each method does with its request: one file per block, one function per method, about ten lines each.
//!
//! The frame ([`crate::service`]) has read the credential, the trace, the deadline and the idempotency key and has
//! authenticated the caller before a function here runs, and it sets `base_resp` and maps the error afterwards. So a
//! function parses the IDL struct into the block's own request, names the operation and the resources, and turns the
//! reply back:
//!
//! ```ignore
//! pub(crate) async fn set(services: &Services, session: &Session, request: CacheSetRequest) -> Result<CacheSetResponse> {
//!     let target = Target::resource(Resource::new("cache", request.namespace.as_str()));
//!     let request = SetRequest::try_from(request)?;            // beside the function, private to the file
//!     let reply = services
//!         .gate
//!         .call(session, &ops::CACHE_SET, target, |context| async move { services.cache.set(&context, request).await })
//!         .await?;
//!     Ok(CacheSetResponse { version: reply.version.0, base_resp: None })
//! }
//! ```
//!
//! Names: method `CacheBatchSet` is `cache::batch_set`, that is the operation's id. Limits and the grammar of names are
//! checked by the block, which names the field; [`convert`] holds what every block's functions need on the way in and out.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod convert;
pub(crate) mod db;
pub(crate) mod health;
pub(crate) mod lock;
pub(crate) mod monitor;
pub(crate) mod queue;
