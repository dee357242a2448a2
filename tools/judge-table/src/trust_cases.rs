//! Rows on users who are not alike, and on data that is not to be believed.

use coalmine_judge::batch::{Open, Served};
use coalmine_judge::simulate::User;
use coalmine_judge::{Arms, Batch, Tally};

use crate::cases::{case, edge, plain, rates};
use crate::rows::{Case, Users};

/// 20 of 2,000 users make all errors, at both versions: one request in five of theirs.
fn broken(spread: f64) -> Users {
    Box::new(move |random| User::crowd(20, 0.01, spread, 0.2, random))
}

/// All users have a number: 2,000 with rates like these.
fn all_users(spread: f64) -> Users {
    Box::new(move |random| User::crowd(2000, 1.0, spread, 0.002, random))
}

pub(crate) fn users() -> Vec<Case> {
    let clustered =
        |name, spread, weight| edge(Case { users: broken(spread), ..case(name, 10.0, weight, 0.0, 0.0) });
    // The failing requests are those of 3 % of the users, whom the canary fails always.
    let failing: Users = Box::new(|random| {
        let mut users = User::crowd(600, 0.03, 1.0, 1.0, random);
        users.iter_mut().for_each(|user| user.bad = if user.bucket < 0.05 { 1.0 } else { 0.002 });
        users
    });
    vec![
        plain(clustered("1 % of users make all errors, weight 5 %, no groups", 1.0, 0.05)),
        clustered("the same by groups", 1.0, 0.05),
        plain(clustered("heavier tails, no groups", 2.0, 0.05)),
        clustered("the same by groups", 2.0, 0.05),
        plain(clustered("1 % of users make all errors, weight 50 %, no groups", 1.0, 0.5)),
        clustered("the same by groups", 1.0, 0.5),
        Case {
            users: broken(1.0),
            ..case("the same by groups, with the default margin", 10.0, 0.5, 0.0, 0.0)
        },
        plain(case("price of groups: 0.2 to 1.2 %, 20/s, weight 5 %, no groups", 20.0, 0.05, 0.002, 0.012)),
        case("the same by groups", 20.0, 0.05, 0.002, 0.012),
        plain(case("everything fails, 10/s, weight 5 %, no groups", 10.0, 0.05, 0.002, 1.0)),
        case("the same by groups", 10.0, 0.05, 0.002, 1.0),
        Case {
            users: failing,
            ..case("the canary always fails 3 % of users, 20/s, weight 5 %", 20.0, 0.05, 0.002, 0.002)
        },
    ]
}

/// Share of slow successes that finish after a cut, and so are missing when counting begins: see `starts`.
fn starts(counted_at_the_end: bool) -> Case {
    let name = match counted_at_the_end {
        true => "slow starts: counting begins at the end of requests (wrong)",
        false => "slow starts: only requests that began after the cut",
    };
    // Errors come at once and successes after a minute on average: of the canary's requests of the first minute, only those
    // successes are counted that have ended. The cut is at each step: minutes 1, 25, 49, 73, 97.
    Case {
        rates: Box::new(move |look, _| {
            let first = counted_at_the_end && look % 24 == 1;
            // Mean share of a minute's requests with exponential durations of 60 s that end within it.
            let ended = if first { (-1.0f64).exp() } else { 1.0 };
            vec![Arms { stable: 0.02, canary: 0.02 / (0.02 + 0.98 * ended) }]
        }),
        weight: Box::new(|look| 0.1 + 0.08 * f64::from((look - 1) / 24)),
        ..edge(case(name, 100.0, 0.1, 0.02, 0.02))
    }
}

/// Requests that never end at the canary, without a timeout.
fn hanging(name: &'static str, share: f64) -> Case {
    Case {
        change: Box::new(move |memory, look, batch, random| {
            let total = batch.guards.first().map(Tally::total).unwrap_or_default();
            let [stable_open, canary_open, stable, canary] = &mut memory.numbers;
            // Of stable's requests 1 in 1,000 takes longer than two minutes; they are open at one look or two.
            *stable_open = random.binomial(total.stable.all, 0.001) as f64;
            *canary_open += random.binomial(total.canary.all, share) as f64;
            *stable += total.stable.all as f64;
            *canary += total.canary.all as f64;
            let slow = random.binomial(total.canary.all, 0.001) as f64;
            let open = |begun: f64, open: f64| Open { begun: begun as u64, open: open.min(begun) as u64 };
            let open =
                Arms { stable: open(*stable, *stable_open), canary: open(*canary, *canary_open + slow) };
            Some(Batch { open: (look > 2).then_some(open), ..batch })
        }),
        ..case(name, 10.0, 0.05, 0.002, 0.002)
    }
}

fn leaking(name: &'static str, served: f64) -> Case {
    Case {
        change: Box::new(move |_, _, batch, random| {
            let assigned = batch.guards.first().map(|tally| tally.total().canary.all).unwrap_or_default();
            let served = Served { assigned, served: random.binomial(assigned, served) };
            Some(Batch { served: Some(served), ..batch })
        }),
        ..case(name, 100.0, 0.05, 0.002, 0.002)
    }
}

pub(crate) fn data() -> Vec<Case> {
    let ratio = |name, users, weight: f64, told: f64| Case {
        users,
        change: Box::new(move |_, _, batch, _| Some(Batch { weight: Some((told * 1e6) as u32), ..batch })),
        ..case(name, 10.0, weight, 0.002, 0.002)
    };
    vec![
        ratio("sample ratio: 2,000 users, spread 1, weight 5 %", all_users(1.0), 0.05, 0.05),
        ratio("sample ratio: 2,000 users, spread 2, weight 5 %", all_users(2.0), 0.05, 0.05),
        ratio("sample ratio: 2,000 users, spread 1, weight 50 %", all_users(1.0), 0.5, 0.5),
        ratio("sample ratio: 2,000 users, spread 2, weight 50 %", all_users(2.0), 0.5, 0.5),
        ratio("sample ratio: independent requests, weight 50 %", Box::new(|_| Vec::new()), 0.5, 0.5),
        ratio("sample ratio: 5 % is told, 4 % is true", Box::new(|_| Vec::new()), 0.04, 0.05),
        ratio("sample ratio: 50 % is told, 45 % is true, 2,000 users, spread 1", all_users(1.0), 0.45, 0.5),
        starts(true),
        starts(false),
        hanging("hang: nothing hangs", 0.0),
        hanging("hang: 1 % of the canary's requests never end", 0.01),
        hanging("hang: 5 % of the canary's requests never end", 0.05),
        hanging("hang: all of the canary's requests never end", 1.0),
        leaking("leak: all are served", 1.0),
        leaking("leak: 90 % are served", 0.9),
        Case {
            rates: rates(0.002, 0.002),
            ..plain(case("without groups nothing of this is checked, and it says so", 10.0, 0.05, 0.0, 0.0))
        },
    ]
}
