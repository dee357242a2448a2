//! Percent as people write it, and the parts per million that it means.

use crate::quote::number;

/// How many parts per million make one percent.
const PPM_PER_PERCENT: f64 = 10_000.0;
/// How far from a whole part per million a written percentage may be, in parts: the error of a double, not of a person.
const SLACK_PPM: f64 = 1e-6;
/// All of them.
const ALL: f64 = 1_000_000.0;

/// A weight in parts per million from percent: 0 to 100 with at most four decimals.
///
/// # Errors
/// Out of range, or finer than 0.0001 %; the sentence names the nearest weight that would do.
pub fn parts_per_million(percent: f64) -> Result<u32, String> {
    let ppm = percent * PPM_PER_PERCENT;
    let whole = ppm.round();
    let nearly_whole = (ppm - whole).abs() <= SLACK_PPM;
    let allowed = 0.0..=ALL;
    if !(allowed.contains(&ppm) || nearly_whole && allowed.contains(&whole)) {
        return Err(String::from("a weight is 0 to 100 percent, not ") + &number(percent));
    }
    if !nearly_whole {
        // Put together without the formatter, whose every argument makes the filter's module larger.
        let finer = " is finer than 0.0001 %, the least step of a weight; the nearest weight is ";
        return Err(number(percent) + finer + &number(whole / PPM_PER_PERCENT));
    }
    Ok(whole as u32)
}
