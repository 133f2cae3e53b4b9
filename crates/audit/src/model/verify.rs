//! Verification of the whole log.

use plinth_core::WideInt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Verifies the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyRequest {
    /// A checkpoint that was seen earlier, as a signed note: the log must be an extension of it. At most 4,096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// The first thing found that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditDiscrepancy {
    /// `checkpoint`, `signature`, `entry`, `tile`, `root`, `history`, `pinned` or `index`.
    pub kind: String,
    /// File, or table and row, under the data directory.
    pub location: String,
    /// First leaf index that is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub leaf_index: Option<WideInt>,
    /// What was found and what had to be there; never the content of a record.
    pub message: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyReply {
    /// Whether everything held.
    pub valid: bool,
    /// The first discrepancy; absent where `valid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discrepancy: Option<AuditDiscrepancy>,
    /// Size of the tree that the latest checkpoint signs.
    #[schema(value_type = String)]
    pub tree_size: WideInt,
    /// Its root, base64.
    pub root: String,
    /// That checkpoint as a signed note: keep it, and hand it in next time.
    pub checkpoint: String,
    /// The public key as a C2SP verifier key: `<name>+<id>+<key>`.
    pub public_key: String,
    /// Entries that were hashed.
    #[schema(value_type = String)]
    pub entries_checked: WideInt,
    /// Tiles that were compared.
    #[schema(value_type = String)]
    pub tiles_checked: WideInt,
    /// Earlier checkpoints whose roots were recomputed.
    #[schema(value_type = String)]
    pub checkpoints_checked: WideInt,
    /// Rows of the index that were compared.
    #[schema(value_type = String)]
    pub index_rows_checked: WideInt,
}
