//! Behaviours of tenants, keys and bindings.

use std::sync::Arc;

use plinth_core::access::{
    AccessDirectory as _, BindingRecord, Creation, IdempotencyScope, NewKey, TenantRecord,
};
use plinth_core::limits::IDEMPOTENCY_TTL_MS;
use plinth_core::{
    CredentialDirectory as _, CredentialId, CredentialLookup, ErrorCode, PageLimit, Principal,
    PrincipalId, PrincipalKind, RoleName, StoredCredential, TenantId, TimestampMs,
};
use plinth_store::ControlStore;

use super::backend::{BEGIN_MS, Fixture};

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a good name")
}

pub(crate) fn principal(name: &str) -> PrincipalId {
    PrincipalId::parse(name).expect("a good name")
}

fn credential(name: &str) -> CredentialId {
    CredentialId::parse(name).expect("a good name")
}

pub(crate) fn page(rows: i64) -> PageLimit {
    PageLimit::parse(Some(rows)).expect("a good limit")
}

/// A rule that admits everything.
pub(crate) fn anything(_held: &[RoleName]) -> plinth_core::Result<()> {
    Ok(())
}

pub(crate) fn new_tenant(name: &str) -> TenantRecord {
    TenantRecord {
        id: tenant(name),
        name: format!("{name} 商户"),
        active: true,
        platform: false,
        created_at: TimestampMs(BEGIN_MS),
    }
}

pub(crate) fn new_key(id: &str, tenant_name: &str, holder: &str) -> NewKey {
    NewKey {
        id: credential(id),
        sha256: [7; 32],
        tenant: tenant(tenant_name),
        principal: Principal {
            id: principal(holder),
            name: format!("{holder} name"),
            kind: PrincipalKind::User,
        },
        label: "first".to_owned(),
        expires_at: Some(TimestampMs(BEGIN_MS + 1)),
        created_at: TimestampMs(BEGIN_MS),
        roles: vec!["owner".into(), "developer".into()],
        created_by: Some(principal("root")),
    }
}

fn scope(key: &str, fingerprint: u8, at_ms: i64) -> IdempotencyScope {
    IdempotencyScope {
        tenant: tenant("platform"),
        principal: principal("root"),
        operation: "access.create_tenant",
        key: key.to_owned(),
        fingerprint: [fingerprint; 32],
        at: TimestampMs(at_ms),
    }
}

async fn found(store: &ControlStore, id: &str) -> Option<StoredCredential> {
    match store.find(&credential(id)).await.expect("looks up") {
        CredentialLookup::Found(stored) => Some(*stored),
        CredentialLookup::Absent => None,
    }
}

pub(crate) async fn shop(fixture: &Fixture) {
    let created = fixture
        .store
        .create_tenant(&new_tenant("shop"), &[new_key("k1", "shop", "admin")], None)
        .await;
    assert_eq!(created.expect("creates"), Creation::Created);
}

pub(crate) async fn a_tenant_comes_with_its_first_key(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    assert!(store.is_empty().await.expect("reads"));
    assert!(found(store, "k1").await.is_none());
    shop(&fixture).await;
    assert!(!store.is_empty().await.expect("reads"));
    assert_eq!(
        store.tenant(&tenant("shop")).await.expect("reads"),
        Some(new_tenant("shop"))
    );
    assert_eq!(store.tenant(&tenant("SHOP")).await.expect("reads"), None);
    let stored = found(store, "k1").await.expect("is there");
    assert_eq!(stored.sha256, [7; 32]);
    assert_eq!(
        (stored.tenant, stored.tenant_active),
        (tenant("shop"), true)
    );
    assert_eq!(stored.principal, new_key("k1", "shop", "admin").principal);
    let roles: Vec<&str> = stored.roles.iter().map(AsRef::as_ref).collect();
    assert_eq!(roles, ["developer", "owner"]);
    assert_eq!(
        (stored.expires_at, stored.revoked_at),
        (Some(TimestampMs(BEGIN_MS + 1)), None)
    );
}

