//! Property: a generated key is read back, and any small change of its text is refused without a look-up.

use plinth_security::api_key::{ApiKey, KEY_CHARACTERS};
use plinth_security::{SeededEntropy, sign};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_key_is_read_back_and_matches_only_its_own_hash(seed in any::<u64>(), other in any::<u64>()) {
        let (key, text) = ApiKey::generate(&SeededEntropy::new(seed)).expect("generates");
        let parsed = ApiKey::parse(text.expose()).expect("parses");
        prop_assert_eq!(&parsed, &key);
        prop_assert!(parsed.matches(key.sha256()));
        let (stranger, _) = ApiKey::generate(&SeededEntropy::new(other)).expect("generates");
        prop_assert_eq!(parsed.matches(stranger.sha256()), seed == other);
    }

    #[test]
    fn one_wrong_character_is_always_noticed(
        seed in any::<u64>(),
        place in 0..KEY_CHARACTERS,
        wrong in "[ -~]",
    ) {
        let (_, text) = ApiKey::generate(&SeededEntropy::new(seed)).expect("generates");
        let mut typo = text.expose().to_owned();
        typo.replace_range(place..=place, &wrong);
        prop_assert_eq!(ApiKey::parse(&typo).is_ok(), typo == text.expose());
    }

    #[test]
    fn two_neighbours_swapped_are_always_noticed(seed in any::<u64>(), place in 0..KEY_CHARACTERS - 1) {
        let (_, text) = ApiKey::generate(&SeededEntropy::new(seed)).expect("generates");
        let mut bytes = text.expose().as_bytes().to_vec();
        bytes.swap(place, place + 1);
        let typo = String::from_utf8(bytes).expect("ascii stays ascii");
        prop_assert_eq!(ApiKey::parse(&typo).is_ok(), typo == text.expose());
    }

    #[test]
    fn any_text_is_answered_without_a_crash(text in "\\PC{0,80}") {
        prop_assert!(ApiKey::parse(&text).is_err());
    }

    #[test]
    fn signatures_notice_any_changed_byte(
        seed in any::<[u8; 32]>(),
        message in proptest::collection::vec(any::<u8>(), 1..200),
        place in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let key = sign::SigningKey::from_seed(&seed).expect("takes any seed");
        let signature = key.sign(&message);
        prop_assert!(sign::verify_ed25519(&key.public_key(), &message, &signature));
        let mut changed = message.clone();
        changed[place.index(message.len())] ^= flip;
        prop_assert!(!sign::verify_ed25519(&key.public_key(), &changed, &signature));
        prop_assert_ne!(
            sign::hmac_sha256(&seed, &[&message]),
            sign::hmac_sha256(&seed, &[&changed])
        );
    }
}
