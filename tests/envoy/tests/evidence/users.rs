//! Who sends the requests: users who are drawn, and some who say nothing about a draw.

use coalmine_core::Reason;
use coalmine_envoy_tests::{token, user};

use super::SECRET;
use coalmine_envoy_tests::random::Random;

/// How many users are drawn.
const USERS: usize = 1_000;
/// The users whom the policy pins, with their variants.
pub(super) const PINNED: [(&str, &str); 2] = [("pinned-to-canary", "canary"), ("pinned-to-stable", "stable")];

/// A user.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: Option<String>,
    pub(super) token: Option<String>,
    /// Why this user gets a variant.
    pub(super) sort: Reason,
}

/// All users, some of whom send no name, are pinned, or have a token.
pub(super) struct Users {
    token: String,
}

// === impl Users ===

impl Users {
    pub(super) fn new(rollout: &str) -> Self {
        Self { token: token(SECRET, rollout, "canary", 3600).unwrap() }
    }

    /// One of them: nine in ten are drawn.
    pub(super) fn pick(&self, random: &mut Random) -> User {
        let name = Some(user(random.below(USERS)));
        match random.below(30) {
            0 => User { name: None, token: None, sort: Reason::NoIdentity },
            1 => {
                let pinned = PINNED[random.below(PINNED.len())].0;
                User { name: Some(pinned.to_owned()), token: None, sort: Reason::Pinned }
            }
            2 => User { name, token: Some(self.token.clone()), sort: Reason::Override },
            _ => User { name, token: None, sort: Reason::Bucket },
        }
    }
}
