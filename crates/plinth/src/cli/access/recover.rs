//! `plinth access recover-key`

use anyhow::{Result, bail};
use plinth_core::{
    AuditEvent, AuditOutcome, AuditSink as _, Caller, CredentialId, Error, OperationId, Principal,
    PrincipalId, PrincipalKind, Resource, Result as CoreResult, TenantId, TimestampMs,
    TraceContext, Transport,
};
use plinth_gate::access::{
    AccessService, DEFAULT_TENANT, RecoverRequest, Recovery, Separation, keys_resource,
};
use plinth_security::rbac::OWNER;
use serde::Serialize;

use crate::cli::exit::Usage;
use crate::cli::{Output, Table};
use crate::compose::Offline;
use crate::data_dir::DataDir;
use crate::settings::PlaceArguments;

/// What the audit log calls it.
const OPERATION: OperationId = OperationId::new("access.recover_key");
/// Who the audit log says did it: nobody showed a key.
const OPERATOR: &str = "offline-recovery";

/// Whose key is replaced, and which keys die with it.
#[derive(clap::Args)]
pub(crate) struct RecoverArguments {
    #[command(flatten)]
    place: PlaceArguments,
    /// Role of the new key's holder: owner; or, where duties are separated, system-admin, security-admin or audit-admin
    #[arg(long)]
    role: Option<String>,
    /// Holder of the new key, created where absent; without it the one that is named as the role
    #[arg(long)]
    principal: Option<String>,
    /// Tenant of the holder
    #[arg(long, default_value = DEFAULT_TENANT)]
    tenant: String,
    /// Revoke this key too, by its id (repeatable)
    #[arg(long = "revoke", value_name = "KEY-ID")]
    revoke: Vec<String>,
    /// Revoke all other keys of the holder too
    #[arg(long, conflicts_with = "revoke")]
    revoke_others: bool,
}

/// What was done.
#[derive(Serialize)]
struct Recovered {
    key_id: String,
    key: String,
    tenant: String,
    principal: String,
    role: String,
    revoked: Vec<String>,
    /// Id of the intent in the audit log.
    audit_record: String,
}

impl RecoverArguments {
    /// Replaces a key. Nothing is done that cannot be recorded; a revocation that fails leaves the new key, which is shown.
    pub(crate) async fn run(self, output: Output) -> Result<()> {
        let settings = self.place.load()?;
        let role = match (&self.role, settings.access.separation) {
            (Some(role), _) => role.clone(),
            (None, Separation::None) => OWNER.to_owned(),
            (None, Separation::Enforced) => bail!(Usage(
                "duties are separated: --role says whose key is replaced, system-admin, security-admin or audit-admin"
                    .to_owned()
            )),
        };
        let request = RecoverRequest {
            tenant: TenantId::parse(&self.tenant)?,
            role,
            principal: self
                .principal
                .as_deref()
                .map(PrincipalId::parse)
                .transpose()?,
        };
        let keys = self.revoke.iter().map(|id| CredentialId::parse(id));
        let keys = keys.collect::<CoreResult<Vec<_>>>()?;
        let place = DataDir::open_used(&settings.data_dir)?;
        let offline = Offline::open(&settings, &place).await?;
        let recovered = self.recover(&offline, &request, keys).await;
        offline.close().await;
        let (recovered, fault) = recovered?;
        output.show(&recovered, table)?;
        match fault {
            None => Ok(()),
            Some(error) => Err(anyhow::Error::from(error)
                .context("the new key is good, but not every old key could be revoked")),
        }
    }

    async fn recover(
        &self,
        offline: &Offline,
        request: &RecoverRequest,
        mut revoke: Vec<CredentialId>,
    ) -> CoreResult<(Recovered, Option<Error>)> {
        let access = &offline.access;
        let recovery = access.prepare_recovery(request).await?;
        if self.revoke_others {
            revoke = access
                .live_keys(&request.tenant, recovery.principal())
                .await?;
        }
        let event = event(request, &recovery, &revoke, offline.clock.now())?;
        let intent = offline.audit.begin(&event).await?;
        let (key, revoked, fault) = match access.recover(recovery).await {
            Ok(key) => {
                let (revoked, fault) = revoke_all(access, &request.tenant, &revoke).await;
                (Ok(key), revoked, fault)
            }
            Err(error) => (Err(error), Vec::new(), None),
        };
        let failed = key.as_ref().err().or(fault.as_ref());
        let outcome = failed.map_or(AuditOutcome::Succeeded, |error| {
            AuditOutcome::Failed(error.code(), error.outcome())
        });
        // The intent is durable; without its outcome it shows as unknown, and the key is shown all the same.
        if let Err(error) = offline.audit.complete(&intent, &event, outcome).await {
            tracing::error!(%error, "the outcome was not recorded in the audit log");
        }
        let key = key?;
        let recovered = Recovered {
            key_id: key.id.as_str().to_owned(),
            key: key.text.expose().to_owned(),
            tenant: key.tenant.as_str().to_owned(),
            principal: key.principal.as_str().to_owned(),
            role: key.role.as_ref().to_owned(),
            revoked,
            audit_record: intent,
        };
        Ok((recovered, fault))
    }
}

/// Revokes keys one after the other, as far as that goes.
async fn revoke_all(
    access: &AccessService,
    tenant: &TenantId,
    keys: &[CredentialId],
) -> (Vec<String>, Option<Error>) {
    let mut revoked = Vec::with_capacity(keys.len());
    for key in keys {
        match access.revoke_offline(tenant, key).await {
            Ok(()) => revoked.push(key.as_str().to_owned()),
            Err(error) => return (revoked, Some(error)),
        }
    }
    (revoked, None)
}

/// What the log holds of it: who came, by which right, and which keys were made and revoked.
fn event(
    request: &RecoverRequest,
    recovery: &Recovery,
    revoke: &[CredentialId],
    at: TimestampMs,
) -> CoreResult<AuditEvent> {
    let key = |verb: &str, id: &CredentialId| Resource::new("access", format!("keys/{verb}/{id}"));
    let mut resources = vec![
        keys_resource(),
        Resource::new("access", format!("principals/{}", recovery.principal())),
        key("created", recovery.key_id()),
    ];
    resources.extend(revoke.iter().map(|id| key("revoked", id)));
    let user = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    let user = user.map_or_else(|_| "unknown".to_owned(), |id| id.to_string());
    Ok(AuditEvent {
        caller: Caller {
            tenant: request.tenant.clone(),
            principal: Principal {
                id: PrincipalId::parse(OPERATOR)?,
                name: format!("offline on the data directory, user id {user}"),
                kind: PrincipalKind::System,
            },
            credential: CredentialId::parse("none")?,
            roles: [].into(),
            address: None,
            user_agent: Some(concat!("plinth/", env!("CARGO_PKG_VERSION")).to_owned()),
            trace: TraceContext::begin(),
        },
        operation: OPERATION,
        resources,
        transport: Transport::Internal,
        at,
    })
}

fn table(recovered: &Recovered) -> Table {
    let mut table = Table::new(["what", "value"]);
    let revoked = match recovered.revoked.as_slice() {
        [] => "none".to_owned(),
        keys => keys.join(", "),
    };
    for (what, value) in [
        ("key", format!("{}   (shown this one time)", recovered.key)),
        ("key id", recovered.key_id.clone()),
        ("holder", recovered.principal.clone()),
        ("role", recovered.role.clone()),
        ("tenant", recovered.tenant.clone()),
        ("revoked", revoked),
        ("audit record", recovered.audit_record.clone()),
    ] {
        table.row([what.to_owned(), value]);
    }
    table
}
