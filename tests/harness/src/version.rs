//! One version of an application: it says its name, takes its time, and some of its requests fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use hyper::{Response, StatusCode};

use crate::server::{Server, full};
use crate::upstream::ROUTE_HEADER;

/// What a request takes is the sum of four waits of an exponential law with this mean: 15 ms on average, and one in ten
/// takes more than 25 ms.
const WAIT: Duration = Duration::from_micros(3_740);

/// A running version of the application, until it is dropped.
#[derive(Debug)]
pub struct Version {
    server: Server,
    manners: Arc<Manners>,
}

/// How it behaves now.
#[derive(Debug, Default)]
struct Manners {
    /// Of a thousand requests, so many fail.
    fails: AtomicU32,
    /// In percent of what requests usually take; 0 is at once.
    takes: AtomicU32,
    /// Whether new requests never end.
    hangs: AtomicBool,
    /// Requests so far.
    count: AtomicU64,
    /// Where its dice begin.
    seed: u64,
}

/// Dice: the sequence of SplitMix64.
struct Dice(u64);

// === impl Version ===

impl Version {
    /// Starts it at a free port. It answers at once, and nothing fails, until told otherwise; the same seed fails the same
    /// requests.
    pub async fn start(name: &'static str, seed: u64) -> Result<Self> {
        let manners = Arc::new(Manners { seed, ..Manners::default() });
        let its = manners.clone();
        let server = Server::serve(
            0,
            Arc::new(move |request| {
                let (takes, fails) = its.next();
                let hangs = its.hangs.load(Ordering::Relaxed);
                // An application that is told its variant would give it away.
                let fails = fails || request.headers().contains_key(ROUTE_HEADER);
                Box::pin(async move {
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                    if !takes.is_zero() {
                        tokio::time::sleep(takes).await;
                    }
                    let mut response = Response::new(full(format!("{name}\n")));
                    if fails {
                        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    }
                    response
                })
            }),
        );
        Ok(Self { server: server.await?, manners })
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// From now on, so many of a thousand requests fail, at random.
    pub fn fails(&self, per_mille: u32) {
        self.manners.fails.store(per_mille, Ordering::Relaxed);
    }

    /// From now on, requests never end, or do again. Those that hang go on to hang.
    pub fn hangs(&self, hangs: bool) {
        self.manners.hangs.store(hangs, Ordering::Relaxed);
    }

    /// From now on, requests take so many percent of what they usually take, 15 ms on average.
    pub fn takes(&self, percent: u32) {
        self.manners.takes.store(percent, Ordering::Relaxed);
    }
}

// === impl Manners ===

impl Manners {
    /// What the next request takes, and whether it fails.
    fn next(&self) -> (Duration, bool) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        // Eight draws a request at most, of one long sequence.
        let mut dice = Dice(self.seed.wrapping_add(number.wrapping_mul(8).wrapping_mul(Dice::STEP)));
        let fails = dice.roll() * 1_000.0 < f64::from(self.fails.load(Ordering::Relaxed));
        let percent = self.takes.load(Ordering::Relaxed);
        let waits: f64 = (0..4).map(|_| -(1.0 - dice.roll()).ln()).sum();
        (WAIT.mul_f64(waits * f64::from(percent) / 100.0), fails)
    }
}

// === impl Dice ===

impl Dice {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// From 0 to below 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_as_it_is_told() {
        let manners = Manners { seed: 7, ..Manners::default() };
        assert_eq!(manners.next(), (Duration::ZERO, false));
        manners.fails.store(20, Ordering::Relaxed);
        manners.takes.store(100, Ordering::Relaxed);
        let seen: Vec<(Duration, bool)> = (0..100_000).map(|_| manners.next()).collect();
        let failed = seen.iter().filter(|(_, fails)| *fails).count();
        assert!((1_850..2_150).contains(&failed), "{failed} of 100,000");
        let slow = seen.iter().filter(|(takes, _)| *takes > Duration::from_millis(25)).count();
        assert!((9_500..10_500).contains(&slow), "{slow} of 100,000");
    }
}
