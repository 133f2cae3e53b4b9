//! Registering, listing and removing databases.

use std::sync::Arc;
use std::time::Duration;

use plinth_core::{CallContext, Cursor, Error, ErrorCode, PageLimit};
use plinth_store::{DefinitionKind, Expected};

use super::DatabaseService;
use crate::error::DatabaseError;
use crate::model::{
    DATABASES_PER_TENANT_MAX, DatabaseDefinition, DatabaseInfo, DatabaseName, ListDatabasesReply,
    ListDatabasesRequest, RegisterDatabaseReply, RegisterDatabaseRequest, RemoveDatabaseReply,
    RemoveDatabaseRequest,
};
use crate::running::{Stored, info};

impl DatabaseService {
    /// Registers a database or changes its definition. The database itself need not be reachable: it is opened when it
    /// is first used.
    ///
    /// Errors: 1001 naming the field; 1006 where `if_version` does not hold; 1008 where the tenant has as many as it may.
    pub async fn register_database(
        &self,
        context: &CallContext,
        database: &str,
        request: RegisterDatabaseRequest,
    ) -> Result<RegisterDatabaseReply, DatabaseError> {
        let name = DatabaseName::parse(database)?;
        let expected = match request.if_version {
            None => Expected::Any,
            Some(version) if version.0 == 0 => Expected::Absent,
            Some(version) => Expected::Version(version.0),
        };
        let mut definition = request.parse()?;
        let tenant = &context.caller.tenant;
        let definitions = &self.settings.definitions;
        let before = definitions
            .get(DefinitionKind::Database, tenant, name.as_str())
            .await?;
        match &before {
            Some(before) => keep_secret(&mut definition, before.document.clone())?,
            None => self.check_room(context).await?,
        }
        let document = serde_json::to_value(&definition).map_err(Error::internal)?;
        let stored = definitions
            .put(
                DefinitionKind::Database,
                tenant,
                name.as_str(),
                document,
                expected,
            )
            .await?;
        let key = (tenant.clone(), name.as_str().to_owned());
        let slow = self
            .running
            .lock()
            .get(&key)
            .map_or_else(Arc::default, |known| Arc::clone(&known.slow));
        let running = self.install(key, definition, Stored::from(&stored), slow)?;
        Ok(RegisterDatabaseReply {
            info: running.info(),
            created: stored.version == 1,
        })
    }

    async fn check_room(&self, context: &CallContext) -> Result<(), DatabaseError> {
        let limit = u32::try_from(DATABASES_PER_TENANT_MAX).unwrap_or(u32::MAX);
        let registered = self
            .settings
            .definitions
            .list(
                DefinitionKind::Database,
                &context.caller.tenant,
                "",
                None,
                limit,
            )
            .await?;
        if registered.len() >= DATABASES_PER_TENANT_MAX {
            return Err(Error::new(
                ErrorCode::RateLimited,
                format!("the tenant has {DATABASES_PER_TENANT_MAX} databases, the most it may; remove one"),
            )
            .retriable(false)
            .into());
        }
        Ok(())
    }

    /// Lists definitions by name, without their secrets.
    pub async fn list_databases(
        &self,
        context: &CallContext,
        request: ListDatabasesRequest,
    ) -> Result<ListDatabasesReply, DatabaseError> {
        let limit = PageLimit::parse(request.limit)?.get();
        let after: Option<String> = request.cursor.as_deref().map(Cursor::decode).transpose()?;
        let tenant = &context.caller.tenant;
        // One more than asked for tells whether there is a next page; a full page of the most asks again and finds none.
        let mut found = self
            .settings
            .definitions
            .list(
                DefinitionKind::Database,
                tenant,
                request.prefix.as_deref().unwrap_or_default(),
                after.as_deref(),
                limit,
            )
            .await?;
        let asked = usize::try_from(limit).unwrap_or(usize::MAX);
        let full = found.len() >= asked;
        found.truncate(asked);
        let next_cursor = match found.last() {
            Some(last) if full => Some(Cursor::encode(&last.name)?.as_str().to_owned()),
            _ => None,
        };
        let databases = found
            .into_iter()
            .map(|stored| {
                let key = (tenant.clone(), stored.name.clone());
                let running = self.running.lock().get(&key).cloned();
                let definition: DatabaseDefinition =
                    serde_json::from_value(stored.document.clone()).map_err(Error::internal)?;
                let status = running.map(|running| running.pool.status());
                Ok(info(
                    &stored.name,
                    &definition,
                    Stored::from(&stored),
                    status,
                ))
            })
            .collect::<Result<Vec<DatabaseInfo>, DatabaseError>>()?;
        Ok(ListDatabasesReply {
            databases,
            next_cursor,
        })
    }

    /// Removes a definition, lets its statements end for a while, then stops them. The database itself is not touched.
    pub async fn remove_database(
        &self,
        context: &CallContext,
        database: &str,
        request: RemoveDatabaseRequest,
    ) -> Result<RemoveDatabaseReply, DatabaseError> {
        let name = DatabaseName::parse(database)?;
        let drain_ms = request.drain_timeout_ms()?;
        let tenant = &context.caller.tenant;
        let removed = self
            .settings
            .definitions
            .delete(DefinitionKind::Database, tenant, name.as_str())
            .await?;
        let key = (tenant.clone(), name.as_str().to_owned());
        let retired = self.running.lock().remove(&key);
        let aborted = match retired {
            // Drained in a task of its own: a caller who goes away stops nothing half-way.
            Some(retired) => {
                let drained = tokio::spawn(async move {
                    retired.pool.close(Duration::from_millis(drain_ms)).await
                });
                drained.await.map_err(Error::internal)?
            }
            None => 0,
        };
        Ok(RemoveDatabaseReply {
            removed,
            aborted: i64::try_from(aborted).unwrap_or(i64::MAX),
        })
    }
}

/// A change that names no secret keeps the stored one, as long as it goes to the same place: a secret must not be sent
/// to an address that its owner did not name.
fn keep_secret(
    definition: &mut DatabaseDefinition,
    before: serde_json::Value,
) -> Result<(), DatabaseError> {
    let before: DatabaseDefinition = serde_json::from_value(before).map_err(Error::internal)?;
    let same_place = before.engine == definition.engine && before.url == definition.url;
    if definition.secret.is_none() && same_place {
        definition.secret = before.secret;
    }
    Ok(())
}
