//! One linear pass over SQL text, exact for each engine's lexical rules.
//!
//! It decides what is inside a string, a quoted name or a comment, so that placeholders, statement ends and literals
//! are found only where the engine would find them. It allocates nothing.

use crate::model::EngineKind;

/// What a piece of SQL text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// White space and comments.
    Space,
    /// MariaDB's `/*! … */`, which looks like a comment and runs.
    ExecutableComment,
    /// A keyword or an unquoted name.
    Word,
    /// A quoted name.
    QuotedName,
    /// A string in any style, dollar quotes included.
    Text,
    /// A number.
    Number,
    /// `?`.
    Placeholder,
    /// PostgreSQL's `??`, a literal question mark.
    EscapedQuestion,
    /// `$1`, `?1`, `:name`, `@name`, `$name` where the engine takes it for a parameter.
    NativePlaceholder,
    /// `;`.
    Semicolon,
    /// An operator, comma, parenthesis …: one byte.
    Mark,
    /// A string, name or comment that does not end.
    Unterminated,
}

/// A piece of SQL text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Its text.
    pub(crate) text: &'a str,
}

impl<'a> Token<'a> {
    /// What it names, without the quotes around it; a doubled quote inside stays doubled. MariaDB takes text in double quotes
    /// for a name where its SQL mode says so.
    pub(crate) fn name(&self, engine: EngineKind) -> Option<&'a str> {
        let ansi = engine == EngineKind::Mariadb && self.text.starts_with('"');
        match self.kind {
            TokenKind::Word => Some(self.text),
            TokenKind::Text if !ansi => None,
            TokenKind::QuotedName | TokenKind::Text => {
                self.text.get(1..self.text.len().saturating_sub(1))
            }
            _ => None,
        }
    }

    /// Whether it is this word, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// Iterates over all tokens; their texts joined are the input.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    engine: EngineKind,
}

impl<'a> Tokens<'a> {
    /// Begins at the start.
    pub(crate) const fn new(text: &'a str, engine: EngineKind) -> Self {
        Self {
            text,
            at: 0,
            engine,
        }
    }

    fn byte(&self, offset: usize) -> u8 {
        // 0 stands for the end: the caller has refused NUL characters.
        self.text
            .as_bytes()
            .get(self.at + offset)
            .copied()
            .unwrap_or(0)
    }

