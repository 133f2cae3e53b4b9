//! Looking for a text: LIKE decides, trigrams only narrow the candidates.

/// Characters of a trigram: shorter texts cannot be narrowed by the text index.
const TRIGRAM_CHARS: usize = 3;
/// Most trigrams of one text that are looked up; the exact comparison comes after them anyway.
const TRIGRAMS_MAX: usize = 32;

/// The pattern that finds a text anywhere, for `LIKE … ESCAPE '\'`.
pub(super) fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// The full-text expression that every row with the text satisfies; `None` where the text is too short for one.
pub(super) fn trigram_expression(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut trigrams: Vec<String> = chars
        .windows(TRIGRAM_CHARS)
        .map(|window| window.iter().collect::<String>().replace('"', "\"\""))
        .map(|trigram| format!("\"{trigram}\""))
        .collect();
    trigrams.dedup();
    trigrams.truncate(TRIGRAMS_MAX);
    (!trigrams.is_empty()).then(|| trigrams.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_taken_literally_and_short_texts_have_no_trigram() {
        assert_eq!(like_pattern(r"50%_\"), r"%50\%\_\\%");
        assert_eq!(trigram_expression("审核"), None);
        assert_eq!(
            trigram_expression("审核通过").as_deref(),
            Some("\"审核通\" AND \"核通过\"")
        );
        assert_eq!(trigram_expression("a\"b").as_deref(), Some("\"a\"\"b\""));
    }
}
