//! Epochs on the control database: one row, raised by compare-and-set.

use async_trait::async_trait;
use plinth_core::{Error, Result};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::entity::lock_epoch::{ActiveModel, Column, Entity};
use super::failure::{self, Phase};
use super::{ATTEMPTS_MAX, ControlStore};
use crate::epochs::Epochs;

/// The number of the one row.
const ROW: i32 = 1;

#[async_trait]
impl Epochs for ControlStore {
    async fn raise(&self, backend: &str, above: i64) -> Result<i64> {
        let database = self.ready().await?;
        for _ in 0..ATTEMPTS_MAX {
            let found = Entity::find_by_id(ROW)
                .one(database)
                .await
                .map_err(|cause| failure::error(cause, Phase::Read))?;
            let now = self.clock.now().0;
            let Some(found) = found else {
                let first = above.max(0).saturating_add(1);
                let row = ActiveModel {
                    id: Set(ROW),
                    epoch: Set(first),
                    backend: Set(backend.to_owned()),
                    raised_at: Set(now),
                };
                match Entity::insert(row).exec_without_returning(database).await {
                    Ok(_) => return Ok(first),
                    Err(cause) if failure::is_duplicate(&cause) => continue,
                    Err(cause) => return Err(failure::error(cause, Phase::Commit)),
                }
            };
            let next = found.epoch.max(above).saturating_add(1);
            let raised = Entity::update_many()
                .col_expr(Column::Epoch, Expr::value(next))
                .col_expr(Column::Backend, Expr::value(backend))
                .col_expr(Column::RaisedAt, Expr::value(now))
                .filter(Column::Id.eq(ROW))
                .filter(Column::Epoch.eq(found.epoch))
                .exec(database)
                .await;
            match raised {
                Ok(done) if done.rows_affected == 1 => return Ok(next),
                Ok(_) => {}
                Err(cause) if failure::is_collision(&cause) => {}
                Err(cause) => return Err(failure::error(cause, Phase::Commit)),
            }
        }
        Err(Error::conflict("the epoch is being raised by others; try again").retriable(true))
    }
}
