//! Mutations of a corpus, a bounded number of them.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

/// The longest input: beyond what a proxy lets through by default (60 KiB of headers).
const MAX_INPUT: usize = 70_000;
/// How many inputs with new outcomes are kept in a run.
const MAX_KEPT: usize = 4_096;

/// How many inputs a test makes: few enough for a debug build.
const CASES: u64 = 100_000;

/// Gives `property` every file of the corpus, then as many mutations of them as `COALMINE_FUZZ_CASES` says. What it
/// returns is the kind of the outcome: an input with a new one is worth being mutated further.
pub(crate) fn fuzz(target: &str, dictionary: &[&str], property: impl Fn(&[u8]) -> String) {
    let number = |name: &str, otherwise: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")),
        Err(_) => otherwise,
    };
    let (count, seed) = (number("COALMINE_FUZZ_CASES", CASES), number("COALMINE_FUZZ_SEED", 1));
    println!("{target}: {count} cases of seed {seed}");
    let mut random = Random(seed);
    let mut corpus = corpus(target);
    let files = corpus.len();
    let mut outcomes = BTreeSet::new();
    for (case, input) in (0..).zip(&corpus) {
        outcomes.insert(outcome(target, seed, case, input, &property));
    }
    for case in (files as u64..).take(count as usize) {
        let input = mutation(&mut random, &corpus, dictionary);
        let outcome = outcome(target, seed, case, &input, &property);
        if outcomes.len() < MAX_KEPT && outcomes.insert(outcome) {
            corpus.push(input);
        }
    }
    println!("{target}: {files} files and {count} mutations of them, {} outcomes", outcomes.len());
}

fn outcome(target: &str, seed: u64, case: u64, input: &[u8], property: impl Fn(&[u8]) -> String) -> String {
    catch_unwind(AssertUnwindSafe(|| property(input))).unwrap_or_else(|failure| {
        println!(
            "{target}: case {case} of seed {seed} fails; keep it in the corpus:\n{}",
            input.escape_ascii()
        );
        resume_unwind(failure)
    })
}

/// The files of a corpus in the order of their names, so that every run sees the same.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "{}", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// SplitMix64 (Guy Steele and others, 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..count`; 0 of nothing.
    fn below(&mut self, count: usize) -> usize {
        self.next().checked_rem(count as u64).unwrap_or_default() as usize
    }

    fn one_of<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    /// A range within `length`, most often a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = length - start;
        let size = if self.below(4) == 0 { self.below(most + 1) } else { self.below(most.min(8) + 1) };
        start..start + size
    }
}

/// An input of the corpus, changed once to eight times.
fn mutation(random: &mut Random, corpus: &[Vec<u8>], dictionary: &[&str]) -> Vec<u8> {
    let mut input = random.one_of(corpus).clone();
    for _ in 0..1 + random.below(4) * random.below(3) {
        mutate(random, &mut input, corpus, dictionary);
    }
    input.truncate(MAX_INPUT);
    input
}

fn mutate(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>], dictionary: &[&str]) {
    let range = random.range(input.len());
    match random.below(16) {
        0 => drop(input.drain(range)),
        1 => {
            if let Some(byte) = input.get_mut(range.start) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            let byte = random.next() as u8;
            input.insert(range.start, byte);
        }
        3 => {
            if let Some(byte) = input.get_mut(range.start) {
                *byte = *random.one_of(b"\0 \t\n\"%&+,-./09:;<=>?@AZ[\\]az{|}~\x7f\x80\xc3\xff");
            }
        }
        4 => {
            let copy = input[range].to_vec();
            let place = random.below(input.len() + 1);
            input.splice(place..place, copy);
        }
        5 | 6 => {
            let other = random.one_of(corpus);
            let part = other[random.range(other.len())].to_vec();
            input.splice(range, part);
        }
        7 if random.below(32) == 0 => {
            // Far longer than anything that is meant.
            let part = input[range.clone()].repeat(1 + random.below(MAX_INPUT) / (range.len() + 1));
            input.splice(range, part);
        }
        8 => {
            let number = *random.one_of(&[0, 1, 5, 100, 255, 1_000_000, 1_000_001, u64::MAX]);
            input.splice(range, number.to_string().into_bytes());
        }
        7 => input.rotate_left(range.start),
        9..=12 => drop(input.splice(range.start..range.start, random.one_of(dictionary).bytes())),
        _ => drop(input.splice(range, random.one_of(dictionary).bytes())),
    }
}
