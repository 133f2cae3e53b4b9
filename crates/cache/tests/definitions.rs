//! Namespaces with a definition, on instances that share a control plane.

#![expect(
    clippy::expect_used,
    reason = "short ways to make requests fail the test where they stand"
)]

use std::sync::Arc;
use std::time::Duration;

use plinth_cache::model::{
    Append, Condition, Content, ContentType, Expiry, Key, Namespace, NamespaceSettings, Put, Read,
    Tags, Value,
};
use plinth_cache::{CacheError, CacheService, CacheSettings, MemoryCache};
use plinth_core::{CallContext, ErrorCode, SharedClock, SystemClock};
use plinth_store::Definitions;
use plinth_store::memory::MemoryDefinitions;
use plinth_testkit::calls::call_of;
use tokio_util::sync::CancellationToken;

fn instance(definitions: &Arc<dyn Definitions>, clock: &SharedClock) -> Arc<CacheService> {
    let memory = MemoryCache::new(&CacheSettings::default(), Arc::clone(clock));
    let (definitions, clock) = (Arc::clone(definitions), Arc::clone(clock));
    Arc::new(CacheService::new(memory, definitions, clock))
}

/// A call of a tenant.
fn context() -> CallContext {
    call_of("tenant", "cache.set").expect("a tenant")
}

fn space() -> Namespace {
    Namespace::parse("defined").expect("a name")
}

fn put(bytes: Vec<u8>) -> Put<Expiry> {
    Put {
        content: Content::Value(Value::parse(bytes.into(), None, None).expect("a value")),
        life: Expiry::Default,
        condition: Condition::Always,
        tags: Tags::default(),
        lease: None,
    }
}

async fn ttl_ms(cache: &CacheService, context: &CallContext) -> Option<u64> {
    let key = Key::parse("k").expect("a key");
    let stored = cache.set(context, space(), key.clone(), put(vec![1]), None);
    stored.await.expect("stored");
    let reply = cache.get(context, space(), &key).await.expect("read");
    reply.answer.found().expect("there").ttl_ms
}

#[tokio::test]
async fn what_one_instance_defines_the_other_applies_within_a_second() {
    let clock = SystemClock::shared();
    let definitions: Arc<dyn Definitions> = Arc::new(MemoryDefinitions::new(Arc::clone(&clock)));
    let (one, other) = (
        instance(&definitions, &clock),
        instance(&definitions, &clock),
    );
    let (context, stop) = (context(), CancellationToken::new());
    let following = tokio::spawn(Arc::clone(&other).follow_definitions(stop.clone()));
    let settings = NamespaceSettings {
        default_ttl_ms: Some(60_000),
        ..NamespaceSettings::default()
    };
    assert_eq!(ttl_ms(&other, &context).await, None);
    one.define_namespace(&context, space(), settings, Some(0))
        .await
        .expect("defined");
    assert!(
        ttl_ms(&one, &context).await.is_some(),
        "at once where it was defined"
    );
    let seen = async {
        while ttl_ms(&other, &context).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // One second is promised; a busy machine gets more.
    tokio::time::timeout(Duration::from_secs(10), seen)
        .await
        .expect("seen by the other");
    let restarted = instance(&definitions, &clock);
    restarted.load_definitions().await;
    assert!(
        ttl_ms(&restarted, &context).await.is_some(),
        "after a restart"
    );
    one.delete_namespace(&context, space())
        .await
        .expect("deleted");
    let gone = async {
        while ttl_ms(&other, &context).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("its end is seen by the other");
    stop.cancel();
    following.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_to_a_compressed_value_is_never_lost() {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let clock = SystemClock::shared();
    let definitions: Arc<dyn Definitions> = Arc::new(MemoryDefinitions::new(Arc::clone(&clock)));
    let cache = instance(&definitions, &clock);
    let context = context();
    let settings = NamespaceSettings {
        codec: Some("zstd".to_owned()),
        default_ttl_ms: Some(60_000),
        ..NamespaceSettings::default()
    };
    let defined = cache.define_namespace(&context, space(), settings, None);
    defined.await.expect("defined");
    let key = Key::parse("k").expect("a key");
    let stored = cache.set(&context, space(), key.clone(), put(vec![b'.'; 4_096]), None);
    let before = stored
        .await
        .expect("stored")
        .expires_at_ms
        .expect("expires");
    let writer = |name: u8| {
        let (cache, context, key) = (Arc::clone(&cache), context.clone(), key.clone());
        tokio::spawn(async move {
            for _ in 0..EACH {
                loop {
                    let append = Append {
                        bytes: vec![name].into(),
                        content_type: ContentType::parse(None).expect("a type"),
                        condition: Condition::Present,
                        created: Expiry::Default,
                        renewed: None,
                    };
                    let done = cache.append(&context, space(), key.clone(), append, None);
                    match done.await {
                        Ok(_) => break,
                        // The others won every attempt.
                        Err(error @ CacheError::Encoded { .. }) => {
                            let error = plinth_core::Error::from(error);
                            assert_eq!(error.code(), ErrorCode::Conflict);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
    };
    let writers: Vec<_> = (b'a'..).take(WRITERS).map(writer).collect();
    for writer in writers {
        writer.await.expect("writes");
    }
    let reply = cache.get(&context, space(), &key).await.expect("read");
    let Read::Found(found) = reply.answer else {
        panic!("it is there");
    };
    assert_eq!(found.value.bytes.len(), 4_096 + WRITERS * EACH);
    for name in (b'a'..).take(WRITERS) {
        let kept = found.value.bytes.iter().filter(|byte| **byte == name);
        assert_eq!(kept.count(), EACH, "appends of {}", char::from(name));
    }
    let left = i64::try_from(found.ttl_ms.expect("expires")).expect("fits");
    let after = clock.now().0 + left;
    assert!(
        after <= before + 5,
        "an append does not lengthen a life: {before} became {after}"
    );
}
