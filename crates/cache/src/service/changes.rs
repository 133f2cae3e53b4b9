//! Changes beside storing and deleting: touched, counted, grown, cleared, invalidated; and the walk over keys.

use plinth_core::{CallContext, Fence};

use super::{CacheService, out_of_order, space};
use crate::backend::Capability;
use crate::error::CacheError;
use crate::model::{
    Append, ChangeKind, Changed, Expiry, Increment, Key, Namespace, Read, Scan, Scanned, Stored,
    Tags,
};

impl CacheService {
    /// Reads one value and gives it a new life.
    pub async fn get_and_touch(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        life: Expiry,
        fence: Option<Fence>,
    ) -> Result<Read, CacheError> {
        let kind = ChangeKind::Touch { life };
        match self.change(context, namespace, key, kind, fence).await? {
            Changed::Touched(read) => Ok(read),
            _ => Err(out_of_order()),
        }
    }

    /// Adds to a counter. Errors: 2002 where it is absent and nothing says what it counts from, 2005 where the value is no
    /// number, 2006 where the sum would leave its bounds.
    pub async fn increment(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        increment: Increment<Expiry>,
        fence: Option<Fence>,
    ) -> Result<(i64, Stored), CacheError> {
        let kind = ChangeKind::Increment(increment);
        match self.change(context, namespace, key, kind, fence).await? {
            Changed::Counted { number, stored } => Ok((number, stored)),
            _ => Err(out_of_order()),
        }
    }

    /// Adds bytes at the end of a value. Errors: 1006 where the condition does not hold, 1007 where it would grow too large.
    pub async fn append(
        &self,
        context: &CallContext,
        namespace: Namespace,
        key: Key,
        append: Append<Expiry>,
        fence: Option<Fence>,
    ) -> Result<(u64, Stored), CacheError> {
        let kind = ChangeKind::Append(append);
        match self.change(context, namespace, key, kind, fence).await? {
            Changed::Appended { length, stored } => Ok((length, stored)),
            _ => Err(out_of_order()),
        }
    }

    /// Walks the keys of a namespace.
    pub async fn scan(
        &self,
        context: &CallContext,
        namespace: Namespace,
        scan: Scan,
    ) -> Result<Scanned, CacheError> {
        self.require(Capability::Scan)?;
        self.backend.scan(&space(context, namespace), scan).await
    }

    /// Removes everything of a namespace. Returns a version: what was stored with a lower one is gone.
    pub async fn clear(
        &self,
        context: &CallContext,
        namespace: Namespace,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.require(Capability::Clear)?;
        self.require_all(&[], fence.as_ref())?;
        self.backend.clear(&space(context, namespace), fence).await
    }

    /// Makes every entry absent that carries one of the tags. Returns their stamp.
    pub async fn invalidate_tags(
        &self,
        context: &CallContext,
        namespace: Namespace,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError> {
        self.require(Capability::Tags)?;
        self.require_all(&[], fence.as_ref())?;
        let space = space(context, namespace);
        self.backend.invalidate_tags(&space, tags, fence).await
    }
}
