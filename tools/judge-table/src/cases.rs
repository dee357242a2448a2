//! Rows on what is promised, and rows that try to break it. A look is a minute unless the row says otherwise.

use coalmine_judge::simulate::{Random, User};
use coalmine_judge::{Arms, Batch, Config, Counts, GuardConfig, Margin};

use crate::rows::{Case, Rates, Rule};

/// The same rates at every look.
pub(crate) fn rates(stable: f64, canary: f64) -> Rates {
    Box::new(move |_, _| vec![Arms { stable, canary }])
}

/// Row with independent users at a constant weight, looked at for two hours.
pub(crate) fn case(name: &'static str, per_second: f64, weight: f64, stable: f64, canary: f64) -> Case {
    Case {
        name,
        requests: 60.0 * per_second,
        looks: 120,
        weight: Box::new(move |_| weight),
        rates: rates(stable, canary),
        users: Box::new(|_| Vec::new()),
        change: Box::new(|_, _, batch, _| Some(batch)),
        config: Config::default(),
        one_in: 1,
        rule: Rule::Errors,
    }
}

/// 1, 5, 10, 25 and 50 %, 24 minutes each.
fn ramp(look: u32) -> f64 {
    match (look - 1) / 24 {
        0 => 0.01,
        1 => 0.05,
        2 => 0.1,
        3 => 0.25,
        _ => 0.5,
    }
}

/// The same, 3 minutes each.
fn fast_ramp(look: u32) -> f64 {
    ramp(8 * (look - 1) + 1)
}

/// Ten minutes with a tenth of all requests failing, from minute 97 on: at the step from 25 to 50 %.
fn incident(look: u32) -> f64 {
    if (97..107).contains(&look) { 0.1 } else { 0.002 }
}

/// With each guard made into another.
fn with_guards(case: Case, make: impl Fn(GuardConfig) -> GuardConfig) -> Case {
    let guards = case.config.guards.into_iter().map(make).collect();
    Case { config: Config { guards, ..case.config }, ..case }
}

/// Margin 1/0: harm is any difference, so a harmless canary is at the edge, where false alarms are most likely.
pub(crate) fn edge(case: Case) -> Case {
    with_guards(case, |guard| GuardConfig { worse_than: Margin { times: 1.0, plus: 0.0 }, ..guard })
}

/// Harm begins where safety ends: the canary is not rolled back, and whether it is called safe can be seen to the end.
fn unsafe_only(case: Case) -> Case {
    with_guards(case, |guard| GuardConfig { worse_than: guard.safe_within, ..guard })
}

/// Without groups.
pub(crate) fn plain(case: Case) -> Case {
    with_guards(case, |guard| GuardConfig { groups: false, ..guard })
}

fn latency() -> Config {
    Config { guards: vec![GuardConfig::latency()], ..Config::default() }
}

/// Log-normal durations with a deviation of 0.5: 10 % of stable's are slower than the guard's threshold, and its 99th
/// percentile is 380 ms. The canary's are 20 % longer. The last tally is for the rule: requests above 500 ms.
fn slower(name: &'static str, per_second: f64) -> Case {
    let rates: Rates =
        Box::new(|_, _| vec![Arms { stable: 0.1, canary: 0.1794 }, Arms { stable: 0.0020, canary: 0.0060 }]);
    Case { rates, config: latency(), rule: Rule::Duration, ..case(name, per_second, 0.05, 0.0, 0.0) }
}

