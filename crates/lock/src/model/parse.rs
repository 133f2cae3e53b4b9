//! Wire requests to what the service works with. Every refusal names the field as the caller wrote it.

use plinth_core::{Error, Result};

use super::limits;
use super::names::{LockName, Owner};
use super::wire::{AcquireRequest, LockAsk, LockClaim, VerifyRequest};
use crate::record::Mode;

/// One lock that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct AcquireOne {
    pub(crate) name: LockName,
    pub(crate) mode: Mode,
    /// Its place in the request.
    pub(crate) index: usize,
}

/// A parsed request to acquire.
#[derive(Clone, Debug)]
pub(crate) struct Acquire {
    /// In the order of the names.
    pub(crate) locks: Vec<AcquireOne>,
    pub(crate) owner: Owner,
    pub(crate) lease_ms: i64,
    pub(crate) wait_ms: i64,
    pub(crate) reentrant: bool,
    pub(crate) keep_place_ms: i64,
}

impl Acquire {
    /// Errors: 1001 naming the field.
    pub(crate) fn parse(request: &AcquireRequest) -> Result<Self> {
        check_count("locks", request.locks.len())?;
        let mut locks = request
            .locks
            .iter()
            .enumerate()
            .map(|(index, ask)| {
                let mode =
                    parse_ask(ask).map_err(|error| error.in_field(&format!("locks[{index}]")))?;
                let name = LockName::parse(&format!("locks[{index}].lock"), &ask.lock)?;
                Ok(AcquireOne { name, mode, index })
            })
            .collect::<Result<Vec<_>>>()?;
        locks.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some([_, again]) = locks
            .array_windows()
            .find(|[one, next]| one.name == next.name)
        {
            return Err(Error::invalid(
                format!("locks[{}].lock", again.index),
                "is asked for twice",
            ));
        }
        let keep_place_ms = request.keep_place_ms.unwrap_or(0);
        check_range("keep_place_ms", keep_place_ms, 0, limits::KEEP_PLACE_MS_MAX)?;
        if keep_place_ms > 0 && locks.len() > 1 {
            return Err(Error::invalid(
                "keep_place_ms",
                "is for one lock alone: a place that is kept while others are waited for would block them",
            ));
        }
        Ok(Self {
            locks,
            owner: Owner::parse("owner", &request.owner)?,
            lease_ms: lease(request.lease_ms.unwrap_or(limits::LEASE_MS_DEFAULT))?,
            wait_ms: wait(request.wait_ms)?,
            reentrant: request.reentrant.unwrap_or(false),
            keep_place_ms,
        })
    }
}

fn parse_ask(ask: &LockAsk) -> Result<Mode> {
    let mode = match ask.mode.as_deref().unwrap_or("exclusive") {
        "exclusive" => Mode::Exclusive,
        "shared" => Mode::Shared,
        "permits" => return parse_permits(ask),
        other => {
            return Err(Error::invalid(
                "mode",
                format!("is `{}`, must be exclusive, shared or permits", cut(other)),
            ));
        }
    };
    for (field, given) in [("permits", ask.permits), ("permits_max", ask.permits_max)] {
        if given.is_some() {
            return Err(Error::invalid(field, "goes with the mode `permits` alone"));
        }
    }
    Ok(mode)
}

fn parse_permits(ask: &LockAsk) -> Result<Mode> {
    let Some(of) = ask.permits_max else {
        return Err(Error::invalid(
            "permits_max",
            "is required with the mode `permits`: the size of the semaphore",
        ));
    };
    check_range(
        "permits_max",
        i64::from(of),
        1,
        i64::from(limits::PERMITS_MAX),
    )?;
    let count = ask.permits.unwrap_or(1);
    check_range("permits", i64::from(count), 1, i64::from(of))?;
    Ok(Mode::Permits { count, of })
}

/// At most so much of a caller's text is repeated to him, in characters.
const REPEATED_CHARACTERS_MAX: usize = 32;

fn cut(text: &str) -> String {
    text.chars().take(REPEATED_CHARACTERS_MAX).collect()
}

/// Grants that an owner names.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) owner: Owner,
    pub(crate) claims: Vec<Claim>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) name: LockName,
    pub(crate) token: i64,
    pub(crate) depth: Option<usize>,
}

impl Claims {
    /// Errors: 1001 naming the field.
    pub(crate) fn parse(owner: &str, claims: &[LockClaim]) -> Result<Self> {
        check_count("claims", claims.len())?;
        let claims = claims
            .iter()
            .enumerate()
            .map(|(index, claim)| {
                parse_claim(claim).map_err(|error| error.in_field(&format!("claims[{index}]")))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            owner: Owner::parse("owner", owner)?,
            claims,
        })
    }
}

fn parse_claim(claim: &LockClaim) -> Result<Claim> {
    let depth = claim
        .depth
        .map(|depth| {
            let most = i64::try_from(limits::HOLDS_MAX).unwrap_or(i64::MAX);
            check_range("depth", i64::from(depth), 1, most)?;
            usize::try_from(depth).map_err(Error::internal)
        })
        .transpose()?;
    Ok(Claim {
        name: LockName::parse("lock", &claim.lock)?,
        token: token(claim.token.0)?,
        depth,
    })
}

/// A parsed request to check a token.
#[derive(Clone, Debug)]
pub(crate) struct Verify {
    pub(crate) name: LockName,
    pub(crate) token: i64,
    pub(crate) wait_ms: i64,
}

impl Verify {
    /// Errors: 1001 naming the field.
    pub(crate) fn parse(request: &VerifyRequest) -> Result<Self> {
        Ok(Self {
            name: LockName::parse("lock", &request.lock)?,
            token: token(request.token.0)?,
            wait_ms: wait(request.wait_ms)?,
        })
    }
}

pub(crate) fn lease(lease_ms: i64) -> Result<i64> {
    check_range(
        "lease_ms",
        lease_ms,
        limits::LEASE_MS_MIN,
        limits::LEASE_MS_MAX,
    )?;
    Ok(lease_ms)
}

fn wait(wait_ms: Option<i64>) -> Result<i64> {
    let wait_ms = wait_ms.unwrap_or(0);
    check_range("wait_ms", wait_ms, 0, limits::WAIT_MS_MAX)?;
    Ok(wait_ms)
}

pub(crate) fn token(token: i64) -> Result<i64> {
    check_range("token", token, 1, i64::MAX)?;
    Ok(token)
}

fn check_count(field: &str, count: usize) -> Result<()> {
    if count == 0 || count > limits::RESOURCES_MAX {
        return Err(Error::invalid(
            field,
            format!(
                "has {count} items, must have 1 to {}",
                limits::RESOURCES_MAX
            ),
        ));
    }
    Ok(())
}

pub(crate) fn check_range(field: &str, value: i64, least: i64, most: i64) -> Result<()> {
    if value < least || value > most {
        return Err(Error::invalid(
            field,
            format!("is {value}, must lie in {least}..={most}"),
        ));
    }
    Ok(())
}
