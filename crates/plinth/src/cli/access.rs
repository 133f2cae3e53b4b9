//! `plinth access …`

use anyhow::Result;
use clap::Subcommand;
use plinth_client::{AccessBinding, AccessKey, CreatedKey, CreatedTenant, KeyOptions, WhoAmI};
use serde_json::json;

mod recover;

use super::output::time_text;
use super::{Context, Output, Table};
use recover::RecoverArguments;

/// Tenants, API keys and roles
#[derive(Subcommand)]
pub(crate) enum AccessCommand {
    /// Create an API key; its text is shown this one time
    CreateKey {
        /// Holder of the key; created where absent
        principal: String,
        /// Role to give the holder: owner, system-admin, security-admin, audit-admin, operator, developer (repeatable)
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// What the key is for
        #[arg(long)]
        label: Option<String>,
        /// Milliseconds until it is dead; without it the key does not expire
        #[arg(long, value_name = "MS")]
        expires_in_ms: Option<i64>,
        /// Name of a new holder for people
        #[arg(long, value_name = "NAME")]
        principal_name: Option<String>,
        /// Kind of a new holder: service or user
        #[arg(long, value_name = "KIND")]
        principal_kind: Option<String>,
        /// Idempotency key: the same one again creates nothing new
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
    },
    /// List API keys without their texts
    ListKeys {
        /// Only keys of this holder
        #[arg(long)]
        principal: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Revoke an API key
    RevokeKey {
        /// Id of the key: the part of its text between plk_ and the next _
        key_id: String,
    },
    /// Give a principal a role
    BindRole {
        /// The principal
        principal: String,
        /// The role
        role: String,
    },
    /// Take a role from a principal
    UnbindRole {
        /// The principal
        principal: String,
        /// The role
        role: String,
    },
    /// List who holds which role
    ListBindings {
        /// Only bindings of this principal
        #[arg(long)]
        principal: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show whose key this is and what it allows
    WhoAmI,
    /// Create a tenant and its first key; only for the platform's own tenant
    CreateTenant {
        /// Id of the tenant
        tenant: String,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
        /// Idempotency key: the same one again creates nothing new
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
    },
    /// Replace the lost key of an administrator, on the data directory of a stopped server; the new key is shown once
    RecoverKey(RecoverArguments),
}

/// Which part of a listing is shown.
#[derive(clap::Args)]
pub(crate) struct Page {
    /// Rows of a page, 1 to 1000
    #[arg(long)]
    limit: Option<i64>,
    /// Where to go on: the cursor that the page before ended with
    #[arg(long)]
    cursor: Option<String>,
}

impl AccessCommand {
    /// Runs a command. `connect` makes the client, which work on the data directory does without.
    pub(crate) async fn run(
        self,
        connect: impl Fn() -> Result<Context>,
        output: Output,
    ) -> Result<()> {
        match self {
            Self::RecoverKey(arguments) => arguments.run(output).await,
            Self::CreateKey {
                principal,
                roles,
                label,
                expires_in_ms,
                principal_name,
                principal_kind,
                request_id,
            } => {
                let options = KeyOptions {
                    principal_name,
                    principal_kind,
                    label,
                    roles,
                    expires_in_ms,
                };
                create_key(&connect()?, &principal, &options, request_id).await
            }
            Self::ListKeys { principal, page } => list_keys(&connect()?, principal, page).await,
            Self::RevokeKey { key_id } => revoke_key(&connect()?, &key_id).await,
            Self::BindRole { principal, role } => bind_role(&connect()?, &principal, &role).await,
            Self::UnbindRole { principal, role } => {
                unbind_role(&connect()?, &principal, &role).await
            }
            Self::ListBindings { principal, page } => {
                list_bindings(&connect()?, principal, page).await
            }
            Self::WhoAmI => who_am_i(&connect()?).await,
            Self::CreateTenant {
                tenant,
                name,
                request_id,
            } => create_tenant(&connect()?, &tenant, name.as_deref(), request_id).await,
        }
    }
}

async fn create_key(
    context: &Context,
    principal: &str,
    options: &KeyOptions,
    request_id: Option<String>,
) -> Result<()> {
    let access = context.client.access();
    let created = access.create_key(principal, options, request_id).await?;
    context.output.show(&created, created_table)
}

async fn create_tenant(
    context: &Context,
    tenant: &str,
    name: Option<&str>,
    request_id: Option<String>,
) -> Result<()> {
    let access = context.client.access();
    let created = access.create_tenant(tenant, name, request_id).await?;
    context.output.show(&created, tenant_table)
}

async fn list_keys(context: &Context, principal: Option<String>, page: Page) -> Result<()> {
    let access = context.client.access();
    let keys = access
        .list_keys(principal.as_deref(), page.limit, page.cursor.as_deref())
        .await?;
    context.output.show(&keys, |page| keys_table(&page.keys))?;
    say_next(context, keys.next_cursor.as_deref())
}

async fn list_bindings(context: &Context, principal: Option<String>, page: Page) -> Result<()> {
    let access = context.client.access();
    let bindings = access
        .list_bindings(principal.as_deref(), page.limit, page.cursor.as_deref())
        .await?;
    context
        .output
        .show(&bindings, |page| bindings_table(&page.bindings))?;
    say_next(context, bindings.next_cursor.as_deref())
}

async fn revoke_key(context: &Context, key_id: &str) -> Result<()> {
    context.client.access().revoke_key(key_id).await?;
    let answer = json!({ "key_id": key_id, "revoked": true });
    context
        .output
        .say(&answer, |_| format!("the key {key_id} is revoked"))
}

async fn bind_role(context: &Context, principal: &str, role: &str) -> Result<()> {
    let created = context.client.access().bind_role(principal, role).await?;
    let answer = json!({ "principal": principal, "role": role, "created": created });
    context.output.say(&answer, |_| match created {
        true => format!("{principal} now holds {role}"),
        false => format!("{principal} held {role} already"),
    })
}

async fn unbind_role(context: &Context, principal: &str, role: &str) -> Result<()> {
    let removed = context.client.access().unbind_role(principal, role).await?;
    let answer = json!({ "principal": principal, "role": role, "removed": removed });
    context.output.say(&answer, |_| match removed {
        true => format!("{principal} no longer holds {role}"),
        false => format!("{principal} did not hold {role}"),
    })
}

async fn who_am_i(context: &Context) -> Result<()> {
    let me = context.client.access().who_am_i().await?;
    context.output.show(&me, who_am_i_table)
}

/// Tells people how to get the next page; programs read the cursor in the document.
fn say_next(context: &Context, next_cursor: Option<&str>) -> Result<()> {
    match next_cursor {
        Some(cursor) if !context.output.is_json() => context
            .output
            .text(&format!("more follow: --cursor {cursor}")),
        _ => Ok(()),
    }
}

fn tenant_table(created: &CreatedTenant) -> Table {
    let mut table = created_table(&created.first_key);
    for key in &created.further_keys {
        table.row([String::new(), String::new()]);
        fill_created(&mut table, key);
    }
    table
}

fn created_table(created: &CreatedKey) -> Table {
    let mut table = Table::new(["what", "value"]);
    fill_created(&mut table, created);
    table
}

fn fill_created(table: &mut Table, created: &CreatedKey) {
    let text = match &created.key {
        Some(text) => format!("{text}   (shown this one time)"),
        None => "created by an earlier call, not shown again".to_owned(),
    };
    for (what, value) in [
        ("key id", created.key_id.clone()),
        ("key", text),
        ("holder", created.principal.clone()),
        ("roles given", created.roles.join(", ")),
        ("expires", instant(created.expires_at_ms, "never")),
    ] {
        table.row([what.to_owned(), value]);
    }
}

fn keys_table(keys: &[AccessKey]) -> Table {
    let mut table = Table::new([
        "key id",
        "holder",
        "label",
        "created",
        "expires",
        "revoked",
        "last used",
    ]);
    for key in keys {
        table.row([
            key.key_id.clone(),
            key.principal.clone(),
            key.label.clone(),
            time_text(key.created_at_ms),
            instant(key.expires_at_ms, "never"),
            instant(key.revoked_at_ms, "–"),
            instant(key.last_used_at_ms, "never"),
        ]);
    }
    table
}

fn bindings_table(bindings: &[AccessBinding]) -> Table {
    let mut table = Table::new(["holder", "role", "given by", "given at"]);
    for binding in bindings {
        table.row([
            binding.principal.clone(),
            binding.role.clone(),
            binding.granted_by.clone().unwrap_or_else(|| "–".to_owned()),
            time_text(binding.granted_at_ms),
        ]);
    }
    table
}

fn who_am_i_table(me: &WhoAmI) -> Table {
    let mut table = Table::new(["what", "value"]);
    for (what, value) in [
        ("tenant", me.tenant.clone()),
        (
            "holder",
            format!("{} ({})", me.principal, me.principal_kind),
        ),
        ("name", me.principal_name.clone()),
        ("key id", me.key_id.clone()),
        ("expires", instant(me.expires_at_ms, "never")),
        ("roles", me.roles.join(", ")),
    ] {
        table.row([what.to_owned(), value]);
    }
    for permission in &me.permissions {
        let value = format!(
            "{} on {} ({})",
            permission.operations, permission.resources, permission.role
        );
        table.row(["may".to_owned(), value]);
    }
    table
}

fn instant(unix_ms: Option<i64>, otherwise: &str) -> String {
    unix_ms.map_or_else(|| otherwise.to_owned(), time_text)
}
