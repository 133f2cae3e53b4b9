//! The open leases of one shard's keys. Who waits for one is woken by its end: nobody polls.

use hashbrown::HashTable;
use tokio::sync::watch;

use crate::model::LeaseToken;

/// A lease that is open, unless its time has come.
pub(super) struct Lease {
    hash: u64,
    namespace: u32,
    key: Box<str>,
    pub(super) token: LeaseToken,
    pub(super) until_ms: u64,
    /// Dropped with the lease, which wakes its receivers.
    ended: watch::Sender<()>,
}

impl Lease {
    /// Something that completes when the lease is gone.
    pub(super) fn end(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }
}

/// The leases of one shard.
#[derive(Default)]
pub(super) struct Leases(HashTable<Lease>);

impl Leases {
    /// The open lease of a key.
    pub(super) fn open(&self, hash: u64, namespace: u32, key: &str, now: u64) -> Option<&Lease> {
        let found = self
            .0
            .find(hash, |lease| is_of(lease, hash, namespace, key))?;
        (found.until_ms > now).then_some(found)
    }

    /// Opens a lease on a key that has none open. Says by how many the table has grown.
    pub(super) fn give(
        &mut self,
        hash: u64,
        namespace: u32,
        key: &str,
        token: LeaseToken,
        until_ms: u64,
    ) -> usize {
        let replaced = self.end(hash, namespace, key);
        let lease = Lease {
            hash,
            namespace,
            key: key.into(),
            token,
            until_ms,
            ended: watch::Sender::new(()),
        };
        self.0.insert_unique(hash, lease, |lease| lease.hash);
        1 - replaced
    }

    /// The namespaces that have leases here.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|lease| lease.namespace)
    }

    /// Ends the lease of a key. Says how many there were: one or none.
    pub(super) fn end(&mut self, hash: u64, namespace: u32, key: &str) -> usize {
        self.0
            .find_entry(hash, |lease| is_of(lease, hash, namespace, key))
            .map_or(0, |found| {
                found.remove();
                1
            })
    }

    /// Ends the leases of a namespace, or those whose time has come. Says how many.
    pub(super) fn end_where(&mut self, ended: impl Fn(u32, u64) -> bool) -> usize {
        let before = self.0.len();
        self.0
            .retain(|lease| !ended(lease.namespace, lease.until_ms));
        before - self.0.len()
    }
}

fn is_of(lease: &Lease, hash: u64, namespace: u32, key: &str) -> bool {
    lease.hash == hash && lease.namespace == namespace && *lease.key == *key
}
