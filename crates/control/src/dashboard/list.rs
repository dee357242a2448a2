//! All rollouts that somebody may see.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use coalmine_steer::{Phase, Verdict};
use maud::{Markup, html};
use serde::Deserialize;

use super::Dashboard;
use super::page::{Page, Stop};
use super::visitor::Visitor;
use super::words;
use crate::access::May;
use crate::server::View;
use crate::snapshot::Parsed;

#[derive(Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    namespace: String,
}

pub(super) async fn show(
    State(dashboard): State<Dashboard>,
    visitor: Visitor,
    Query(Filter { namespace }): Query<Filter>,
) -> Result<Response, Stop> {
    let server = &dashboard.app.server;
    let (snapshot, view) = (server.snapshot().await?, server.view());
    let mut seen: Vec<&Arc<Parsed>> = Vec::new();
    for (name, parsed) in &snapshot.rollouts {
        if visitor.sender.may(May::Read, name).await? {
            seen.push(parsed);
        }
    }
    let namespaces: BTreeSet<&str> =
        seen.iter().map(|parsed| parsed.stored.record.name.namespace()).collect();
    let chosen = namespaces.contains(namespace.as_str()).then_some(namespace.as_str());
    let is_shown =
        |parsed: &&&Arc<Parsed>| chosen.is_none_or(|chosen| parsed.stored.record.name.namespace() == chosen);
    let shown: Vec<&Arc<Parsed>> = seen.iter().filter(is_shown).copied().collect();
    let body = html! {
        h1 { "Rollouts" }
        @if namespaces.len() > 1 { (filter(&namespaces, chosen)) }
        p.summary { (summary(&shown)) }
        @if shown.is_empty() {
            p { "There is no rollout that you may see. " code { "coalmine apply FILE" } " writes one." }
        } @else {
            (table(&shown, &view))
        }
    };
    let page = Page { title: "Rollouts", follows: Some("*"), frozen: snapshot.frozen.as_deref(), body };
    Ok(page.answer(&dashboard, &visitor))
}

fn filter(namespaces: &BTreeSet<&str>, chosen: Option<&str>) -> Markup {
    html! {
        form.filter method="get" action="/" {
            label for="namespace" { "Namespace" }
            select #namespace name="namespace" {
                option value="" { "all" }
                @for namespace in namespaces {
                    option value=(namespace) selected[chosen == Some(namespace)] { (namespace) }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

/// What there is, in a sentence: what needs somebody comes first.
fn summary(shown: &[&Arc<Parsed>]) -> String {
    let count = |phases: &[Phase]| {
        shown.iter().filter(|parsed| phases.contains(&parsed.stored.record.state.said.phase)).count()
    };
    let parts = [
        (count(&[Phase::WaitingForApproval]), "waiting for approval"),
        (count(&[Phase::RollingBack, Phase::RolledBack]), "rolled back"),
        (count(&[Phase::Paused]), "paused"),
        (count(&[Phase::Progressing]), "progressing"),
        (count(&[Phase::Promoting]), "promoting"),
        (count(&[Phase::Idle]), "idle"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let noun = if shown.len() == 1 { "rollout" } else { "rollouts" };
    if parts.is_empty() {
        format!("0 {noun}")
    } else {
        format!("{} {noun}: {}", shown.len(), parts.join(", "))
    }
}

// A style may show a table as cards, and a browser then forgets that it is a table: its roles are said.
fn table(shown: &[&Arc<Parsed>], view: &View) -> Markup {
    html! {
        table.cards role="table" {
            caption.hidden { "Rollouts, with phase, weight of the canary, verdict, and why" }
            thead role="rowgroup" {
                tr role="row" {
                    th scope="col" role="columnheader" { "Rollout" }
                    th scope="col" role="columnheader" { "Phase" }
                    th.number scope="col" role="columnheader" { "Weight" }
                    th scope="col" role="columnheader" { "Verdict" }
                    th scope="col" role="columnheader" { "Why" }
                }
            }
            tbody role="rowgroup" {
                @for parsed in shown {
                    @let record = &parsed.stored.record;
                    @let said = &record.state.said;
                    tr #{ (record.name) } role="row" {
                        th.name scope="row" role="rowheader" {
                            a href={ "/rollouts/" (record.name) } {
                                span.dim { (record.name.namespace()) "/" } (record.name.name())
                            }
                        }
                        td role="cell" { (words::phase(said.phase)) }
                        td.number role="cell" { (words::weight(record.state.weight)) }
                        td role="cell" { (verdict(said.verdict, said.phase)) }
                        td.why role="cell" { (why(parsed, view)) }
                    }
                }
            }
        }
    }
}

/// A verdict, while there is something to judge.
fn verdict(verdict: Verdict, phase: Phase) -> &'static str {
    match phase {
        Phase::Idle | Phase::RolledBack => "–",
        _ => words::verdict(verdict),
    }
}

/// Why it is where it is, as a sentence; what is wrong beside that comes first.
pub(super) fn why(parsed: &Parsed, view: &View) -> String {
    let record = &parsed.stored.record;
    let left_out = view.rollouts.get(&record.name).and_then(|seen| seen.left_out.as_deref());
    match (&parsed.spec, left_out) {
        (Err(_), _) => "its document cannot be read by this release; write it anew, or delete it".to_owned(),
        (_, Some(why)) => format!("it is not in the policy as it should be: {why}"),
        (Ok(spec), None) if spec.plan.is_none() => "the file owns the weights".to_owned(),
        _ if record.deleted => format!("it is being deleted; {}", record.state.said.message),
        _ => record.state.said.message.clone(),
    }
}
