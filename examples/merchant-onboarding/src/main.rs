//! Merchant onboarding.
fn main() {}
