//! Random histories: plans, evidence, crashes between any two writes, clocks that jump, proxies that lag or leave, and verbs
//! at any moment. What must hold is checked at every step, against a bookkeeping of its own.
//!
//! `COALMINE_STEER_CASES` says how many, `COALMINE_STEER_SEED` repeats a run. A history that fails is made as short as it
//! can be, and printed moment by moment.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

macro_rules! must {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}

mod check;
mod moments;
mod told;

use moments::{Op, Setup, histories};
use told::{Seen, Told};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// Plays a history; the reason why it breaks a promise, if it does.
fn play(setup: &Setup, ops: &[Op]) -> Result<Told, String> {
    let mut told = Told::new(setup);
    for op in ops {
        told.play(op)?;
    }
    told.replay()?;
    Ok(told)
}

#[test]
fn no_history_breaks_a_promise() {
    let cases = number("COALMINE_STEER_CASES", 800);
    let seed = number("COALMINE_STEER_SEED", 20_261_126);
    println!("seed {seed}, {cases} histories");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let seen = std::cell::RefCell::new(Seen::default());
    let result = runner.run(&histories(), |(setup, ops)| match play(&setup, &ops) {
        Ok(told) => {
            seen.borrow_mut().add(&told.seen);
            Ok(())
        }
        Err(why) => Err(proptest::test_runner::TestCaseError::fail(why)),
    });
    if let Err(TestError::Fail(why, (setup, ops))) = &result {
        println!("{why}\n{setup:#?}");
        let mut told = Told::new(setup);
        for op in ops {
            let outcome = told.play(op);
            println!("{op:?}\n    {}", told.line());
            if outcome.is_err() {
                break;
            }
        }
        panic!("{why}; the history is above, seed {seed}");
    }
    result.unwrap();
    let seen = seen.into_inner();
    println!("{seen:?}");
    // A test that never gets anywhere holds nothing.
    assert!(
        seen.advanced > cases / 4 && seen.rolled_back > cases / 20 && seen.promoted > cases / 100,
        "the histories lead nowhere: {seen:?}"
    );
}
