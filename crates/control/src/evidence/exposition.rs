//! Prometheus' text format, as far as it concerns us: samples whose names begin with a word, each name with its labels.
//!
//! A crate that reads all of it would build every series of a proxy, of which there may be a hundred thousand, to keep some
//! dozens.

use std::borrow::Cow;

/// The most labels of a series, and the most bytes of one label, that are read.
const MAX_LABELS: usize = 32;
const MAX_LABEL: usize = 1_024;

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample<'t> {
    /// Name of the metric.
    pub(super) name: &'t str,
    labels: Vec<(&'t str, Cow<'t, str>)>,
    /// The value; it may be no finite number.
    pub(super) value: f64,
}

/// The samples whose names begin with one of these prefixes. What else stands there is skipped; a line of ours that cannot be
/// read is an error, as half of the truth is none.
pub(super) fn samples<'t>(
    text: &'t str,
    prefixes: &'t [&'t str],
) -> impl Iterator<Item = Result<Sample<'t>, String>> {
    let ours = move |line: &&str| prefixes.iter().any(|prefix| line.starts_with(prefix));
    text.split('\n').filter(ours).map(|line| {
        Sample::read(line.trim_end_matches('\r')).ok_or_else(|| {
            let shown: String = line.chars().filter(|it| !it.is_control()).take(80).collect();
            format!("this is no sample: {shown}")
        })
    })
}

// === impl Sample ===

impl<'t> Sample<'t> {
    /// A sample that did not stand in a page.
    pub(super) fn new(name: &'t str, labels: Vec<(&'t str, Cow<'t, str>)>, value: f64) -> Self {
        Self { name, labels, value }
    }

    /// The value of a label.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_ref())
    }

    /// All labels as one text, which is another one for another series of the metric.
    pub(super) fn labels(&self) -> String {
        let labels: Vec<String> =
            self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        labels.join(",")
    }

    fn read(line: &'t str) -> Option<Self> {
        let end = line.find(['{', ' ', '\t'])?;
        let (name, rest) = line.split_at_checked(end)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next()?.parse().ok()?;
        // A time may follow, and nothing else.
        let time = words.next().is_none_or(|time| time.parse::<i64>().is_ok());
        (time && words.next().is_none()).then_some(Self { name, labels, value })
    }
}

type Labels<'t> = Vec<(&'t str, Cow<'t, str>)>;

/// The labels behind the opening brace, and what stands behind the closing one.
fn read_labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = read_value(behind.trim_start().strip_prefix('"')?)?;
        if labels.len() >= MAX_LABELS {
            return None;
        }
        labels.push((name.trim(), value));
        rest = behind.trim_start();
        rest = rest.strip_prefix(',').or_else(|| rest.starts_with('}').then_some(rest))?;
    }
}

/// A value up to its closing quote, and what stands behind that.
fn read_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    let (plain, rest) = text.split_at_checked(end)?;
    if plain.len() > MAX_LABEL {
        return None;
    }
    if let Some(behind) = rest.strip_prefix('"') {
        return Some((Cow::Borrowed(plain), behind));
    }
    let mut value = plain.to_owned();
    let mut characters = rest.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), rest.get(place + 1..)?)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                '\\' => '\\',
                '"' => '"',
                _ => return None,
            }),
            other => value.push(other),
        }
        if value.len() > MAX_LABEL {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Sample<'_>, String>> {
        samples(text, &["coalmine_"]).collect()
    }

    #[test]
    fn samples_have_names_labels_and_values() {
        let text = "# TYPE coalmine_all_total counter\n\
            coalmine_all_total{rollout=\"shop/checkout\",variant=\"stable\",group=\"3\"} 17\n\
            envoy_other{a=\"b\"} 5\n\
            coalmine_policy_revision{} 4 1700000000000\r\n\
            coalmine_plain 1e3\n\
            coalmine_odd{ a = \"x\\\"y\\\\z\\n\" , } NaN\n";
        let all: Vec<Sample<'_>> = read(text).into_iter().map(Result::unwrap).collect();
        assert_eq!(all.len(), 4);
        assert_eq!((all[0].name, all[0].value), ("coalmine_all_total", 17.0));
        assert_eq!((all[0].label("rollout"), all[0].label("group")), (Some("shop/checkout"), Some("3")));
        assert_eq!(all[0].label("none"), None);
        assert_eq!((all[1].value, all[2].value), (4.0, 1000.0));
        assert_eq!(all[3].label("a"), Some("x\"y\\z\n"));
        assert!(all[3].value.is_nan());
    }

    #[test]
    fn what_is_no_sample_is_an_error() {
        let long = format!("coalmine_a{{b=\"{}\"}} 1", "x".repeat(2_000));
        let escaped = format!("coalmine_a{{b=\"\\n{}\"}} 1", "x".repeat(2_000));
        let many = format!("coalmine_a{{{}}} 1", "a=\"b\",".repeat(40));
        for line in [
            "coalmine_a",
            "coalmine_a{",
            "coalmine_a{b}",
            "coalmine_a{b=c} 1",
            "coalmine_a{b=\"c} 1",
            "coalmine_a{b=\"c\"",
            "coalmine_a{b=\"c\" d=\"e\"} 1",
            "coalmine_a{b=\"\\x\"} 1",
            "coalmine_a{b=\"c\"} one",
            "coalmine_a{b=\"c\"} 1 2 3",
            "coalmine_a 1 soon",
            &long,
            &escaped,
            &many,
        ] {
            assert!(read(line).iter().all(Result::is_err) && !read(line).is_empty(), "{line}");
        }
    }
}