pub(crate) async fn several_first_keys_are_stored_together_or_not_at_all(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    let keys = ["k1", "k2", "k3"].map(|id| new_key(id, "shop", id));
    let created = store.create_tenant(&new_tenant("shop"), &keys, None).await;
    assert_eq!(created.expect("creates"), Creation::Created);
    for key in &keys {
        let stored = found(store, key.id.as_str()).await.expect("is there");
        assert_eq!(stored.principal, key.principal);
    }
    // The second key's id is taken, so neither the first nor the tenant is there.
    let taken = ["k4", "k1"].map(|id| new_key(id, "mall", id));
    let refused = store.create_tenant(&new_tenant("mall"), &taken, None).await;
    assert_eq!(refused.expect_err("is refused").code(), ErrorCode::Conflict);
    assert!(found(store, "k4").await.is_none());
    assert_eq!(store.tenant(&tenant("mall")).await.expect("reads"), None);
}

pub(crate) async fn a_tenant_is_created_once(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let again = fixture
        .store
        .create_tenant(&new_tenant("shop"), &[new_key("k2", "shop", "admin")], None)
        .await;
    assert_eq!(again.expect_err("is refused").code(), ErrorCode::Conflict);
    assert!(found(&fixture.store, "k2").await.is_none());
}

pub(crate) async fn a_repeat_gets_the_first_answer(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    let (record, keys) = (new_tenant("shop"), [new_key("k1", "shop", "admin")]);
    let scope = scope("a-1", 1, BEGIN_MS);
    let first = store
        .create_tenant(&record, &keys, Some((&scope, "answer 价")))
        .await;
    assert_eq!(first.expect("creates"), Creation::Created);
    // A repeat brings another random key id; the first answer stands.
    let other = new_key("k2", "shop", "admin");
    let repeat = store
        .create_tenant(&record, &[other], Some((&scope, "other")))
        .await;
    assert_eq!(
        repeat.expect("repeats"),
        Creation::Repeated("answer 价".to_owned())
    );
    assert!(found(store, "k2").await.is_none());
}

pub(crate) async fn another_request_under_the_same_key_is_a_conflict(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    let key = new_key("k1", "shop", "admin");
    let first = scope("a-1", 1, BEGIN_MS);
    store
        .create_tenant(&new_tenant("shop"), &[key], Some((&first, "answer")))
        .await
        .expect("creates");
    let second = scope("a-1", 2, BEGIN_MS);
    let other = new_key("k2", "mall", "admin");
    let refused = store
        .create_tenant(&new_tenant("mall"), &[other], Some((&second, "answer")))
        .await;
    assert_eq!(refused.expect_err("is refused").code(), ErrorCode::Conflict);
    assert_eq!(store.tenant(&tenant("mall")).await.expect("reads"), None);
}

pub(crate) async fn a_dead_record_gives_its_key_free(fixture: Arc<Fixture>) {
    let store = &fixture.store;
    let ttl_ms = i64::try_from(IDEMPOTENCY_TTL_MS).expect("fits");
    let cases = [
        ("k1", "shop", BEGIN_MS, Creation::Created),
        (
            "k2",
            "mall",
            BEGIN_MS + ttl_ms - 1,
            Creation::Repeated("k1".to_owned()),
        ),
        ("k3", "mall", BEGIN_MS + ttl_ms, Creation::Created),
    ];
    for (id, name, at_ms, expected) in cases {
        let scope = scope("a-1", 1, at_ms);
        let created = store
            .create_tenant(
                &new_tenant(name),
                &[new_key(id, name, "admin")],
                Some((&scope, id)),
            )
            .await;
        assert_eq!(created.expect("answers"), expected, "{id}");
    }
}

