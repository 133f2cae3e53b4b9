//! Takes over what other instances on the same control plane registered.

use std::sync::Arc;

use plinth_store::definitions::DefinitionWatch;
use tokio_util::sync::CancellationToken;

use super::registry::Registry;
use crate::backend::SeriesBackend;
use crate::error::MonitorError;

/// What is kept up to date.
pub(super) struct Followed {
    pub(super) registry: Arc<Registry>,
    pub(super) backend: Arc<dyn SeriesBackend>,
}

/// Reads the registered metrics again whenever they changed, until it is told to stop.
pub(super) async fn follow(
    followed: Followed,
    mut watch: DefinitionWatch,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            watch.changed().await;
            match followed.take_over().await {
                Ok(()) => watch.taken(),
                Err(error) => {
                    tracing::warn!(monitor.error = %error, "registered metrics could not be read again");
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

impl Followed {
    async fn take_over(&self) -> Result<(), MonitorError> {
        for (tenant, definition) in self.registry.reload().await? {
            self.backend.define(&tenant, definition).await?;
        }
        Ok(())
    }
}
