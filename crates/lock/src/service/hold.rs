//! Renewing, releasing, and ending by force.

use plinth_core::{CallContext, Error, ErrorCode, WideInt};

use super::LockService;
use crate::backend::LockKey;
use crate::error::LockError;
use crate::machine::{Command, Reply};
use crate::model::{
    ClaimResult, Claims, ForceReleaseReply, ForceReleaseRequest, LockName, ReleaseReply,
    ReleaseRequest, RenewReply, RenewRequest, lease, limits, token,
};

impl LockService {
    /// Begins leases anew, one status for each grant. What was lost shows 2602 in its item.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn renew(
        &self,
        context: &CallContext,
        request: RenewRequest,
    ) -> Result<RenewReply, LockError> {
        let lease_ms = request.lease_ms.map(lease).transpose()?;
        let claims = Claims::parse(&request.owner, &request.claims)?;
        let mut items = Vec::with_capacity(claims.claims.len());
        for claim in claims.claims {
            let command = Command::Renew {
                owner: claims.owner.as_str().to_owned(),
                principal: context.caller.principal.id.to_string(),
                token: claim.token,
                lease_ms,
            };
            items.push(
                self.claim(context, claim.name, claim.token, command)
                    .await?,
            );
        }
        Ok(RenewReply { items })
    }

    /// Ends holds, one status for each grant. What was lost before shows 2602 in its item.
    ///
    /// Errors: 1001 naming the field, 2601 where the backend is away.
    pub async fn release(
        &self,
        context: &CallContext,
        request: ReleaseRequest,
    ) -> Result<ReleaseReply, LockError> {
        let claims = Claims::parse(&request.owner, &request.claims)?;
        let mut items = Vec::with_capacity(claims.claims.len());
        for claim in claims.claims {
            let command = Command::Release {
                owner: claims.owner.as_str().to_owned(),
                principal: context.caller.principal.id.to_string(),
                token: claim.token,
                depth: claim.depth,
            };
            items.push(
                self.claim(context, claim.name, claim.token, command)
                    .await?,
            );
        }
        Ok(ReleaseReply { items })
    }

    async fn claim(
        &self,
        context: &CallContext,
        name: LockName,
        token: i64,
        command: Command,
    ) -> Result<ClaimResult, LockError> {
        let key = LockKey {
            tenant: context.caller.tenant.clone(),
            name,
        };
        let reply = self.inner.apply(&key, command).await?;
        let item = ClaimResult {
            lock: key.name.to_string(),
            token: WideInt(token),
            ..ClaimResult::default()
        };
        Ok(match reply {
            Reply::Renewed { lease_ms, depth } => ClaimResult {
                held: true,
                lease_ms: Some(lease_ms),
                depth: i32::try_from(depth).unwrap_or(i32::MAX),
                ..item
            },
            Reply::Released { depth } => ClaimResult {
                held: depth > 0,
                depth: i32::try_from(depth).unwrap_or(i32::MAX),
                ..item
            },
            _ => {
                self.inner.count("lock_lost_total", 1);
                ClaimResult {
                    code: Some(i32::from(ErrorCode::LockLost.number())),
                    message: Some(
                        "not held by this owner of this principal and token: it was released, its lease ended, or it was ended by force"
                            .to_owned(),
                    ),
                    ..item
                }
            }
        })
    }

    /// Ends leases against their holders' will; the holders learn it at their next renewal.
    ///
    /// Errors: 1001 naming the field, 1004 where nothing is held (by this token), 2601 where the backend is away.
    pub async fn force_release(
        &self,
        context: &CallContext,
        lock: &str,
        request: ForceReleaseRequest,
    ) -> Result<ForceReleaseReply, LockError> {
        let key = LockKey {
            tenant: context.caller.tenant.clone(),
            name: LockName::parse("lock", lock)?,
        };
        let length = request.reason.len();
        if length == 0 || length > limits::REASON_BYTES_MAX {
            return Err(LockError::Refused(Error::invalid(
                "reason",
                format!(
                    "has {length} bytes, must have 1 to {}",
                    limits::REASON_BYTES_MAX
                ),
            )));
        }
        let token = request.token.map(|given| token(given.0)).transpose()?;
        let reply = self.inner.apply(&key, Command::Force { token }).await?;
        let Reply::Forced { count } = reply else {
            return Err(LockError::Lost);
        };
        if count == 0 {
            return Err(LockError::Refused(Error::not_found(format!(
                "lock {lock} is not held{}",
                if token.is_some() {
                    " by this token"
                } else {
                    ""
                }
            ))));
        }
        tracing::warn!(
            lock,
            tenant = key.tenant.as_str(),
            principal = context.caller.principal.id.as_str(),
            reason = request.reason,
            count,
            "leases were ended by force"
        );
        self.inner.count("lock_forced_total", count);
        Ok(ForceReleaseReply {
            released: i32::try_from(count).unwrap_or(i32::MAX),
        })
    }
}