pub(crate) async fn concurrent_uses_of_a_key_create_once(fixture: Arc<Fixture>) {
    const USES: usize = 6;
    let mut uses = tokio::task::JoinSet::new();
    for number in 0..USES {
        let fixture = Arc::clone(&fixture);
        uses.spawn(async move {
            let key = new_key(&format!("k{number}"), "shop", "admin");
            let answer = format!("answer {number}");
            let scope = scope("a-1", 1, BEGIN_MS);
            let created = fixture
                .store
                .create_tenant(&new_tenant("shop"), &[key], Some((&scope, &answer)))
                .await;
            (number, created.expect("answers"))
        });
    }
    let (created, repeated): (Vec<_>, Vec<_>) = uses
        .join_all()
        .await
        .into_iter()
        .partition(|(_, creation)| *creation == Creation::Created);
    assert_eq!((created.len(), repeated.len()), (1, USES - 1));
    let answer = format!("answer {}", created[0].0);
    for (_, creation) in repeated {
        assert_eq!(creation, Creation::Repeated(answer.clone()));
    }
}

pub(crate) async fn a_key_needs_its_tenant(fixture: Arc<Fixture>) {
    let refused = fixture
        .store
        .create_key(&new_key("k1", "nowhere", "admin"), &anything, None)
        .await;
    assert_eq!(refused.expect_err("is refused").code(), ErrorCode::NotFound);
    assert!(found(&fixture.store, "k1").await.is_none());
}

pub(crate) async fn a_refused_creation_leaves_nothing(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let store = &fixture.store;
    // The holder and its roles are new, the key's id is taken.
    let refused = store
        .create_key(&new_key("k1", "shop", "robot"), &anything, None)
        .await;
    assert_eq!(refused.expect_err("is refused").code(), ErrorCode::Conflict);
    let robot = principal("robot");
    let bound = store
        .bindings(&tenant("shop"), Some(&robot), None, page(10))
        .await;
    assert_eq!(bound.expect("lists"), []);
    let binding = BindingRecord {
        principal: robot,
        role: "developer".into(),
        granted_by: None,
        granted_at: TimestampMs(BEGIN_MS),
    };
    let refused = store.bind_role(&tenant("shop"), &binding, &anything).await;
    assert_eq!(refused.expect_err("is refused").code(), ErrorCode::NotFound);
}

pub(crate) async fn keys_are_listed_in_pages(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let store = &fixture.store;
    for (id, holder) in [("k4", "robot"), ("k3", "admin"), ("k2", "robot")] {
        let created = store
            .create_key(&new_key(id, "shop", holder), &anything, None)
            .await;
        assert_eq!(created.expect("creates"), Creation::Created);
    }
    let list = async |holder: Option<&str>, after: Option<&str>, rows: i64| {
        let (holder, after) = (holder.map(principal), after.map(credential));
        store
            .keys(&tenant("shop"), holder.as_ref(), after.as_ref(), page(rows))
            .await
            .expect("lists")
            .into_iter()
            .map(|key| key.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 3).await, ["k1", "k2", "k3"]);
    assert_eq!(list(None, Some("k3"), 3).await, ["k4"]);
    assert_eq!(list(Some("robot"), None, 3).await, ["k2", "k4"]);
    assert_eq!(list(Some("robot"), Some("k2"), 3).await, ["k4"]);
    let other = store.keys(&tenant("mall"), None, None, page(3)).await;
    assert_eq!(other.expect("lists"), []);
    let keys = store
        .keys(&tenant("shop"), None, None, page(1))
        .await
        .expect("lists");
    assert_eq!(keys[0].label, "first");
    assert_eq!(keys[0].principal_kind, PrincipalKind::User);
    assert_eq!(keys[0].expires_at, Some(TimestampMs(BEGIN_MS + 1)));
}

