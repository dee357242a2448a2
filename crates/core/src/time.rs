//! Points in time as people write them: RFC 3339, with an offset.

use std::time::Duration;

/// The point in time of an RFC 3339 text, since 1970; `None` for anything else, for times before 1970, and for leap
/// seconds, which a clock of the host never shows. A blank may stand for the T, as `date --rfc-3339` writes it.
pub fn parse_rfc3339(text: &str) -> Option<Duration> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let is = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let in_range = (1..=days_in(year, month)).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !separated || !in_range {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanoseconds, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
            let fraction = rest.get(..digits).filter(|digits| (1..=9).contains(&digits.len()))?;
            (format!("{fraction:0<9}").parse::<u32>().ok()?, rest.get(digits..)?)
        }
        None => (0, rest),
    };
    let seconds =
        i64::try_from(days_since_1970(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second)
            .ok()?;
    let seconds = u64::try_from(seconds - offset_seconds(offset)?).ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

/// `Z`, `+02:00`, `-07:30`.
fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let part = |digits: &str, limit: i64| -> Option<i64> {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().filter(|&number| number < limit)
    };
    Some(sign * (part(hours, 24)? * 3_600 + part(minutes, 60)? * 60))
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 0,
    }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    (year >= 1970).then_some(years + months + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's datetime.
    #[test]
    fn points_in_time() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T09:00:00Z", 1_795_251_600),
            ("2026-11-21t10:00:00+01:00", 1_795_251_600),
            ("2026-11-21 09:00:00+00:00", 1_795_251_600),
            ("2026-11-21T01:30:00-07:30", 1_795_251_600),
            ("2024-02-29T23:59:59z", 1_709_251_199),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse_rfc3339(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00.25Z"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T09:00:00",
            "2026-11-21  09:00:00Z",
            "2026-11-21 09:00:00 Z",
            "2026-11-21_09:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T09:00:60Z",
            "2026-11-21T09:00Z",
            "2026-11-21T09:00:00.Z",
            "2026-11-21T09:00:00+1:00",
            "2026-11-21T09:00:00+24:00",
            "1969-12-31T23:59:59Z",
            "+026-11-21T09:00:00Z",
            "2026-11-21T09:00:00ZZ",
            "２０２６-11-21T09:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
