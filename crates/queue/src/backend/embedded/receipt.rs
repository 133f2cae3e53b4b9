//! The text that names one delivery.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plinth_core::{Error, Result};

use crate::model::limits;

/// First byte of a receipt.
const FORMAT: u8 = 1;
/// Format, queue, message, token.
const BYTES: usize = 1 + 3 * 8;

/// One delivery of one message. The token is random, so a receipt cannot be guessed and an older one does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) queue: i64,
    pub(super) message: i64,
    pub(super) token: i64,
}

impl Receipt {
    pub(super) fn encode(self) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(FORMAT);
        for part in [self.queue, self.message, self.token] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Errors: 1001 naming `receipts[index]`.
    pub(super) fn decode(index: usize, text: &str) -> Result<Self> {
        let refusal =
            || Error::invalid(format!("receipts[{index}]"), "is no receipt of this queue");
        if text.len() > limits::RECEIPT_BYTES_MAX {
            return Err(refusal());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refusal())?;
        let (FORMAT, rest) = bytes
            .split_first()
            .map(|(first, rest)| (*first, rest))
            .ok_or_else(refusal)?
        else {
            return Err(refusal());
        };
        let (parts, tail) = rest.as_chunks::<8>();
        match (parts, tail) {
            ([queue, message, token], []) => Ok(Self {
                queue: i64::from_be_bytes(*queue),
                message: i64::from_be_bytes(*message),
                token: i64::from_be_bytes(*token),
            }),
            _ => Err(refusal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_survive_and_others_are_refused_by_name() {
        let receipt = Receipt {
            queue: 1,
            message: i64::MAX,
            token: -7,
        };
        assert_eq!(
            Receipt::decode(0, &receipt.encode()).expect("reads"),
            receipt
        );
        for bad in ["", "x", "%%%", "AQ", &"A".repeat(65), &"A".repeat(34)] {
            let error = Receipt::decode(3, bad).expect_err("refused");
            assert_eq!(error.violations()[0].field, "receipts[3]");
        }
    }
}