pub(crate) async fn revoking_is_lasting_and_stays_in_the_tenant(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let store = &fixture.store;
    let key = credential("k1");
    let foreign = store
        .revoke_key(&tenant("mall"), &key, TimestampMs(5))
        .await;
    assert_eq!(foreign.expect_err("is refused").code(), ErrorCode::NotFound);
    for at_ms in [6, 7] {
        store
            .revoke_key(&tenant("shop"), &key, TimestampMs(at_ms))
            .await
            .expect("revokes");
        let stored = found(store, "k1").await.expect("is there");
        assert_eq!(stored.revoked_at, Some(TimestampMs(6)));
    }
}

pub(crate) async fn the_last_use_is_kept_to_the_minute(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let store = &fixture.store;
    let touched = TimestampMs(BEGIN_MS + 59_999);
    store
        .touch(&credential("k1"), touched)
        .await
        .expect("notes");
    store
        .touch(&credential("absent"), touched)
        .await
        .expect("notes nothing");
    let keys = store
        .keys(&tenant("shop"), None, None, page(1))
        .await
        .expect("lists");
    assert_eq!(keys[0].last_used_at, Some(TimestampMs(BEGIN_MS)));
}

pub(crate) fn binding(holder: &str, role: &str) -> BindingRecord {
    BindingRecord {
        principal: principal(holder),
        role: role.into(),
        granted_by: Some(principal("admin")),
        granted_at: TimestampMs(BEGIN_MS + 9),
    }
}

pub(crate) async fn bindings_come_and_go(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let (store, shop) = (&fixture.store, tenant("shop"));
    let operator = binding("admin", "operator");
    assert!(
        store
            .bind_role(&shop, &operator, &anything)
            .await
            .expect("binds")
    );
    assert!(
        !store
            .bind_role(&shop, &operator, &anything)
            .await
            .expect("binds")
    );
    let admin = principal("admin");
    let bound = store
        .bindings(&shop, Some(&admin), Some((&admin, "developer")), page(1))
        .await;
    assert_eq!(bound.expect("lists"), [operator]);
    for expected in [true, false] {
        let unbound = store.unbind_role(&shop, &admin, "operator", false).await;
        assert_eq!(unbound.expect("unbinds"), expected);
    }
    let absent = store
        .bind_role(&shop, &binding("nobody", "operator"), &anything)
        .await;
    assert_eq!(absent.expect_err("is refused").code(), ErrorCode::NotFound);
    let foreign = store
        .bind_role(&tenant("mall"), &binding("admin", "operator"), &anything)
        .await;
    assert_eq!(foreign.expect_err("is refused").code(), ErrorCode::NotFound);
}

pub(crate) async fn bindings_are_listed_in_pages(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let (store, shop) = (&fixture.store, tenant("shop"));
    store
        .create_key(&new_key("k2", "shop", "robot"), &anything, None)
        .await
        .expect("creates");
    let mut seen = Vec::new();
    let mut last: Option<(PrincipalId, String)> = None;
    loop {
        let after = last.as_ref().map(|(holder, role)| (holder, role.as_str()));
        let rows = store
            .bindings(&shop, None, after, page(3))
            .await
            .expect("lists");
        let Some(row) = rows.last() else { break };
        last = Some((row.principal.clone(), row.role.to_string()));
        seen.extend(
            rows.iter()
                .map(|row| format!("{} {}", row.principal, row.role)),
        );
    }
    assert_eq!(
        seen,
        [
            "admin developer",
            "admin owner",
            "robot developer",
            "robot owner"
        ]
    );
}

pub(crate) async fn labels_hold_at_the_limit_and_refuse_one_past_it(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    for (bytes, code) in [(512, None), (513, Some(ErrorCode::InvalidArgument))] {
        let mut key = new_key(&format!("k{bytes}"), "shop", "admin");
        key.label = "l".repeat(bytes);
        let created = fixture.store.create_key(&key, &anything, None).await;
        assert_eq!(created.err().map(|error| error.code()), code, "{bytes}");
    }
}
