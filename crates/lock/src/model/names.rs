//! Names.

use std::fmt;

use plinth_core::{Resource, Result};

use super::limits;

macro_rules! names {
    ($( $(#[$doc:meta])* $name:ident, $bytes_max:expr; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Parses a name by the rule of names. Errors: 1001 naming `field`.
            pub fn parse(field: &str, text: &str) -> Result<Self> {
                plinth_core::ids::check_name(field, text, $bytes_max)?;
                Ok(Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )* };
}

names! {
    /// Name of a lock: 1 to [`limits::NAME_BYTES_MAX`] bytes.
    LockName, limits::NAME_BYTES_MAX;
    /// Who holds or waits: one thread of work of a caller, 1 to [`limits::OWNER_BYTES_MAX`] bytes. Two that hold at the same
    /// time must have two names.
    Owner, limits::OWNER_BYTES_MAX;
}

/// A lock, for whoever decides whether a caller may.
#[must_use]
pub fn lock_resource(name: &str) -> Resource {
    Resource::new("lock", name)
}
