//! Dates and times as numbers, over the whole range of every engine (a date library stops at the year 9999).
//!
//! Days and microseconds are counted from 1970-01-01 of the proleptic Gregorian calendar; the conversion is
//! "chrono-compatible low-level date algorithms" by Howard Hinnant.

/// Microseconds of a second.
pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(crate) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Longest MariaDB duration, in hours.
const DURATION_HOURS_MAX: i64 = 838;

/// Days from 1970-01-01 to a date.
pub(crate) const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
pub(crate) const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

fn digits(text: &str, exactly: usize) -> Option<i64> {
    let good = text.len() == exactly && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// Parses `2026-11-23` of the years 0001 to 9999 into days.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day that its month does not have comes back as a day of the next month.
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

fn parse_fraction(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 6 {
        return None;
    }
    let value = digits(text, text.len())?;
    let missing = 6 - u32::try_from(text.len()).ok()?;
    Some(value * 10_i64.pow(missing))
}

/// Parses `[-]H:MM[:SS[.ffffff]]` with up to 838 hours into signed microseconds.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, parse_fraction(fraction)?),
        None => (text, 0),
    };
    let mut parts = clock.split(':');
    let hours_text = parts.next()?;
    let minutes = digits(parts.next()?, 2)?;
    let seconds = match parts.next() {
        Some(text) => digits(text, 2)?,
        None => 0,
    };
    if !(2..=3).contains(&hours_text.len()) || parts.next().is_some() {
        return None;
    }
    let hours = digits(hours_text, hours_text.len())?;
    if hours > DURATION_HOURS_MAX || minutes > 59 || seconds > 59 {
        return None;
    }
    let micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + fraction;
    Some(if negative { -micros } else { micros })
}

/// Parses an RFC 3339 instant or a date and time without a zone into microseconds from 1970-01-01T00:00:00, and
/// whether it named a zone.
pub(crate) fn parse_timestamp(text: &str) -> Option<(i64, bool)> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = parse_date(date)?;
    let rest = rest
        .strip_prefix('T')
        .or_else(|| rest.strip_prefix('t'))
        .or_else(|| rest.strip_prefix(' '))?;
    let (clock, offset_minutes) = split_zone(rest)?;
    let micros = parse_time(clock)?;
    if !(0..MICROS_PER_DAY).contains(&micros) || clock.len() < 8 {
        return None;
    }
    let local = days * MICROS_PER_DAY + micros;
    Some(match offset_minutes {
        Some(offset) => (local - offset * 60 * MICROS_PER_SECOND, true),
        None => (local, false),
    })
}

fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, Some(0)));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, None));
    };
    let (clock, zone) = text.split_at_checked(at)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = hours * 60 + minutes;
    Some((
        clock,
        Some(if zone.starts_with('-') {
            -offset
        } else {
            offset
        }),
    ))
}

/// Formats days as `2026-11-23`; years outside 0 to 9999 as in ISO 8601's expanded form (`+12026-…`, `-0043-…`).
pub(crate) fn format_date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    match year {
        0..=9_999 => format!("{year:04}-{month:02}-{day:02}"),
        10_000.. => format!("+{year}-{month:02}-{day:02}"),
        _ => format!("-{:04}-{month:02}-{day:02}", -year),
    }
}

/// Formats signed microseconds as `19:30:00` with the decimal places that are not zero.
pub(crate) fn format_time(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
    if fraction != 0 {
        let places = format!("{fraction:06}");
        text.push('.');
        text.push_str(places.trim_end_matches('0'));
    }
    text
}

/// Formats microseconds from 1970-01-01T00:00:00 as `2026-11-23T19:30:00`, with a `Z` where they name an instant.
pub(crate) fn format_timestamp(micros: i64, zoned: bool) -> String {
    let days = micros.div_euclid(MICROS_PER_DAY);
    let zone = if zoned { "Z" } else { "" };
    format!(
        "{}T{}{zone}",
        format_date(days),
        format_time(micros.rem_euclid(MICROS_PER_DAY))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_over_all_engines_ranges() {
        // PostgreSQL's range is 4713 BC to 5874897 AD.
        for days in [
            -2_440_588,
            -719_529,
            -1,
            0,
            1,
            20_780,
            2_932_896,
            2_145_031_948,
        ] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(format_date(20_780), "2026-11-23");
        assert_eq!(parse_date("2026-11-23"), Some(20_780));
        for bad in [
            "2026-02-29",
            "2026-13-01",
            "0000-01-01",
            "26-1-1",
            "2026-11-23x",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        assert!(parse_date("2024-02-29").is_some());
    }

    #[test]
    fn times_and_timestamps_survive() {
        for text in [
            "00:00:00",
            "19:30:00.5",
            "23:59:59.999999",
            "-838:59:59",
            "838:59:59",
        ] {
            assert_eq!(format_time(parse_time(text).expect("parses")), text);
        }
        for bad in ["1:00:00", "24", "10:60:00", "839:00:00", "10:00:00.1234567"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        let (micros, zoned) =
            parse_timestamp("2026-11-23T19:30:00.25+08:00").expect("parses with an offset");
        assert!(zoned);
        assert_eq!(format_timestamp(micros, zoned), "2026-11-23T11:30:00.25Z");
        let (micros, zoned) = parse_timestamp("1969-12-31 23:59:59").expect("parses without");
        assert_eq!((micros, zoned), (-1_000_000, false));
        for bad in [
            "2026-11-23",
            "2026-11-23T25:00:00Z",
            "2026-11-23T10:00Z",
            "é026-11-23T10",
        ] {
            assert!(parse_timestamp(bad).is_none(), "{bad}");
        }
    }
}
