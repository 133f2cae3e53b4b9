//! The first keys of an instance.

use anyhow::{Context as _, Result};
use plinth_core::ErrorCode;
use plinth_gate::access::{AccessService, FirstKey};

/// Makes the first keys where there are none yet. Nothing that is away stops a start: without the control database none are
/// made, and where there are keys already, nothing is missing.
///
/// Errors: the control plane refuses for another reason.
pub(super) async fn first(access: &AccessService) -> Result<Vec<FirstKey>> {
    match access.bootstrap().await {
        Ok(keys) => Ok(keys),
        Err(error) if error.code() == ErrorCode::DependencyUnavailable => {
            tracing::warn!(%error, "the control database is away; if it holds no key yet, start again when it is back");
            Ok(Vec::new())
        }
        Err(error) => Err(error).context("cannot create the first keys"),
    }
}
