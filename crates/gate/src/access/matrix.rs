//! The table of roles and operations, derived from the catalogue and the book of roles.

use std::fmt::Write as _;

use plinth_security::{Role, RoleBook};

use crate::catalogue::{Operation, Reach, operations};

/// What a role may do with an operation, on every resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// It may.
    Allowed,
    /// It may, in the platform's own tenant.
    OnPlatform,
    /// Every authenticated caller may.
    Everybody,
    /// It may not.
    Refused,
}

impl Right {
    /// What a role may do with an operation.
    #[must_use]
    pub fn of(book: &RoleBook, role: &Role, operation: &Operation) -> Self {
        let held = std::slice::from_ref(&role.name);
        let allowed = book.decide(held, operation.id, None).is_allowed();
        match (operation.reach, allowed) {
            (Reach::Authenticated, _) => Self::Everybody,
            (_, false) => Self::Refused,
            (Reach::Platform, true) => Self::OnPlatform,
            (Reach::Permission, true) => Self::Allowed,
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Allowed => "✓",
            Self::OnPlatform => "platform",
            Self::Everybody => "all",
            Self::Refused => "",
        }
    }
}

/// The roles with what they are for, and the table of roles and operations, as Markdown: the generated part of
/// `docs/guide-access.md`.
#[must_use]
pub fn role_tables_markdown(book: &RoleBook) -> String {
    let mut text = String::from("| role | is for | is given by |\n|---|---|---|\n");
    let names: Vec<&str> = book.roles().map(|role| role.name.as_ref()).collect();
    for role in book.roles() {
        let givers: Vec<String> = book
            .roles()
            .filter(|giver| book.may_grant(std::slice::from_ref(&giver.name), role))
            .map(|giver| format!("`{}`", giver.name))
            .collect();
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "| `{}` | {} | {} |",
            role.name,
            role.summary,
            givers.join(", ")
        );
    }
    let _infallible = write!(text, "\n| operation | {} |\n|---|", names.join(" | "));
    text.push_str(&":-:|".repeat(names.len()));
    text.push('\n');
    for operation in operations() {
        let marks: Vec<&str> = book
            .roles()
            .map(|role| Right::of(book, role, operation).mark())
            .collect();
        let _infallible = writeln!(text, "| `{}` | {} |", operation.id, marks.join(" | "));
    }
    text
}
