//! The shape of a statement: the same for other literals, parameters, list lengths, white space, comments and case.

use super::tokens::{Token, TokenKind, Tokens};
use crate::model::EngineKind;

/// Longest shape text that is kept, in bytes; the digest covers all of it.
pub(crate) const SHAPE_BYTES_MAX: usize = 8 * 1024;

/// A shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// FNV-1a of the shape's whole text. It names a row of a statistics table and guards nothing, so it need not
    /// withstand an attacker.
    pub(crate) digest: u64,
    /// Literals and placeholders as `?`, keywords and unquoted names in lower case.
    pub(crate) text: String,
}

impl Shape {
    /// Reduces a statement in one pass.
    pub(crate) fn of(sql: &str, engine: EngineKind) -> Self {
        let mut writer = Writer::default();
        for token in Tokens::new(sql, engine) {
            writer.push(token);
        }
        writer.finish()
    }

    /// The digest as 16 hexadecimal digits.
    pub(crate) fn digest_text(&self) -> String {
        format!("{:016x}", self.digest)
    }
}

/// Masks the literals of a statement and keeps the rest as it was written, comments excepted.
pub(crate) fn mask(sql: &str, engine: EngineKind) -> String {
    let mut masked = String::with_capacity(sql.len().min(SHAPE_BYTES_MAX));
    for token in Tokens::new(sql, engine) {
        if masked.len() >= SHAPE_BYTES_MAX {
            masked.push('…');
            break;
        }
        match token.kind {
            TokenKind::Text | TokenKind::Number | TokenKind::Unterminated => masked.push('?'),
            TokenKind::Space | TokenKind::ExecutableComment => {
                if !masked.ends_with(' ') {
                    masked.push(' ');
                }
            }
            _ => masked.push_str(token.text),
        }
    }
    masked.trim().to_owned()
}

#[derive(Default)]
struct Writer {
    text: String,
    space: bool,
    /// Where the last `(?` list of values begins, while nothing else has come.
    list: List,
}

/// Reads `( ? , ? … )` as `(?)`, and `(?) , (?)` as one of them.
#[derive(Clone, Copy, Default, PartialEq)]
enum List {
    #[default]
    Outside,
    /// After `(`; the text is that long before it.
    Open(usize),
    /// After `( ?`.
    Value(usize),
    /// After `( ? ,`.
    Comma(usize),
    /// After `( ? )`.
    Closed(usize),
    /// After `( ? ) ,`.
    Between(usize),
    /// After `( ? ) , (`: the text is that long with the first list.
    NextOpen(usize),
    /// After `( ? ) , ( ?`.
    NextValue(usize),
}

impl Writer {
    fn push(&mut self, token: Token<'_>) {
        match token.kind {
            TokenKind::Space => self.space = true,
            TokenKind::Text
            | TokenKind::Number
            | TokenKind::Placeholder
            | TokenKind::NativePlaceholder
            | TokenKind::Unterminated => self.value(),
            TokenKind::Mark => self.mark(token.text),
            TokenKind::Word => {
                self.list = List::Outside;
                self.word(token.text);
            }
            _ => {
                self.list = List::Outside;
                self.separate(true);
                self.text.push_str(token.text);
            }
        }
    }

    fn word(&mut self, word: &str) {
        self.separate(true);
        self.text
            .extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
    }

