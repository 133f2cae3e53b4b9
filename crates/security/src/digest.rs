//! SHA-256 (FIPS 180-4).

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// Length of a SHA-256 digest, in bytes.
pub const SHA256_BYTES: usize = SHA256_OUTPUT_LEN;

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; SHA256_BYTES] {
    sha256_of_parts(&[bytes])
}

/// SHA-256 of some parts, one after the other, without joining them first. The boundaries of the parts leave no trace in
/// the digest: where they matter, a part must carry its own length.
#[must_use]
pub fn sha256_of_parts(parts: &[&[u8]]) -> [u8; SHA256_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; SHA256_BYTES];
    for (to, from) in digest.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_fips_180_4_holds() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(sha256(b"abc")), expected);
        assert_eq!(hex::encode(sha256_of_parts(&[b"a", b"", b"bc"])), expected);
    }
}
