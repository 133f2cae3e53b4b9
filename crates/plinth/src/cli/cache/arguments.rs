//! What the commands of the cache share.

use anyhow::{Result, bail};
use clap::Args;
use plinth_client::{ExpiryOptions, Fence, SetCondition, SetOptions};

use crate::cli::exit::Usage;

/// One expiry
#[derive(Args)]
pub(crate) struct ExpiryArguments {
    /// Milliseconds until it is gone; beside --sliding-ms the maximum
    #[arg(long, value_name = "MS")]
    ttl_ms: Option<i64>,
    /// When it is gone, Unix milliseconds
    #[arg(long, value_name = "UNIX_MS", conflicts_with_all = ["ttl_ms", "sliding_ms"])]
    expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until it is gone
    #[arg(long, value_name = "MS")]
    sliding_ms: Option<i64>,
}

impl ExpiryArguments {
    pub(super) const fn options(&self) -> ExpiryOptions {
        ExpiryOptions {
            ttl_ms: self.ttl_ms,
            expires_at_ms: self.expires_at_ms,
            sliding_ms: self.sliding_ms,
            persist: None,
        }
    }

    pub(super) fn options_or_never(&self, persist: bool) -> Result<ExpiryOptions> {
        let options = self.options();
        if persist && options != ExpiryOptions::default() {
            bail!(Usage("--persist goes with no other expiry".to_owned()));
        }
        Ok(ExpiryOptions {
            persist: persist.then_some(true),
            ..options
        })
    }
}

/// When something may be stored
#[derive(Args)]
pub(crate) struct ConditionArguments {
    /// Store only where the key is absent
    #[arg(long, conflicts_with_all = ["if_present", "if_version"])]
    if_absent: bool,
    /// Store only where the key is present
    #[arg(long, conflicts_with = "if_version")]
    if_present: bool,
    /// Store only over this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<i64>,
}

impl ConditionArguments {
    pub(super) const fn condition(&self) -> SetCondition {
        match (self.if_absent, self.if_present, self.if_version) {
            (true, ..) => SetCondition::Absent,
            (_, true, _) => SetCondition::Present,
            (.., Some(version)) => SetCondition::Version(version),
            (false, false, None) => SetCondition::Always,
        }
    }
}

/// The lock under which something is done
#[derive(Args)]
pub(crate) struct FenceArguments {
    /// The lock's name and the token of its grant: `LOCK=TOKEN`
    #[arg(long, value_name = "LOCK=TOKEN", value_parser = parse_fence)]
    pub(super) fence: Option<Fence>,
}

fn parse_fence(text: &str) -> Result<Fence, String> {
    let (name, token) = text
        .rsplit_once('=')
        .ok_or_else(|| "must be LOCK=TOKEN".to_owned())?;
    let token = token
        .parse()
        .map_err(|_| "the token must be a number".to_owned())?;
    Fence::parse(name, token).map_err(|error| error.message().to_owned())
}

/// What is said about a value that is stored
#[derive(Args)]
pub(crate) struct SetArguments {
    #[command(flatten)]
    expiry: ExpiryArguments,
    /// No expiry, whatever the namespace says
    #[arg(long)]
    persist: bool,
    /// Media type of the value
    #[arg(long)]
    content_type: Option<String>,
    #[command(flatten)]
    condition: ConditionArguments,
    /// A number to remember beside the value
    #[arg(long, default_value_t = 0)]
    flags: u32,
    /// A tag by which it can be invalidated; may be given 16 times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Store the knowledge that there is no value; the value must be empty
    #[arg(long)]
    known_absent: bool,
    /// The lease that it fills
    #[arg(long, value_name = "TOKEN")]
    lease_token: Option<i64>,
}

impl SetArguments {
    pub(super) const fn known_absent(&self) -> bool {
        self.known_absent
    }

    pub(super) fn options(self) -> Result<SetOptions> {
        let expiry = self.expiry.options_or_never(self.persist)?;
        Ok(SetOptions {
            ttl_ms: expiry.ttl_ms,
            content_type: self.content_type,
            condition: self.condition.condition(),
            expires_at_ms: expiry.expires_at_ms,
            sliding_ms: expiry.sliding_ms,
            persist: self.persist,
            flags: self.flags,
            tags: self.tags,
            known_absent: self.known_absent,
            lease_token: self.lease_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_a_lock_and_its_token() {
        let fence = parse_fence("review:A=7").expect("a fence");
        assert_eq!((fence.name.as_str(), fence.token.get()), ("review:A", 7));
        for (text, why) in [
            ("review", "LOCK=TOKEN"),
            ("review=x", "number"),
            ("review=0", "at least 1"),
            ("=1", "fence.name"),
        ] {
            let refusal = parse_fence(text).expect_err(text);
            assert!(refusal.contains(why), "{text}: {refusal}");
        }
    }
}
