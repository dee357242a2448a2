//! Verbs. Each has a page that asks once more, with a message; what it shows is what is done, or nothing is.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use coalmine_steer::text::percent;
use coalmine_steer::{Phase, Request, verbs};
use maud::{Markup, html};

use super::page::{Page, Stop};
use super::visitor::{Fields, Posted, Visitor};
use super::{Dashboard, rollout, words};
use crate::access::May;
use crate::api::shapes::Trouble;
use crate::api::verbs::{MAX_MESSAGE, is_short};
use crate::operations::{self, Asked, Refused};
use crate::rollout::{Name, Record};
use crate::server::Server;
use crate::snapshot::Parsed;
use crate::store::Stored;

/// How often a verb is begun again while the judge writes down what it has seen.
const ATTEMPTS: usize = 5;

/// What somebody can say on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Approve,
    Advance,
    Promote,
    Pause,
    Resume,
    Rollback,
}

const ALL: [Verb; 7] =
    [Verb::Start, Verb::Approve, Verb::Resume, Verb::Advance, Verb::Promote, Verb::Pause, Verb::Rollback];

// === impl Verb ===

impl Verb {
    fn of(word: &str) -> Option<Self> {
        ALL.into_iter().find(|verb| verb.word() == word)
    }

    /// As the API has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Approve => "approve",
            Self::Advance => "advance",
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
        }
    }

    /// As a button has it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Start => "Start a release",
            Self::Approve => "Approve",
            Self::Advance => "Advance",
            Self::Promote => "Promote",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Rollback => "Roll back",
        }
    }

    /// Whether it takes users off the canary.
    pub(super) fn is_back(self) -> bool {
        self == Self::Rollback
    }

    fn request(self, new_users: bool, by: String, message: String) -> Request {
        let verb = match self {
            Self::Start => verbs::Verb::Start { new_users },
            Self::Approve => verbs::Verb::Approve,
            Self::Advance => verbs::Verb::Advance,
            Self::Promote => verbs::Verb::Promote,
            Self::Pause => verbs::Verb::Pause,
            Self::Resume => verbs::Verb::Resume,
            Self::Rollback => verbs::Verb::Rollback,
        };
        Request { verb, by, message }
    }

    /// What it does, in a sentence.
    fn does(self, parsed: &Parsed) -> String {
        let state = &parsed.stored.record.state;
        let plan = parsed.spec.as_ref().ok().and_then(|spec| spec.plan.as_ref());
        let next = plan.and_then(|plan| plan.next(state.weight));
        match self {
            Self::Start => match plan.and_then(|plan| plan.steps.first()) {
                Some(step) => format!("The canary gets its first users: {} %.", percent(step.weight)),
                None => "The canary gets its first users.".to_owned(),
            },
            Self::Approve => format!(
                "The step at {} % is approved. The rollout goes on when the evidence allows it.",
                percent(state.weight)
            ),
            Self::Advance => match next {
                Some(step) => format!(
                    "The canary goes from {} % to {} % now, without waiting for the evidence.",
                    percent(state.weight),
                    percent(step.weight)
                ),
                None => "This was the last step: the canary gets all users now.".to_owned(),
            },
            Self::Promote => match state.said.phase {
                Phase::Promoting => {
                    "You say that stable is renewed: it runs the canary's version, and users walk back to it."
                        .to_owned()
                }
                _ => "The canary gets all users now, without waiting for the evidence.".to_owned(),
            },
            Self::Pause => {
                "No weight goes up until somebody resumes. Judging and rollbacks go on.".to_owned()
            }
            Self::Resume => "The rollout goes on when the evidence allows it.".to_owned(),
            Self::Rollback => "All users go back to stable.".to_owned(),
        }
    }

    /// What of a rollout must be the same as when somebody was asked.
    fn seen(self, record: &Record) -> String {
        let state = &record.state;
        let release = state.release.as_ref().map_or(0, |release| release.number);
        match self {
            // Users are sent back, or stay where they are, from whatever weight that release has now.
            Self::Pause | Self::Resume | Self::Rollback => release.to_string(),
            _ => format!("{release} {} {}", state.weight, state.said.phase),
        }
    }
}

/// What this visitor can say now: steering is asked, and nothing is done.
pub(super) async fn possible(server: &Server, visitor: &Visitor, parsed: &Parsed) -> Result<Vec<Verb>, Stop> {
    let Some(plan) = parsed.spec.as_ref().ok().and_then(|spec| spec.plan.as_ref()) else {
        return Ok(Vec::new());
    };
    let record = &parsed.stored.record;
    let state = &record.state;
    let is_wanted = plan.step_at(state.weight).is_some_and(|step| step.approval);
    let mut possible = Vec::new();
    for verb in ALL {
        // It may be said of each step, and is of use where one is asked for.
        if verb == Verb::Approve && !is_wanted {
            continue;
        }
        let by = visitor.sender.by();
        let asked = Asked { by: &by, expected: None, release: None, dry_run: true, answer: None };
        let request = verb.request(false, by.clone(), String::new());
        match operations::act(server, &record.name, &request, &asked).await {
            Ok(written) if written.is_changed => possible.push(verb),
            Ok(_) | Err(Refused::Refusal(_) | Refused::Changed | Refused::Unknown | Refused::Invalid(_)) => {}
            Err(Refused::Store(error)) => return Err(error.into()),
        }
    }
    Ok(possible)
}

