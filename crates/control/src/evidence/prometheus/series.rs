//! What an answer to a range selector holds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

/// The most series.
const MAX_SERIES: usize = 500_000;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    result: Vec<Series<'a>>,
}

/// A series, and its samples with their times in seconds, the oldest first.
#[derive(Deserialize)]
pub(in crate::evidence) struct Series<'a> {
    #[serde(borrow)]
    pub(in crate::evidence) metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow)]
    values: Vec<(f64, Cow<'a, str>)>,
}

/// The series of an answer.
///
/// # Errors
/// It is none of a Prometheus, or says what is wrong: a sentence.
pub(in crate::evidence) fn read(answer: &[u8]) -> Result<Vec<Series<'_>>, String> {
    let answer: Answer<'_> = serde_json::from_slice(answer)
        .map_err(|error| format!("its answer is none of Prometheus: {error}"))?;
    let Some(Data { result }) = answer.data else {
        return Err(answer.error.unwrap_or_else(|| "its answer has no data".to_owned()));
    };
    if result.len() > MAX_SERIES {
        return Err(format!(
            "it has {} series, and at most {MAX_SERIES} are read; narrow them by labels",
            result.len()
        ));
    }
    Ok(result)
}

// === impl Series ===

impl Series<'_> {
    /// Its latest sample: the time in seconds, and the value.
    ///
    /// # Errors
    /// The value is no number.
    pub(in crate::evidence) fn latest(&self) -> Result<Option<(f64, f64)>, String> {
        let Some((at, value)) = self.values.last() else { return Ok(None) };
        let value = value.parse().map_err(|_| format!("{value} is no number"))?;
        Ok(Some((*at, value)))
    }
}
