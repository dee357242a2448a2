//! The answer of a proxy, a Prometheus or an issuer of tokens, within a limit.

/// All bytes of an answer; a sentence where it has more than `most`, a whole number of KiB, which calls it `what`.
pub(crate) async fn bytes(
    mut response: reqwest::Response,
    most: usize,
    what: &str,
) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| sentence(&error))? {
        if all.len() + bytes.len() > most {
            let most =
                if most < 1 << 20 { format!("{} KiB", most >> 10) } else { format!("{} MiB", most >> 20) };
            return Err(format!("its {what} has more than {most}"));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// The innermost cause says what happened.
pub(crate) fn sentence(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
