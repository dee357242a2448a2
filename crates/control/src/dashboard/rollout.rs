//! One rollout.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use coalmine_steer::text::{percent, thousands};
use coalmine_steer::{Condition, Outcome, Plan};
use maud::{Markup, html};
use serde::Deserialize;

use super::confirm::{self, Verb};
use super::history::History;
use super::page::{Page, Stop};
use super::visitor::Visitor;
use super::{Dashboard, evidence, list, proxies, words};
use crate::access::May;
use crate::rollout::Name;
use crate::server::Seen;
use crate::snapshot::Parsed;

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<u64>,
}

/// The rollout that a path names, where this visitor may see it. What they may not see is not there.
pub(super) async fn named(visitor: &Visitor, namespace: &str, name: &str) -> Result<Name, Stop> {
    let name = Name::new(namespace, name).map_err(|_| unknown())?;
    if visitor.sender.may(May::Read, &name).await? { Ok(name) } else { Err(unknown()) }
}

pub(super) fn unknown() -> Stop {
    Stop::new(StatusCode::NOT_FOUND, "there is no such rollout, or you may not see it")
}

pub(super) async fn show(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    Path((namespace, name)): Path<(String, String)>,
    Query(Before { before }): Query<Before>,
) -> Result<Response, Stop> {
    let name = named(&visitor, &namespace, &name).await?;
    let server = &dashboard.app.server;
    let (snapshot, view, now) = (server.snapshot().await?, server.view(), server.now());
    let parsed = snapshot.rollouts.get(&name).ok_or_else(unknown)?;
    let history = History::read(server, &name, before).await?;
    let nothing = Seen::default();
    let seen = view.rollouts.get(&name).unwrap_or(&nothing);
    let plan = parsed.spec.as_ref().ok().and_then(|spec| spec.plan.as_ref());
    let says_verbs = !dashboard.read_only && visitor.sender.may(May::Operate, &name).await?;
    let verbs = if says_verbs { confirm::possible(server, &visitor, parsed).await? } else { Vec::new() };
    let state = &parsed.stored.record.state;
    let proxies = proxies::of_rollout(&dashboard, &visitor, &name).await;
    let body = html! {
        p.crumbs { a href="/" { "Rollouts" } " / " a href={ "/?namespace=" (name.namespace()) } { (name.namespace()) } }
        h1 { (name) " " (words::phase(state.said.phase)) }
        p.lead { (list::why(parsed, &view)) }
        (actions(&name, &verbs))
        (conditions(&seen.conditions, &state.said.message))
        (facts(parsed, plan, now))
        (history.picture(state, now))
        @if let Some(plan) = plan { (evidence::show(plan, state)) }
        (proxies)
        (history.table(&name))
        details #document {
            summary { "The document, as it was written" }
            pre tabindex="0" { (parsed.stored.record.written) }
        }
    };
    // An old page of history stays as it is.
    let follows = before.is_none().then_some(name.as_str());
    let page = Page { title: name.as_str(), follows, frozen: snapshot.frozen.as_deref(), body };
    Ok(page.answer(&dashboard, &visitor))
}

fn actions(name: &Name, verbs: &[Verb]) -> Markup {
    html! {
        @if !verbs.is_empty() {
            nav.actions aria-label="What you can do" {
                @for verb in verbs {
                    a.button.danger[verb.is_back()] #{ "verb-" (verb.word()) } href={ "/rollouts/" (name) "/" (verb.word()) } {
                        (verb.label())
                    }
                }
            }
        }
    }
}

fn conditions(conditions: &[Condition], message: &str) -> Markup {
    // What stands in the sentence above is not said twice.
    let others: Vec<&Condition> =
        conditions.iter().filter(|condition| !message.contains(&condition.message)).collect();
    html! {
        @if !others.is_empty() {
            section aria-labelledby="conditions" {
                h2 #conditions { "Also good to know" }
                ul.conditions {
                    @for condition in others {
                        li {
                            @if condition.holds { span.badge.waits { "holds" } } @else { span.badge.idle { "note" } }
                            " " (condition.message)
                        }
                    }
                }
            }
        }
    }
}

fn facts(parsed: &Parsed, plan: Option<&Plan>, now: u64) -> Markup {
    let state = &parsed.stored.record.state;
    html! {
        section aria-label="Where it is" {
            dl.facts {
                div { dt { "Weight of the canary" } dd.large { (words::weight(state.weight)) } }
                div { dt { "Verdict" } dd {
                    (words::verdict(state.said.verdict))
                    // Before the first tick it has not been said yet.
                    @if state.said.since > 0 { ", since " (words::since(state.said.since, now)) }
                } }
                @if let Some(plan) = plan {
                    div {
                        dt { "Steps" }
                        dd {
                            ol.steps {
                                @for step in &plan.steps {
                                    li aria-current=[(plan.step_at(state.weight) == Some(step)).then_some("step")] {
                                        (percent(step.weight)) " %"
                                        @if step.approval { " (approval)" }
                                    }
                                }
                            }
                        }
                    }
                }
                @if let Some(release) = &state.release {
                    div {
                        dt { "Release" }
                        dd {
                            (release.number) ", started " (words::since(release.started, now))
                            @if let Some(outcome) = release.outcome { ", " (outcome_in_words(outcome)) }
                        }
                    }
                    @if let Some(version) = &release.canary { div { dt { "Version of the canary" } dd { (version) } } }
                    @if let Some(version) = &release.stable { div { dt { "Version of stable" } dd { (version) } } }
                    div { dt { "Judged requests at this weight" } dd { (thousands(release.here.requests)) } }
                    @if let Some(hand) = &release.here.approved { div { dt { "Approved" } dd { "by " (hand) } } }
                }
                @if let Some(hand) = &state.paused { div { dt { "Paused" } dd { "by " (hand) ", " (words::since(hand.at, now)) } } }
                @if let Some(hand) = &state.no_rollback {
                    div { dt { "Rollbacks forbidden" } dd { "by " (hand) ", " (words::since(hand.at, now)) } }
                }
                @if let Some(spec) = parsed.spec.as_ref().ok().filter(|spec| spec.plan.is_none()) {
                    div {
                        dt { "Weights of the file" }
                        dd { @for (variant, weight) in &spec.weights { span { (variant) " " (words::weight(*weight)) " " } } }
                    }
                }
            }
        }
    }
}

fn outcome_in_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
        Outcome::Superseded => "superseded",
    }
}
