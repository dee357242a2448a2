//! Times as Go writes them, and as a plan does.

/// The units of Go's `time.ParseDuration`, in seconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// The most seconds of a time: a year is more than any of them means.
const MAX: f64 = 366.0 * 86_400.0;

/// Seconds of a duration as Go reads one: `1m30s`, `1.5h`. Part of a second counts as a whole one. `None` of anything
/// else, of what is below 0, and of more than a year.
pub(in crate::import) fn go_seconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !next.is_ascii_digit() && next != '.')?;
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|next: char| next.is_ascii_digit() || next == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * size;
        rest = behind;
    }
    // Sums of tenths are not exact: a millionth more is no other second.
    (seconds <= MAX).then(|| (seconds - 1e-6).ceil().max(0.0) as u64)
}

/// Seconds as a plan has them: in the largest unit that takes no fraction.
pub(in crate::import) fn written(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_go_reads() {
        for (text, seconds) in [
            ("0", 0),
            ("30s", 30),
            ("1m", 60),
            ("1h30m", 5400),
            ("1.5h", 5400),
            (".5m", 30),
            ("+2m", 120),
            ("500ms", 1),
            ("0.1s", 1),
            ("1m0.1s", 61),
            ("60000ms", 60),
        ] {
            assert_eq!(go_seconds(text), Some(seconds), "{text}");
        }
        for text in ["", "+", "1", "-1m", "1d", "m", "1 m", "1m ", "1..5h", ".s", "1e3s", "9999999999h"] {
            assert_eq!(go_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_plan_has_one_unit() {
        assert_eq!([0, 90, 600, 7200].map(written), ["0s", "90s", "10m", "2h"]);
    }
}
