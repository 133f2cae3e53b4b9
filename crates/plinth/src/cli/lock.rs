//! `plinth lock …`

mod run;

use anyhow::Result;
use clap::{Args, Subcommand};
use plinth_client::{AcquireOptions, LockAsk, LockClaimResult, LockGrant, LockInfo};

use self::run::RunArguments;
use super::{Context, Table};

/// Leases with fencing tokens
#[derive(Subcommand)]
pub(crate) enum LockCommand {
    /// Hold a lock while a command runs: renew it, end the command where it is lost, release it
    Run(RunArguments),
    /// Acquire locks, all or none; exit code 5 where one is taken
    Acquire {
        /// Locks
        #[arg(required = true)]
        locks: Vec<String>,
        /// Who holds them: one thread of work
        #[arg(long)]
        owner: String,
        #[command(flatten)]
        how: How,
        /// How long to wait, in milliseconds
        #[arg(long, default_value_t = 0, value_name = "MS")]
        wait_ms: i64,
        /// Let an owner in again that holds a lock already
        #[arg(long)]
        reentrant: bool,
    },
    /// Begin a lease anew; exit code 5 where it is lost
    Renew {
        #[command(flatten)]
        grant: Grant,
        /// A new lease, in milliseconds; without it the old one
        #[arg(long, value_name = "MS")]
        lease_ms: Option<i64>,
    },
    /// Release a lock; exit code 5 where it is lost
    Release {
        #[command(flatten)]
        grant: Grant,
    },
    /// Say whether a token's grant is alive; exit code 5 where it is not
    Verify {
        /// Lock
        lock: String,
        /// Fencing token
        token: i64,
        /// Watch it so long and answer as soon as it is lost, in milliseconds
        #[arg(long, default_value_t = 0, value_name = "MS")]
        wait_ms: i64,
    },
    /// Show who holds a lock and who waits for whom
    Get {
        /// Lock
        lock: String,
    },
    /// List locks in use
    List {
        /// Beginning of the names
        prefix: Option<String>,
        /// Where a page before ended
        #[arg(long)]
        cursor: Option<String>,
        /// Locks of the page
        #[arg(long)]
        limit: Option<i32>,
    },
    /// End leases against their holders' will
    ForceRelease {
        /// Lock
        lock: String,
        /// Fencing token of the grant to end; without it all
        #[arg(long)]
        token: Option<i64>,
        /// Why, for the log
        #[arg(long)]
        reason: String,
    },
}

/// How much of a lock, and for how long.
#[derive(Args)]
pub(crate) struct How {
    /// Share it with others that do
    #[arg(long, conflicts_with = "permits_max")]
    shared: bool,
    /// Take permits of a semaphore of this size
    #[arg(long, value_name = "SIZE")]
    permits_max: Option<i32>,
    /// How many permits
    #[arg(long, requires = "permits_max", default_value_t = 1)]
    permits: i32,
    /// The lease, in milliseconds
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    lease_ms: i64,
}

impl How {
    fn ask(&self, lock: &str) -> LockAsk {
        match self.permits_max {
            Some(size) => LockAsk::permits(lock, self.permits, size),
            None if self.shared => LockAsk::shared(lock),
            None => LockAsk::exclusive(lock),
        }
    }
}

/// A grant that its owner names.
#[derive(Args)]
pub(crate) struct Grant {
    /// Lock
    lock: String,
    /// Fencing token
    token: i64,
    /// Who holds it
    #[arg(long)]
    owner: String,
    /// The depth of the grant
    #[arg(long, default_value_t = 1)]
    depth: i32,
}

impl Grant {
    fn grants(&self) -> [LockGrant; 1] {
        [LockGrant {
            lock: self.lock.clone(),
            token: self.token,
            depth: self.depth,
            lease_ms: 0,
        }]
    }
}

