//! Text that must not be seen.

use zeroize::Zeroizing;

/// A secret: no `Debug`, no `Display`, no `Serialize`; wiped when dropped.
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Shows the text to the code that must have it. Every call site is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
