//! Keys, credentials, masking, and the pure access decision.