pub(super) async fn ask(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    Path((namespace, name, verb)): Path<(String, String, String)>,
) -> Result<Response, Stop> {
    let (name, verb) = said(&visitor, &namespace, &name, &verb).await?;
    asked(&dashboard, &visitor, &name, verb, &Fields::default(), None).await
}

pub(super) async fn act(
    State(dashboard): State<Dashboard>,
    Path((namespace, name, verb)): Path<(String, String, String)>,
    Posted { browser, fields }: Posted,
) -> Result<Response, Stop> {
    let visitor = Visitor::of(&dashboard, browser).await;
    let back = format!("/rollouts/{namespace}/{name}");
    let visitor = visitor.map_err(|denial| Stop::denied(&denial, &super::visitor::path_back(&back)))?;
    let (name, verb) = said(&visitor, &namespace, &name, &verb).await?;
    is_short(&fields.message)?;
    let by = visitor.sender.by();
    let request = verb.request(fields.new_users.is_some(), by.clone(), fields.message.trim().to_owned());
    for _ in 0..ATTEMPTS {
        let stored = dashboard.app.server.store().record(&name).await?.ok_or_else(rollout::unknown)?;
        if verb.seen(&stored.record) != fields.seen {
            let why = "The rollout has moved since this page was made, and nothing was done. This is how it stands now.";
            return asked(&dashboard, &visitor, &name, verb, &fields, Some(why)).await;
        }
        let asked_for =
            Asked { by: &by, expected: Some(stored.version), release: None, dry_run: false, answer: None };
        match operations::act(&dashboard.app.server, &name, &request, &asked_for).await {
            Ok(_) => return Ok(Redirect::to(&format!("/rollouts/{name}")).into_response()),
            Err(Refused::Changed) => {}
            Err(Refused::Refusal(why)) => {
                let why = format!("It was not done: {why}.");
                return asked(&dashboard, &visitor, &name, verb, &fields, Some(&why)).await;
            }
            Err(refused) => return Err(Trouble::of(refused, "").into()),
        }
    }
    Err(Stop::new(StatusCode::CONFLICT, "somebody else changes it all the time; nothing was done, try again"))
}

/// What a path says, where this visitor may say it.
async fn said(visitor: &Visitor, namespace: &str, name: &str, verb: &str) -> Result<(Name, Verb), Stop> {
    let name = rollout::named(visitor, namespace, name).await?;
    let verb = Verb::of(verb)
        .ok_or_else(|| Stop::new(StatusCode::NOT_FOUND, "there is no such verb on these pages"))?;
    visitor.sender.must(May::Operate, &name).await?;
    Ok((name, verb))
}

/// The page that asks. What was not done before is said with the status for it.
async fn asked(
    dashboard: &Dashboard,
    visitor: &Visitor,
    name: &Name,
    verb: Verb,
    fields: &Fields,
    refused: Option<&str>,
) -> Result<Response, Stop> {
    let server = &dashboard.app.server;
    let stored: Stored = server.store().record(name).await?.ok_or_else(rollout::unknown)?;
    let frozen = server.store().frozen().await?;
    let parsed = Parsed::new(stored);
    let record = &parsed.stored.record;
    let body = html! {
        section.narrow {
            h1 { (verb.label()) ": " (name) }
            @if let Some(why) = refused { p.banner.waits role="alert" { (why) } }
            p.lead { (verb.does(&parsed)) }
            dl.facts {
                div { dt { "Phase" } dd { (words::phase(record.state.said.phase)) } }
                div { dt { "Weight of the canary" } dd { (words::weight(record.state.weight)) } }
                div { dt { "Says" } dd { (record.state.said.message) } }
            }
            form method="post" action={ "/rollouts/" (name) "/" (verb.word()) } {
                input type="hidden" name="code" value=(visitor.code(dashboard));
                input type="hidden" name="seen" value=(verb.seen(record));
                (message(&fields.message))
                @if verb == Verb::Start && record.state.said.phase == Phase::RolledBack {
                    p {
                        input #new-users type="checkbox" name="new_users" value="yes";
                        label for="new-users" { " Draw users anew: others than the last time get the canary" }
                    }
                }
                p.choice {
                    button.danger[verb.is_back()] type="submit" { (verb.label()) }
                    a.button.quiet href={ "/rollouts/" (name) } { "Cancel" }
                }
            }
        }
    };
    let title = format!("{}: {name}", verb.label());
    let page = Page { title: &title, follows: None, frozen: frozen.as_deref(), body };
    let mut response = page.answer(dashboard, visitor);
    if refused.is_some() {
        *response.status_mut() = StatusCode::CONFLICT;
    }
    Ok(response)
}

/// The field for the reason.
pub(super) fn message(said: &str) -> Markup {
    html! {
        p {
            label for="message" { "Why, for history (may stay empty)" }
            textarea #message name="message" rows="2" maxlength=(MAX_MESSAGE) { (said) }
        }
    }
}
