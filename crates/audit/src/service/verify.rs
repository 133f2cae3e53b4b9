//! Verification of the whole log while it runs.

use std::sync::Arc;

use plinth_core::{CallContext, Error};

use super::AuditService;
use crate::error::AuditError;
use crate::log::integrator::{Published, blocking};
use crate::model::{VerifyReply, VerifyRequest};
use crate::tree::TILE_WIDTH;
use crate::tree::note::NOTE_BYTES_MAX;
use crate::verify::{Counts, Halt, TreeCheck, reply};

impl AuditService {
    /// Hashes everything again up to the latest checkpoint and compares tiles, earlier checkpoints and the index. What
    /// was tampered with is an answer, not an error. Shows facts about the tree alone, no record of anybody.
    ///
    /// Errors: 1007 where the pinned checkpoint is too long, 1009 while another verification runs, 1010.
    pub async fn verify(
        &self,
        context: &CallContext,
        request: VerifyRequest,
    ) -> Result<VerifyReply, AuditError> {
        if let Some(pinned) = &request.checkpoint
            && pinned.len() > NOTE_BYTES_MAX
        {
            let message = format!("has more than {NOTE_BYTES_MAX} bytes");
            return Err(Error::too_large("checkpoint", message).into());
        }
        let _only = self
            .verifications
            .try_acquire()
            .map_err(|_| AuditError::Busy)?;
        self.catch_up(context).await?;
        let published = Arc::clone(&self.integrator.published().borrow());
        let mut counts = Counts::default();
        let walked = self
            .walk(context, &published, request.checkpoint, &mut counts)
            .await;
        let discrepancy = match walked {
            Ok(()) => None,
            Err(Halt::Found(found)) => {
                self.handles
                    .metrics
                    .add("plinth_audit_discrepancies_total", &[], 1);
                tracing::error!(
                    kind = found.kind.as_str(),
                    location = found.location,
                    leaf = found.leaf_index,
                    "audit.verify found a discrepancy: {}",
                    found.message
                );
                Some(found)
            }
            Err(Halt::Failed(error)) => return Err(error),
        };
        let current = (&published.checkpoint, published.note.as_str());
        Ok(reply(
            self.integrator.verifier(),
            Some(current),
            counts,
            discrepancy,
        ))
    }

    async fn walk(
        &self,
        context: &CallContext,
        published: &Published,
        pinned: Option<String>,
        counts: &mut Counts,
    ) -> Result<(), Halt> {
        let mut tree = TreeCheck::begin(
            self.integrator.files(),
            self.integrator.verifier().clone(),
            published.checkpoint.clone(),
            pinned.as_deref(),
        )?;
        let mut index_fault = None;
        while let Some((first, end)) = tree.next_range() {
            context
                .check_deadline()
                .map_err(|_| Halt::Failed(AuditError::Deadline))?;
            // The size at which the bundle begins was compared at the end of the bundle before.
            let after = (first > 0).then_some(first);
            let count_max = u32::try_from(TILE_WIDTH + 1).unwrap_or(u32::MAX);
            let kept = self.sequencer.checkpoints(after, count_max).await;
            let mut kept = kept.map_err(Halt::Failed)?;
            kept.retain(|kept| kept.size <= end);
            let (walked, step) = blocking(move || {
                let step = tree.step(&kept);
                Ok((tree, step))
            })
            .await
            .map_err(Halt::Failed)?;
            tree = walked;
            *counts = Counts {
                index_rows: counts.index_rows,
                ..tree.counts()
            };
            let entries = step?;
            // A fault of the index counts where the tree holds: the index follows from the log, not the log from it.
            if index_fault.is_none() {
                let compared = self.index.compare(first, entries).await;
                index_fault = compared.map_err(Halt::Failed)?;
                counts.index_rows += end - first;
            }
        }
        let finished = tree.finish();
        *counts = Counts {
            index_rows: counts.index_rows,
            ..tree.counts()
        };
        finished?;
        if let Some(fault) = index_fault {
            return Err(Halt::Found(fault.into()));
        }
        match self
            .index
            .check_whole(context.deadline)
            .await
            .map_err(Halt::Failed)?
        {
            Some(fault) => Err(Halt::Found(fault.into())),
            None => Ok(()),
        }
    }
}