pub(crate) fn promised() -> Vec<Case> {
    vec![
        case("no change, 0.2 % errors, 10/s, weight 5 %", 10.0, 0.05, 0.002, 0.002),
        case("no change, 2 % errors, 10/s, weight 5 %", 10.0, 0.05, 0.02, 0.02),
        edge(case("no change, 2 %, margin 1/0: the edge of the null", 10.0, 0.05, 0.02, 0.02)),
        edge(plain(case("the same without groups", 10.0, 0.05, 0.02, 0.02))),
        Case {
            weight: Box::new(ramp),
            rates: Box::new(|look, _| vec![Arms { stable: incident(look), canary: incident(look) }]),
            ..case("ramp 1-5-10-25-50 %, incident in both arms, 10/s", 10.0, 0.0, 0.0, 0.0)
        },
        Case {
            weight: Box::new(fast_ramp),
            looks: 15,
            ..case("0.2 to 0.8 %, 1000/s, ramp 1-5-10-25-50 % in 15 minutes", 1000.0, 0.0, 0.002, 0.008)
        },
        edge(plain(Case {
            weight: Box::new(fast_ramp),
            looks: 15,
            ..case("the same without groups, margin 1/0", 1000.0, 0.0, 0.002, 0.008)
        })),
        case("0.2 to 1 %, 100/s, weight 5 %", 100.0, 0.05, 0.002, 0.01),
        plain(case("the same without groups", 100.0, 0.05, 0.002, 0.01)),
        edge(plain(case("the same without groups, margin 1/0", 100.0, 0.05, 0.002, 0.01))),
        case("0.2 to 10 %, 10/s, weight 5 %", 10.0, 0.05, 0.002, 0.1),
        plain(case("the same without groups", 10.0, 0.05, 0.002, 0.1)),
        slower("durations 20 % longer, 10/s, weight 5 %", 10.0),
        plain(slower("the same without groups", 10.0)),
        edge(plain(slower("the same without groups, margin 1/0", 10.0))),
        slower("durations 20 % longer, 100/s, weight 5 %", 100.0),
        plain(slower("the same without groups", 100.0)),
        edge(plain(slower("the same without groups, margin 1/0", 100.0))),
        Case {
            config: latency(),
            ..case("exact process, no change, 20 % slow, 10/s, weight 50 %", 10.0, 0.5, 0.2, 0.2)
        },
        unsafe_only(case(
            "at the edge of safety 2/1: 0.2 and 1.4 % errors, 10/s, weight 50 %",
            10.0,
            0.5,
            0.002,
            0.014,
        )),
        unsafe_only(Case {
            config: latency(),
            ..case(
                "exact process, at the edge of safety 1.5/2: 20 and 32 % slow, weight 50 %",
                10.0,
                0.5,
                0.2,
                0.32,
            )
        }),
        plain(Case {
            config: latency(),
            ..case("exact process, at the edge without groups", 10.0, 0.5, 0.2, 0.26)
        }),
        Case {
            config: latency(),
            ..case("exact process, at the edge: 20 and 26 % slow, 10/s, weight 50 %", 10.0, 0.5, 0.2, 0.26)
        },
    ]
}

/// The counts of each guard, made into others.
fn each(batch: Batch, mut make: impl FnMut(&Arms<Counts>) -> Arms<Counts>) -> Batch {
    Batch { guards: batch.guards.iter().map(|tally| tally.map(&mut make)).collect(), ..batch }
}

fn added(one: &Batch, other: &Batch) -> Batch {
    let guards = one.guards.iter().zip(&other.guards).map(|(one, other)| one.plus(other));
    Batch { guards: guards.collect(), ..one.clone() }
}

/// Errors come in bursts: one look in twenty has twenty times the errors.
fn burst(random: &mut Random) -> f64 {
    if random.share() < 0.05 { 0.04 } else { 0.002 }
}

