//! Simulated rollouts, for what the judge promises and for how much traffic a rollout needs.
//!
//! Requests arrive at random (Poisson). Most come from users without number, all alike; beside them there may be users
//! with a rate and errors of their own, each in one group and on one side of the weight, as the filter draws them.

mod random;
mod repeat;

use crate::batch::{Arms, Batch, Counts, GROUPS, Tally};
pub use random::Random;
pub use repeat::repeat;

/// One world in which a rollout happens.
pub struct World<'a> {
    /// Requests per look, of both arms together.
    pub requests: f64,
    /// Canary's weight at a look (from 1), from 0 to 1.
    pub weight: &'a (dyn Fn(u32) -> f64 + Sync),
    /// Rates of each guard at a look, of users without a number.
    pub rates: &'a (dyn Fn(u32, &mut Random) -> Vec<Arms<f64>> + Sync),
    /// Whether tallies come by group.
    pub groups: bool,
}

/// A user with a rate and errors of their own.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// Share of all requests that this user makes.
    pub share: f64,
    /// Rate of this user's bad requests in the first guard, whatever the version.
    pub bad: f64,
    /// Where the user falls: canary while the weight is above it. From 0 to 1.
    pub bucket: f64,
    /// Hash group.
    pub group: usize,
}

/// Rates of requests in a group and an arm, as shares of all requests.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// Of users without number.
    ordinary: f64,
    /// Of the others: bad ones and good ones.
    bad: f64,
    good: f64,
}

/// One rollout in a world.
pub struct Rollout<'a> {
    world: &'a World<'a>,
    users: Vec<User>,
    look: u32,
    cells_at: f64,
    cells: [Arms<Cell>; GROUPS],
}

// === impl User ===

impl User {
    /// `count` users who together make the share `total` of the requests. Their rates are log-normal with this standard
    /// deviation of the logarithm: 0 is all alike, 2 is heavy.
    pub fn crowd(count: usize, total: f64, spread: f64, bad: f64, random: &mut Random) -> Vec<Self> {
        let mut users: Vec<Self> = (0..count)
            .map(|_| Self {
                share: (spread * random.normal()).exp(),
                bad,
                bucket: random.share(),
                group: random.below(GROUPS),
            })
            .collect();
        let sum: f64 = users.iter().map(|user| user.share).sum();
        users.iter_mut().for_each(|user| user.share *= total / sum);
        users
    }
}

// === impl Rollout ===

impl<'a> Rollout<'a> {
    /// Rollout with these users among others.
    pub fn new(world: &'a World<'a>, users: Vec<User>) -> Self {
        Self { world, users, look: 0, cells_at: f64::NAN, cells: [Arms::default(); GROUPS] }
    }

    /// Number of the latest look, from 1.
    pub fn look(&self) -> u32 {
        self.look
    }

    /// Counts of the next look.
    pub fn next(&mut self, random: &mut Random) -> Batch {
        self.look += 1;
        let weight = (self.world.weight)(self.look);
        if weight != self.cells_at {
            self.cells = cells(weight, &self.users);
            self.cells_at = weight;
        }
        let rates = (self.world.rates)(self.look, random);
        let mut guards = vec![[Arms::<Counts>::default(); GROUPS]; rates.len()];
        for (group, cell) in self.cells.iter().enumerate() {
            let first = rates.first().copied().unwrap_or_default();
            let counts = Arms {
                stable: draw(self.world.requests, cell.stable, first.stable, random),
                canary: draw(self.world.requests, cell.canary, first.canary, random),
            };
            for (place, (guard, rates)) in guards.iter_mut().zip(&rates).enumerate() {
                let Some(slot) = guard.get_mut(group) else { continue };
                let again =
                    |all: u64, rate: f64, random: &mut Random| Counts::new(all, random.binomial(all, rate));
                *slot = match place {
                    0 => counts,
                    _ => Arms {
                        stable: again(counts.stable.all, rates.stable, random),
                        canary: again(counts.canary.all, rates.canary, random),
                    },
                };
            }
        }
        let tally = |groups: [Arms<Counts>; GROUPS]| {
            let tally = Tally::Groups(Box::new(groups));
            if self.world.groups { tally } else { Tally::Whole(tally.total()) }
        };
        Batch {
            weight: Some((weight * 1e6).round() as u32),
            guards: guards.into_iter().map(tally).collect(),
            served: None,
            open: None,
        }
    }
}

fn cells(weight: f64, users: &[User]) -> [Arms<Cell>; GROUPS] {
    let ordinary = 1.0 - users.iter().map(|user| user.share).sum::<f64>();
    let each = ordinary.max(0.0) / GROUPS as f64;
    let cell = |share: f64| Cell { ordinary: each * share, ..Cell::default() };
    let mut cells = [Arms { stable: cell(1.0 - weight), canary: cell(weight) }; GROUPS];
    for user in users {
        let Some(arms) = cells.get_mut(user.group) else { continue };
        let cell = if user.bucket < weight { &mut arms.canary } else { &mut arms.stable };
        cell.bad += user.share * user.bad;
        cell.good += user.share * (1.0 - user.bad);
    }
    cells
}

fn draw(requests: f64, cell: Cell, rate: f64, random: &mut Random) -> Counts {
    let bad = random.poisson(requests * (cell.ordinary * rate + cell.bad));
    let good = random.poisson(requests * (cell.ordinary * (1.0 - rate) + cell.good));
    Counts::new(bad + good, bad)
}
