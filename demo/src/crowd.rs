//! Five thousand users, and what they see.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use coalmine_harness::load::{self, Load, Shape};
use coalmine_harness::{Lab, get};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use indicatif::{ProgressBar, ProgressStyle};

use coalmine_harness::Preview;

const USERS: usize = 5000;
/// How often each user comes; once of these with a forged header.
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 24;
const HOST: &str = "shop.example";
/// The load during the change of the weight.
const LOAD: Shape = Shape { http1: 12, http2: 4, streams: 4, pause: Duration::from_millis(1) };

/// How many rounds of all users that load makes before the change, and again after it. On average: a lane may be
/// slow, and yet everybody shall come under both policies.
const ROUNDS_EACH: usize = 3;

/// The users, by name.
#[derive(Debug)]
pub(crate) struct Crowd {
    users: Arc<Vec<String>>,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) user: String,
    /// The variant that the client tried to choose.
    pub(crate) forged: Option<&'static str>,
    /// The variant that answered; `None` when the request failed.
    pub(crate) variant: Option<&'static str>,
}

/// What was seen while the weight changed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// How long after the rename a request first followed the new policy.
    pub(crate) delay: Duration,
    /// What each user got, under the old policy and under the new one, as Envoy's log tells which was in force.
    pub(crate) seen: [HashMap<String, Vec<&'static str>>; 2],
}

// === impl Crowd ===

impl Default for Crowd {
    fn default() -> Self {
        Self { users: Arc::new((1..=USERS).map(|number| format!("user-{number:04}")).collect()) }
    }
}

impl Crowd {
    pub(crate) fn users(&self) -> &[String] {
        &self.users
    }

    /// Every user comes several times; once with a header that asks for the variant that is not theirs.
    pub(crate) async fn visit(&self, lab: &Lab, preview: &Preview) -> Result<Vec<Visit>> {
        let plan: Arc<Vec<Visit>> =
            Arc::new((0..USERS * ROUNDS).map(|index| self.plan(index, preview)).collect());
        let bar = ProgressBar::new(plan.len() as u64).with_style(bar_style()?);
        let (asked, answered, progress) = (Arc::clone(&plan), Arc::clone(&plan), bar.clone());
        let visits = load::send_all(
            lab.address(),
            CONNECTIONS,
            plan.len(),
            move |index| request(asked.get(index).context("no such visit")?),
            move |index, answer| {
                progress.inc(1);
                answered.get(index).map(|plan| Visit { variant: answer.variant(), ..plan.clone() })
            },
        )
        .await?;
        bar.finish_and_clear();
        Ok(visits.into_iter().flatten().collect())
    }

    fn plan(&self, index: usize, preview: &Preview) -> Visit {
        let (user, round) = (index % USERS, index / USERS);
        let name = self.users.get(user).cloned().unwrap_or_default();
        let other = if preview.variant(&name) == "canary" { "stable" } else { "canary" };
        let forged = ((user + round) % ROUNDS == 0).then_some(other);
        Visit { user: name, forged, variant: None }
    }

    /// Puts the second policy in force while requests are in flight, and lets everybody come under both.
    pub(crate) async fn change(&self, lab: &Lab, policy: &str) -> Result<Change> {
        let users = Arc::clone(&self.users);
        let load = Load::start(lab.address(), LOAD, USERS, move |index| {
            let user = users.get(index).cloned().context("no such user")?;
            request(&Visit { user, forged: None, variant: None })
        })
        .await?;
        let spinner =
            ProgressBar::new_spinner().with_message("raising the weight while requests are in flight");
        spinner.enable_steady_tick(Duration::from_millis(100));
        load.go_on(ROUNDS_EACH * USERS).await?;
        let renamed = lab.replace_policy(policy)?;
        load.go_on(ROUNDS_EACH * USERS).await?;
        let visits = load.stop().await?;
        spinner.finish_and_clear();

        let entries = lab.logged_requests(USERS * ROUNDS + visits.len()).await?;
        let revisions: HashMap<&str, (usize, SystemTime)> = entries
            .iter()
            .map(|entry| {
                let is_new = entry.revision.as_deref() == Some("2");
                (entry.request_id.as_str(), (usize::from(is_new), entry.start))
            })
            .collect();
        let mut change = Change { requests: visits.len(), ..Change::default() };
        let mut first: Option<SystemTime> = None;
        for visit in visits {
            let revision = visit.request_id.as_deref().and_then(|id| revisions.get(id));
            let (Some(variant), Some(&(revision, start))) = (visit.variant, revision) else {
                change.failed += 1;
                continue;
            };
            if revision == 1 {
                first = Some(first.map_or(start, |first| first.min(start)));
            }
            let user = self.users.get(visit.user).cloned().unwrap_or_default();
            if let Some(seen) = change.seen.get_mut(revision) {
                seen.entry(user).or_default().push(variant);
            }
        }
        let first = first.context("no request followed the new policy")?;
        change.delay = first.duration_since(renamed).unwrap_or_default();
        Ok(change)
    }
}

fn request(visit: &Visit) -> Result<Request<Empty<Bytes>>> {
    let request = get(HOST).header("x-user-id", &visit.user);
    let request = match visit.forged {
        Some(variant) => request.header("x-coalmine-variant", variant),
        None => request,
    };
    Ok(request.body(Empty::new())?)
}

fn bar_style() -> Result<ProgressStyle> {
    Ok(ProgressStyle::with_template("  {bar:40} {human_pos} of {human_len} requests, {per_sec}")?)
}