    /// Puts one space where two pieces would run together; white space of the statement itself does not count.
    fn separate(&mut self, wordlike: bool) {
        let last = self.text.bytes().last();
        let after_wordlike = last.is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_$?\"`])'".contains(&byte)
        });
        if wordlike && after_wordlike {
            self.text.push(' ');
        }
        self.space = false;
    }

    fn value(&mut self) {
        // A sign that belongs to the literal goes with it: after an operator, a comma, a parenthesis or a keyword.
        self.drop_sign();
        // A prefix such as x'…', b'…', n'…' belongs to the literal too.
        if !self.space {
            self.drop_prefix();
        }
        self.list = match self.list {
            List::Open(at) | List::Comma(at) | List::Value(at) => List::Value(at),
            List::NextOpen(at) | List::NextValue(at) => List::NextValue(at),
            _ => List::Outside,
        };
        self.separate(true);
        self.text.push('?');
    }

    fn drop_sign(&mut self) {
        let Some(before) = self.text.strip_suffix(['-', '+']) else {
            return;
        };
        let before = before.trim_end();
        let operand_before = before.bytes().last().is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_$?\"`])'-+".contains(&byte)
        });
        let keyword_before = [
            "return", "select", "and", "or", "between", "limit", "when", "then", "else", "in",
            "values", "by", "like", "not", "offset", "case",
        ]
        .iter()
        .any(|keyword| ends_with_word(before, keyword));
        if !operand_before || keyword_before {
            let keep = before.len();
            self.text.truncate(keep);
        }
    }

    fn drop_prefix(&mut self) {
        for prefix in ["x", "b", "n"] {
            if ends_with_word(&self.text, prefix) {
                let keep = self.text.len() - prefix.len();
                self.text.truncate(keep);
                let trimmed = self.text.trim_end().len();
                self.text.truncate(trimmed);
                return;
            }
        }
    }

    fn mark(&mut self, mark: &str) {
        let list = self.list;
        self.list = match (mark, list) {
            ("(", List::Between(end)) => List::NextOpen(end),
            ("(", _) => List::Open(self.text.len()),
            (",", List::Value(at)) => List::Comma(at),
            (",", List::Closed(_)) => List::Between(self.text.len()),
            (",", List::NextValue(end)) => List::NextOpen(end),
            (")", List::Value(at)) => List::Closed(at),
            (")", List::NextValue(end)) => {
                // The list after the comma is one more of the same: back to the end of the first.
                self.text.truncate(end);
                self.list = List::Closed(end);
                self.space = false;
                return;
            }
            _ => List::Outside,
        };
        // A repeated element inside one list: `(?, ?` is read as `(?`.
        if let (")", List::Value(at)) = (mark, list) {
            self.text.truncate(at);
            self.text.push_str("(?");
        }
        self.space = false;
        self.text.push_str(mark);
    }

    fn finish(self) -> Shape {
        let whole = self.text.trim_end_matches([' ', ';']);
        let digest = whole.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut text = whole.to_owned();
        if text.len() > SHAPE_BYTES_MAX {
            let mut end = SHAPE_BYTES_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push('…');
        }
        Shape { digest, text }
    }
}

fn ends_with_word(text: &str, word: &str) -> bool {
    text.strip_suffix(word).is_some_and(|before| {
        before
            .bytes()
            .last()
            .is_none_or(|byte| !(byte.is_ascii_alphanumeric() || byte >= 0x80 || byte == b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shape_for_every_way_to_write_the_values() {
        let same = [
            "select * from orders where id = ? and state in (?, ?) and note like ?",
            "SELECT *\n FROM Orders WHERE id = 5 AND state IN ('a','b','c') AND note LIKE 'x%' -- why",
            "select*from orders where id=-5 and state in(1)and note like n'é'",
            "select /* a */ * from orders where id = x'00' and state in (?) and note like 'it''s';",
        ];
        let expected = Shape::of(same[0], EngineKind::Sqlite);
        for text in same {
            assert_eq!(
                Shape::of(text, EngineKind::Sqlite),
                expected,
                "{text}: {}",
                Shape::of(text, EngineKind::Sqlite).text
            );
        }
        let other = "select * from orders where id > 5 and state in (1) and note like 'a'";
        assert_ne!(Shape::of(other, EngineKind::Sqlite), expected);
    }

    #[test]
    fn both_literal_styles_of_each_engine_are_literals() {
        let mariadb = |text| Shape::of(text, EngineKind::Mariadb);
        assert_eq!(
            mariadb("select 'a\\'b' from t"),
            mariadb("select \"a'b\" from t")
        );
        let postgres = |text| Shape::of(text, EngineKind::Postgres);
        assert_eq!(
            postgres("select $x$a'b$x$ from t"),
            postgres("select E'a\\'b' from t")
        );
        assert_eq!(
            postgres("select ? from t where a = $1"),
            postgres("select 'x' from t where a = ?")
        );
    }

    #[test]
    fn rows_of_values_count_once_and_subtraction_stays() {
        let shape = |text| Shape::of(text, EngineKind::Sqlite).text;
        assert_eq!(
            shape("insert into t (a, b) values (1, 'x'), (2, 'y'), (?, ?)"),
            shape("insert into t(a,b) values (?,?)")
        );
        assert_ne!(shape("select a - 5 from t"), shape("select a from t"));
        assert_eq!(shape("select a - 5 from t"), shape("select a-6 from t"));
    }

    #[test]
    fn masking_leaves_no_literal() {
        let masked = mask(
            "select name, 'secret' from t where card = '4111' and n > 42 /* secret */",
            EngineKind::Postgres,
        );
        assert_eq!(masked, "select name, ? from t where card = ? and n > ?");
    }

    #[test]
    fn a_long_shape_is_cut_and_its_digest_is_not() {
        let long = |tail: &str| {
            Shape::of(
                &format!("select {} from {tail}", "a,".repeat(SHAPE_BYTES_MAX)),
                EngineKind::Sqlite,
            )
        };
        assert!(long("t").text.len() <= SHAPE_BYTES_MAX + '…'.len_utf8());
        assert_ne!(long("t").digest, long("u").digest);
    }
}
