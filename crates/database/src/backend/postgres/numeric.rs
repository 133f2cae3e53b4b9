//! PostgreSQL's `numeric` in its binary format, as text and without a limit of precision.
//!
//! Four 16-bit words (groups, weight, sign, display scale), then groups of four decimal digits; `weight` is the place of
//! the first group in powers of 10,000 (backend/utils/adt/numeric.c, `numeric_send`).

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

fn word(bytes: &[u8], at: usize) -> Option<[u8; 2]> {
    bytes.get(at * 2..at * 2 + 2)?.try_into().ok()
}

/// Reads the text form; `None` where the bytes are no numeric.
pub(super) fn read(bytes: &[u8]) -> Option<String> {
    let groups = usize::from(u16::from_be_bytes(word(bytes, 0)?));
    let weight = i64::from(i16::from_be_bytes(word(bytes, 1)?));
    let sign = u16::from_be_bytes(word(bytes, 2)?);
    let scale = usize::from(u16::from_be_bytes(word(bytes, 3)?));
    match sign {
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        MINUS_INFINITY => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let group = |place: i64| -> Option<u16> {
        match usize::try_from(place) {
            Ok(at) if at < groups => Some(u16::from_be_bytes(word(bytes, 4 + at)?)),
            _ => Some(0),
        }
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    let mut whole = String::new();
    for place in 0..=weight {
        whole.push_str(&format!("{:04}", group(place)?));
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::with_capacity(scale + 4);
        let mut place = weight + 1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(place)?));
            place += 1;
        }
        fraction.truncate(scale);
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

/// Writes a decimal that was checked; `None` where it is none.
pub(super) fn write(text: &str) -> Option<Vec<u8>> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let scale = u16::try_from(fraction.len()).ok()?;
    let whole = format!("{whole:0>width$}", width = whole.len().div_ceil(4) * 4);
    let fraction = format!(
        "{fraction:0<width$}",
        width = fraction.len().div_ceil(4) * 4
    );
    let mut weight = i16::try_from(whole.len() / 4).ok()? - 1;
    let digits = format!("{whole}{fraction}");
    let mut groups = Vec::with_capacity(digits.len() / 4);
    for chunk in digits.as_bytes().chunks(4) {
        groups.push(std::str::from_utf8(chunk).ok()?.parse::<u16>().ok()?);
    }
    let leading_zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading_zeros);
    weight -= i16::try_from(leading_zeros).ok()?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    let sign = if negative && !groups.is_empty() {
        NEGATIVE
    } else {
        0
    };
    let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
    bytes.extend(u16::try_from(groups.len()).ok()?.to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(scale.to_be_bytes());
    for group in groups {
        bytes.extend(group.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length_survive() {
        let long = format!("-{}.{}", "9".repeat(200), "1".repeat(200));
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "12345.6789",
            "0.0001",
            "0.00001",
            "10000",
            "100000000",
            "123456789012345678901234567890.000000000000000000000000000001",
            "0.10",
            &long,
        ] {
            let bytes = write(text).expect("is a decimal");
            assert_eq!(read(&bytes).as_deref(), Some(text));
        }
        assert_eq!(
            read(&write("-0.0").expect("writes")).as_deref(),
            Some("0.0")
        );
        assert_eq!(read(&[0, 1]), None);
        assert_eq!(write("1e5"), None);
    }
}
