//! The words of records and requests.

use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Declares a choice between words, with its parser that names the field. The words are `tt`: the schema's derive does
/// not see into a `literal`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$word_doc:meta])* $variant:ident = $word:tt, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[derive(utoipa::ToSchema)]
        pub enum $name { $( $(#[$word_doc])* #[serde(rename = $word)] $variant, )* }

        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $( Self::$variant => $word, )* } }

            /// Parses the word. Errors: 1001 naming the field and the words.
            pub fn parse(field: &str, text: &str) -> Result<Self> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err(Error::invalid(field, concat!("must be one of", $( " ", $word, )*))),
                }
            }
        }
    };
}

words! {
    /// How an operation ended.
    AuditResult {
        /// It was done.
        Success = "success",
        /// It was tried and failed.
        Failure = "failure",
        /// It was refused.
        Denied = "denied",
        /// Nobody can tell: it never reported back.
        Unknown = "unknown",
    }
}

words! {
    /// How much a record matters.
    Severity {
        /// For developers.
        Debug = "debug",
        /// The normal course.
        Info = "info",
        /// Normal, but worth a look.
        Notice = "notice",
        /// Something is off.
        Warning = "warning",
        /// Something failed.
        Error = "error",
        /// Act now.
        Critical = "critical",
    }
}

words! {
    /// Which part of an operation a record tells of.
    Phase {
        /// All of it.
        Event = "event",
        /// That it was about to happen.
        Intent = "intent",
        /// How an intent ended.
        Outcome = "outcome",
    }
}

words! {
    /// Who wrote a record.
    Source {
        /// A caller of the interface.
        Caller = "caller",
        /// Plinth's gate, about an operation that passed it.
        Gate = "gate",
    }
}

words! {
    /// Order of a listing: by event time, then by leaf index.
    SortOrder {
        /// The latest first.
        TimeDesc = "time_desc",
        /// The earliest first.
        TimeAsc = "time_asc",
    }
}

words! {
    /// Form of an export.
    ExportFormat {
        /// RFC 4180 with a header line.
        Csv = "csv",
        /// One JSON object a line.
        Jsonl = "jsonl",
    }
}
