//! The `queue` block.

use utoipa_axum::router::OpenApiRouter;

use crate::services::Services;

/// The routes of the block.
pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
}