pub(crate) fn hostile() -> Vec<Case> {
    let quiet = |name| case(name, 10.0, 0.05, 0.002, 0.002);
    let bots = |count: usize| -> crate::rows::Users {
        Box::new(move |random| {
            let mut users = User::crowd(count, 0.04, 0.0, 0.02, random);
            users.iter_mut().for_each(|user| user.bucket = 0.0);
            users
        })
    };
    let heavy =
        |bad: f64| -> crate::rows::Users { Box::new(move |random| User::crowd(1, 0.3, 0.0, bad, random)) };
    vec![
        Case {
            requests: 1.0,
            looks: 20_000,
            one_in: 20,
            rule: Rule::None,
            ..plain(case("a look at every request, no change, 2 %, weight 20 %", 0.0, 0.2, 0.02, 0.02))
        },
        Case {
            requests: 1.0,
            looks: 20_000,
            one_in: 20,
            rule: Rule::None,
            ..plain(case("a look at every request, 2 to 6 %, weight 20 %", 0.0, 0.2, 0.02, 0.06))
        },
        Case {
            weight: Box::new(|look| {
                0.01 + 0.49 * ((f64::from(look) * 12.9898).sin() * 43758.5).fract().abs()
            }),
            ..quiet("weight changes at every look, 1 to 50 %")
        },
        Case {
            looks: 1440,
            one_in: 5,
            rates: Box::new(|look, _| {
                let rate = 0.004 + 0.0035 * (f64::from(look) * std::f64::consts::TAU / 1440.0).sin();
                vec![Arms { stable: rate, canary: rate }]
            }),
            ..quiet("daily wave of the base rate, 0.05 to 0.75 %, one day")
        },
        Case {
            users: bots(1),
            ..quiet("one bot of the canary makes 44 % of its requests, 2 % of them errors")
        },
        Case {
            users: bots(20),
            ..quiet("20 bots of the canary make 44 % of its requests, 2 % of them errors")
        },
        Case { users: heavy(0.002), ..quiet("one user makes 30 % of all requests, as good as others") },
        Case { users: heavy(0.1), ..quiet("one user makes 30 % of all requests, 10 % of them errors") },
        Case {
            users: heavy(0.1),
            ..case("the same, and the canary is bad: 0.2 to 2 %, 100/s", 100.0, 0.05, 0.002, 0.02)
        },
        Case {
            rates: Box::new(|_, random| {
                let rate = burst(random);
                vec![Arms { stable: rate, canary: rate }]
            }),
            ..quiet("bursts of errors in both arms at once")
        },
        Case {
            rates: Box::new(|_, random| vec![Arms { stable: burst(random), canary: burst(random) }]),
            ..case(
                "bursts in each arm by itself (breaks an assumption), 10/s, weight 50 %",
                10.0,
                0.5,
                0.0,
                0.0,
            )
        },
        Case {
            change: Box::new(|_, _, batch, _| {
                Some(each(batch, |arms| {
                    arms.map(|counts| Counts::new(counts.all + counts.bad, 2 * counts.bad))
                }))
            }),
            ..quiet("retries: each error is counted twice (breaks an assumption)")
        },
        Case {
            change: Box::new(|_, look, batch, random| {
                let part = random.share();
                let mut cut = |counts: Counts| {
                    let bad = random.binomial(counts.bad, part);
                    Counts::new(bad + random.binomial(counts.all - counts.bad, part), bad)
                };
                Some(match look {
                    60 => each(batch, |arms| Arms { stable: cut(arms.stable), canary: cut(arms.canary) }),
                    _ => batch,
                })
            }),
            ..quiet("counters are reset in the middle of minute 60")
        },
        Case {
            change: Box::new(|memory, look, batch, _| {
                let sum = memory.kept.take().map_or(batch.clone(), |kept| added(&kept, &batch));
                match look {
                    60..65 => {
                        memory.kept = Some(sum);
                        None
                    }
                    _ => Some(sum),
                }
            }),
            ..quiet("the scrape fails for minutes 60 to 64")
        },
        Case {
            change: Box::new(|_, look, batch, _| {
                Some(match look {
                    60.. => each(batch, |arms| Arms { canary: Counts::default(), ..*arms }),
                    _ => batch,
                })
            }),
            ..quiet("the canary is silent from minute 60 on")
        },
        Case {
            rates: Box::new(|look, _| {
                vec![Arms { stable: 0.002, canary: if look <= 10 { 0.03 } else { 0.002 } }]
            }),
            ..case(
                "novelty: 3 % errors of the canary for 10 minutes, then 0.2 %, 100/s",
                100.0,
                0.05,
                0.0,
                0.0,
            )
        },
        case("a fault that both arms share: 5 % in both, 100/s", 100.0, 0.05, 0.05, 0.05),
        Case {
            config: latency(),
            ..case("a threshold that no request passes, weight 50 %", 10.0, 0.5, 0.0, 0.0)
        },
        Case {
            config: latency(),
            ..case("a threshold that all requests pass, weight 50 %", 10.0, 0.5, 1.0, 1.0)
        },
        Case {
            one_in: 2,
            ..case("5,000 rollouts at once, no change, 2 %, 100/s, weight 50 %", 100.0, 0.5, 0.02, 0.02)
        },
    ]
}