impl LockCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let locks = context.client.lock();
        let output = context.output;
        match self {
            Self::Run(arguments) => arguments.run(context).await,
            Self::Acquire {
                locks: names,
                owner,
                how,
                wait_ms,
                reentrant,
            } => {
                let asks: Vec<LockAsk> = names.iter().map(|name| how.ask(name)).collect();
                let options = AcquireOptions {
                    lease_ms: Some(how.lease_ms),
                    wait_ms: Some(wait_ms),
                    reentrant,
                    ..AcquireOptions::default()
                };
                let acquired = locks.acquire(&asks, &owner, &options).await?;
                output.show(&acquired, |acquired| grants_table(&acquired.grants))
            }
            Self::Renew { grant, lease_ms } => {
                let items = locks.renew(&grant.owner, &grant.grants(), lease_ms).await?;
                claimed(context, &items, |item| {
                    format!(
                        "{} is held for {} ms more",
                        item.lock,
                        item.lease_ms.unwrap_or(0)
                    )
                })
            }
            Self::Release { grant } => {
                let items = locks.release(&grant.owner, &grant.grants()).await?;
                claimed(context, &items, |item| match item.depth {
                    0 => format!("{} is released", item.lock),
                    depth => format!("{} is still held {depth} deep", item.lock),
                })
            }
            Self::Verify {
                lock,
                token,
                wait_ms,
            } => {
                let told = locks.verify(&lock, token, Some(wait_ms)).await?;
                output.say(&told, |told| match (&told.owner, told.left_ms) {
                    (Some(owner), Some(left_ms)) => {
                        format!("held by {owner} for {left_ms} ms unless it is renewed")
                    }
                    _ => "not held by this token".to_owned(),
                })?;
                if told.held {
                    return Ok(());
                }
                Err(lost(&lock))
            }
            Self::Get { lock } => output.show(&locks.get(&lock).await?, info_table),
            Self::List {
                prefix,
                cursor,
                limit,
            } => {
                let page = locks
                    .list(prefix.as_deref(), cursor.as_deref(), limit)
                    .await?;
                output.show(&page, |page| {
                    let headings = [
                        "lock",
                        "permits",
                        "holders",
                        "waiters",
                        "longest wait ms",
                        "contended",
                    ];
                    let mut table = Table::new(headings);
                    for lock in &page.locks {
                        table.row([
                            lock.lock.clone(),
                            lock.permits_max
                                .map_or_else(String::new, |size| size.to_string()),
                            lock.holders.to_string(),
                            lock.waiters.to_string(),
                            lock.longest_wait_ms.to_string(),
                            lock.contended.to_string(),
                        ]);
                    }
                    table
                })
            }
            Self::ForceRelease {
                lock,
                token,
                reason,
            } => {
                let released = locks.force_release(&lock, token, &reason).await?;
                let answer = serde_json::json!({ "lock": lock, "released": released });
                output.say(&answer, |_| format!("ended {released} leases of {lock}"))
            }
        }
    }
}

fn claimed(
    context: &Context,
    items: &[LockClaimResult],
    sentence: impl Fn(&LockClaimResult) -> String,
) -> Result<()> {
    let Some(item) = items.first() else {
        return Ok(());
    };
    if item.code.is_some() {
        return Err(lost(&item.lock));
    }
    context.output.say(item, sentence)
}

fn lost(lock: &str) -> anyhow::Error {
    plinth_client::ClientError::from(plinth_core::Error::new(
        plinth_core::ErrorCode::LockLost,
        format!("{lock} is not held by this owner and token"),
    ))
    .into()
}

fn grants_table(grants: &[LockGrant]) -> Table {
    let mut table = Table::new(["lock", "token", "depth", "lease ms"]);
    for grant in grants {
        table.row([
            grant.lock.clone(),
            grant.token.to_string(),
            grant.depth.to_string(),
            grant.lease_ms.to_string(),
        ]);
    }
    table
}

fn info_table(info: &LockInfo) -> Table {
    let mut table = Table::new([
        "who",
        "owner",
        "principal",
        "mode",
        "token",
        "since ms",
        "left ms",
        "waits for",
    ]);
    let mode = |mode: &str, permits: i32| match permits {
        0 => mode.to_owned(),
        permits => format!("{permits} permits"),
    };
    for holder in &info.holders {
        table.row([
            "holds".to_owned(),
            holder.owner.clone(),
            holder.principal.clone(),
            mode(&holder.mode, holder.permits),
            holder.token.to_string(),
            holder.held_ms.to_string(),
            holder.left_ms.to_string(),
            String::new(),
        ]);
    }
    for waiter in &info.waiters {
        table.row([
            "waits".to_owned(),
            waiter.owner.clone(),
            waiter.principal.clone(),
            mode(&waiter.mode, waiter.permits),
            String::new(),
            waiter.waiting_ms.to_string(),
            String::new(),
            waiter.waits_for.join(", "),
        ]);
    }
    table
}
