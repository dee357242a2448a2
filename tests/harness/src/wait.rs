//! Waiting for what can be observed, instead of sleeping and hoping.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything that a test waits for may take. Far longer than it takes: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer, at most for [`PATIENCE`]; `what` completes "waited for ...".
pub async fn until<T, F>(what: &str, ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    within(PATIENCE, what, ask).await
}

/// The same, for what takes its time: at most for so long.
pub async fn within<T, F>(patience: Duration, what: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if start.elapsed() > patience {
            bail!("waited {} s for {what}, in vain", patience.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
