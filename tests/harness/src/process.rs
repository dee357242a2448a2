//! What a running process costs, as Linux keeps account of it.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub u32);

// === impl Process ===

impl Process {
    /// The time that the process's threads have spent on a processor, by the kernel's own account. Exact while they wait,
    /// as they do between two bursts of requests.
    pub fn cpu_time(self) -> Result<Duration> {
        Ok(self.thread_times()?.into_iter().map(|(_, spent)| spent).sum())
    }

    /// The same of each thread that runs now, with its name.
    pub fn thread_times(self) -> Result<Vec<(String, Duration)>> {
        let mut times = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.0))? {
            let folder = thread?.path();
            // A thread may end meanwhile.
            let [Ok(name), Ok(text)] =
                ["comm", "schedstat"].map(|file| std::fs::read_to_string(folder.join(file)))
            else {
                continue;
            };
            let spent = text.split(' ').next().and_then(|spent| spent.parse().ok());
            let spent = spent.with_context(|| format!("{}/schedstat: `{text}`", folder.display()))?;
            times.push((name.trim_end().to_owned(), Duration::from_nanos(spent)));
        }
        Ok(times)
    }

    /// The memory that the process holds, in bytes.
    pub fn memory(self) -> Result<u64> {
        self.bytes_of("status", "VmRSS:")
    }

    /// The part of it that no other process and no file has: without the pages of the program, of which more are in
    /// memory when more of them were used, by whichever process.
    pub fn anonymous_memory(self) -> Result<u64> {
        self.bytes_of("smaps_rollup", "Anonymous:")
    }

    /// A number of kB in a file that the kernel keeps about the process.
    fn bytes_of(self, file: &str, name: &str) -> Result<u64> {
        let path = format!("/proc/{}/{file}", self.0);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name} in {path}"))?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }
}