    fn rest(&self, offset: usize) -> &'a [u8] {
        self.text
            .as_bytes()
            .get(self.at + offset..)
            .unwrap_or_default()
    }

    fn run(&self, offset: usize, belongs: impl Fn(u8) -> bool) -> usize {
        offset
            + self
                .rest(offset)
                .iter()
                .take_while(|byte| belongs(**byte))
                .count()
    }

    /// Length of a quoted piece whose opening quote is at `offset`, or `None` where it does not end.
    fn quoted(&self, offset: usize, close: u8, backslash: bool) -> Option<usize> {
        let bytes = self.rest(0);
        let mut at = offset + 1;
        loop {
            let byte = *bytes.get(at)?;
            let escaped = backslash && byte == b'\\';
            let doubled = byte == close && bytes.get(at + 1) == Some(&close) && close != b']';
            if escaped || doubled {
                at += 2;
            } else if byte == close {
                return Some(at + 1);
            } else {
                at += 1;
            }
        }
    }

    fn block_comment(&self) -> Option<usize> {
        let nests = self.engine == EngineKind::Postgres;
        let bytes = self.rest(0);
        let (mut at, mut depth) = (2, 1_usize);
        while depth > 0 {
            match (bytes.get(at)?, bytes.get(at + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                }
                (b'/', Some(b'*')) if nests => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        Some(at)
    }

    /// Length of `$tag$ … $tag$` or `None` where this `$` opens no dollar quote; the inner `None`: it does not end.
    fn dollar_quote(&self) -> Option<Option<usize>> {
        let tag_end = self.run(1, |byte| {
            byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
        });
        if self.byte(tag_end) != b'$' || self.byte(1).is_ascii_digit() {
            return None;
        }
        let tag = self.text.get(self.at..self.at + tag_end + 1)?;
        let body = self.text.get(self.at + tag_end + 1..)?;
        Some(body.find(tag).map(|end| tag_end + 1 + end + tag.len()))
    }

    fn line_comment_begins(&self) -> bool {
        match (self.byte(0), self.byte(1)) {
            (b'-', b'-') => match self.engine {
                EngineKind::Mariadb => self.byte(2).is_ascii_whitespace() || self.byte(2) == 0,
                EngineKind::Sqlite | EngineKind::Postgres => true,
            },
            (b'#', _) => self.engine == EngineKind::Mariadb,
            _ => false,
        }
    }

    fn or_end(&self, length: Option<usize>, kind: TokenKind) -> (TokenKind, usize) {
        length.map_or((TokenKind::Unterminated, self.rest(0).len()), |length| {
            (kind, length)
        })
    }

    fn piece(&self) -> (TokenKind, usize) {
        let (first, second) = (self.byte(0), self.byte(1));
        if first.is_ascii_whitespace() || first == 0x0b {
            let length = self.run(0, |byte| byte.is_ascii_whitespace() || byte == 0x0b);
            return (TokenKind::Space, length);
        }
        if self.line_comment_begins() {
            return (TokenKind::Space, self.run(0, |byte| byte != b'\n'));
        }
        if first == b'/' && second == b'*' {
            return self.scan_block_comment();
        }
        if is_word_start(first) {
            return self.scan_word();
        }
        if first.is_ascii_digit() || (first == b'.' && second.is_ascii_digit()) {
            return (TokenKind::Number, self.number());
        }
        self.scan_mark(first, second)
    }

    fn scan_block_comment(&self) -> (TokenKind, usize) {
        let runs = self.engine == EngineKind::Mariadb
            && (self.byte(2) == b'!' || (self.byte(2) == b'M' && self.byte(3) == b'!'));
        let kind = if runs {
            TokenKind::ExecutableComment
        } else {
            TokenKind::Space
        };
        match self.block_comment() {
            Some(length) => (kind, length),
            // SQLite takes the end of the text for the end of a comment.
            None if self.engine == EngineKind::Sqlite => (kind, self.rest(0).len()),
            None => (TokenKind::Unterminated, self.rest(0).len()),
        }
    }

    fn scan_word(&self) -> (TokenKind, usize) {
        let length = self.run(0, is_word_byte);
        let escapes = self.engine == EngineKind::Postgres
            && length == 1
            && matches!(self.byte(0), b'e' | b'E')
            && self.byte(1) == b'\'';
        if escapes {
            return self.or_end(self.quoted(1, b'\'', true), TokenKind::Text);
        }
        (TokenKind::Word, length)
    }

    fn number(&self) -> usize {
        let mut end = self.run(0, |byte| is_word_byte(byte) || byte == b'.');
        // An exponent's sign belongs to the number; not in 0x1e-3.
        let hexadecimal = self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X');
        let exponent = end >= 2 && matches!(self.byte(end - 1), b'e' | b'E') && !hexadecimal;
        if exponent && matches!(self.byte(end), b'+' | b'-') && self.byte(end + 1).is_ascii_digit()
        {
            end = self.run(end + 1, |byte| byte.is_ascii_digit());
        }
        end
    }

    fn scan_mark(&self, first: u8, second: u8) -> (TokenKind, usize) {
        let (sqlite, postgres, mariadb) = (
            self.engine == EngineKind::Sqlite,
            self.engine == EngineKind::Postgres,
            self.engine == EngineKind::Mariadb,
        );
        match first {
            b'\'' => self.or_end(self.quoted(0, b'\'', mariadb), TokenKind::Text),
            b'"' if mariadb => self.or_end(self.quoted(0, b'"', true), TokenKind::Text),
            b'"' => self.or_end(self.quoted(0, b'"', false), TokenKind::QuotedName),
            b'`' if !postgres => self.or_end(self.quoted(0, b'`', false), TokenKind::QuotedName),
            b'[' if sqlite => self.or_end(self.quoted(0, b']', false), TokenKind::QuotedName),
            b'$' if postgres => match self.dollar_quote() {
                Some(length) => self.or_end(length, TokenKind::Text),
                None if second.is_ascii_digit() => (
                    TokenKind::NativePlaceholder,
                    self.run(1, |byte| byte.is_ascii_digit()),
                ),
                None => (TokenKind::Mark, 1),
            },
            b'?' if postgres && second == b'?' => (TokenKind::EscapedQuestion, 2),
            b'?' if sqlite && second.is_ascii_digit() => (
                TokenKind::NativePlaceholder,
                self.run(1, |byte| byte.is_ascii_digit()),
            ),
            b'?' => (TokenKind::Placeholder, 1),
            b':' | b'@' | b'$' | b'#' if sqlite && is_word_byte(second) => {
                (TokenKind::NativePlaceholder, self.run(1, is_word_byte))
            }
            b';' => (TokenKind::Semicolon, 1),
            _ => (TokenKind::Mark, 1),
        }
    }
}

const fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_word_byte(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.at >= self.text.len() {
            return None;
        }
        let (kind, length) = self.piece();
        // Bytes from 0x80 on belong to words, strings and comments alone, so every end is a character's.
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(Token { kind, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str, engine: EngineKind) -> Vec<(TokenKind, &str)> {
        let tokens: Vec<_> = Tokens::new(text, engine)
            .map(|token| (token.kind, token.text))
            .collect();
        let joined: String = tokens.iter().map(|(_, text)| *text).collect();
        assert_eq!(joined, text, "nothing is lost");
        tokens
    }

    fn placeholders(text: &str, engine: EngineKind) -> usize {
        kinds(text, engine)
            .iter()
            .filter(|(kind, _)| *kind == TokenKind::Placeholder)
            .count()
    }

    #[test]
    fn a_question_mark_counts_only_where_the_engine_sees_one() {
        use EngineKind::{Mariadb, Postgres, Sqlite};
        let table = [
            ("select ?", Sqlite, 1),
            ("select '?', \"?\", [?], `?`, ? -- ?\n, ?", Sqlite, 2),
            ("select '?''?', ?", Postgres, 1),
            ("select '\\', ? --'", Postgres, 1),
            ("select E'\\'?', ?", Postgres, 1),
            ("select $$ ? $$, $a$ ? $$ ? $a$, ?", Postgres, 1),
            ("select a ?? 'b', a ??| b, ?", Postgres, 1),
            ("/* ? /* ? */ ? */ select ?", Postgres, 1),
            ("/* ? /* ? */ select ?", Sqlite, 1),
            ("select '\\'?', \"?\", `?`, ? # ?", Mariadb, 1),
            ("select 1--?", Mariadb, 1),
            ("select 1-- ?", Mariadb, 0),
            ("select 1--?", Sqlite, 0),
            ("select 名, ?", Mariadb, 1),
        ];
        for (text, engine, expected) in table {
            assert_eq!(placeholders(text, engine), expected, "{text}");
        }
    }

    #[test]
    fn ends_that_are_missing_are_seen() {
        use EngineKind::{Mariadb, Postgres, Sqlite};
        for (text, engine) in [
            ("select 'a", Sqlite),
            ("select $x$ $y$", Postgres),
            ("/* a", Postgres),
            ("select `a", Mariadb),
            ("select 'a\\'", Mariadb),
        ] {
            let last = kinds(text, engine).pop().expect("has a token");
            assert_eq!(last.0, TokenKind::Unterminated, "{text}");
        }
        assert_eq!(
            kinds("/*!50000 drop */", Mariadb)[0].0,
            TokenKind::ExecutableComment
        );
    }

    #[test]
    fn numbers_hold_together() {
        for number in ["1", "1.5", ".5", "1e10", "1.5E-3", "0xFFe", "1_000"] {
            let tokens = kinds(number, EngineKind::Postgres);
            assert_eq!(tokens, [(TokenKind::Number, number)], "{number}");
        }
    }
}
