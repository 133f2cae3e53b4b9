//! Idempotency keys through the service: also where a value is kept compressed and an append stores it anew.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use plinth_cache::CacheService;
use plinth_cache::model::{
    Append, Condition, ContentType, Expiry, Key, Namespace, NamespaceSettings,
};
use plinth_core::{Error, ErrorCode};
use plinth_store::memory::MemoryDefinitions;
use plinth_testkit::calls::{call_of, keyed};

use support::backends;

fn add(bytes: &[u8]) -> Append<Expiry> {
    Append {
        bytes: Bytes::copy_from_slice(bytes),
        content_type: ContentType::default(),
        condition: Condition::Always,
        created: Expiry::Default,
        renewed: None,
    }
}

#[tokio::test]
async fn an_append_to_a_compressed_value_is_made_once_for_its_key() {
    for (backend, rig) in backends() {
        let definitions = Arc::new(MemoryDefinitions::new(rig.clock.clone()));
        let cache = CacheService::new(rig.backend.clone(), definitions, rig.clock.clone());
        let call = call_of("tenant", "cache.append").expect("a tenant");
        let (space, key) = (
            Namespace::parse("n").expect("a name"),
            Key::parse("k").expect("a key"),
        );
        let settings = NamespaceSettings {
            codec: Some("zstd".to_owned()),
            ..NamespaceSettings::default()
        };
        let defined = cache.define_namespace(&call, space.clone(), settings, None);
        defined.await.expect("defines");
        let grow = async |call, bytes: Vec<u8>| {
            let append = add(&bytes);
            cache
                .append(call, space.clone(), key.clone(), append, None)
                .await
        };
        // The first makes it long enough to be compressed by the second.
        grow(&call, vec![b'a'; 4_000]).await.expect("grows");
        grow(&call, vec![b'b'; 10]).await.expect("grows");
        let kept = keyed(call.clone(), "once").expect("a key");
        let first = grow(&kept, vec![b'c'; 10]).await.expect("grows");
        let again = grow(&kept, vec![b'c'; 10]).await.expect("is told");
        assert_eq!((first.0, first), (4_020, again), "{backend}");
        let other = grow(&kept, vec![b'd'; 10]).await.expect_err("is refused");
        assert_eq!(Error::from(other).code(), ErrorCode::Conflict, "{backend}");
        let found = cache.get(&call, space.clone(), &key).await.expect("reads");
        let found = found.answer.found().expect("is there");
        assert_eq!(found.value.bytes.len(), 4_020, "{backend}");
    }
}
