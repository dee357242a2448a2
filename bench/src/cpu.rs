//! The time that a process has had on a processor, by the kernel's own account.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// Nanoseconds on a processor, over all threads of this process. Exact while the threads wait, as they do between two
/// bursts.
pub(crate) fn nanoseconds(process: u32) -> Result<u64> {
    let threads = PathBuf::from(format!("/proc/{process}/task"));
    let mut sum = 0;
    for thread in threads.read_dir().with_context(|| format!("cannot read {}", threads.display()))? {
        let file = thread?.path().join("schedstat");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let time = text.split(' ').next().context("an empty schedstat")?;
        sum += time.parse::<u64>().with_context(|| format!("not a number: `{time}`"))?;
    }
    Ok(sum)
}
