//! Proxies, and which revision of the policy each of them runs.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::page::{Page, Stop};
use super::visitor::Visitor;
use super::{Dashboard, words};
use crate::access::May;
use crate::api::fleet;
use crate::api::shapes::{Fleet, Proxies, Proxy};
use crate::rollout::Name;

/// How many proxies the page of a rollout names.
const NAMED: usize = 20;

pub(super) async fn show(State(dashboard): State<Dashboard>, visitor: Visitor) -> Result<Response, Stop> {
    visitor.sender.must_everywhere(May::Read).await?;
    let Proxies { fleets, proxies } = fleet::known(&dashboard.app).await;
    let now = dashboard.app.server.now();
    let body = html! {
        h1 { "Proxies" }
        @for fleet in &fleets {
            @let own: Vec<&Proxy> = proxies.iter().filter(|proxy| proxy.fleet == fleet.name).collect();
            section aria-label={ "Fleet " (fleet.name) } {
                h2 { "Fleet " (fleet.name) }
                (summary(fleet, &own))
                (table(fleet, &own, now))
            }
        }
    };
    let frozen = dashboard.app.server.store().frozen().await?;
    let page = Page { title: "Proxies", follows: Some("*"), frozen: frozen.as_deref(), body };
    Ok(page.answer(&dashboard, &visitor))
}

/// The proxies that have a rollout in their policy. Only who may see everything sees their names.
pub(super) async fn of_rollout(dashboard: &Dashboard, visitor: &Visitor, name: &Name) -> Markup {
    let Some(own) = dashboard.app.server.fleets().of_rollout(name) else { return html! {} };
    let Proxies { fleets, proxies } = fleet::known(&dashboard.app).await;
    let Some(fleet) = fleets.iter().find(|fleet| fleet.name == own) else { return html! {} };
    let own: Vec<&Proxy> = proxies.iter().filter(|proxy| proxy.fleet == own).collect();
    let now = dashboard.app.server.now();
    html! {
        section aria-labelledby="proxies" {
            h2 #proxies { "Proxies" }
            (summary(fleet, &own))
            @if visitor.sees_all {
                // Those that are behind come first, where there are too many for this page.
                @let (late, rest): (Vec<&Proxy>, Vec<&Proxy>) = own.iter().copied().partition(|proxy| !runs(fleet, proxy));
                @let named: Vec<&Proxy> = late.into_iter().chain(rest).take(NAMED).collect();
                (table(fleet, &named, now))
                @if own.len() > named.len() { p { a href="/proxies" { "All " (own.len()) " proxies" } } }
            }
        }
    }
}

fn runs(fleet: &Fleet, proxy: &Proxy) -> bool {
    fleet.revision.is_some() && proxy.revision == fleet.revision
}

fn summary(fleet: &Fleet, proxies: &[&Proxy]) -> Markup {
    let running = proxies.iter().filter(|proxy| runs(fleet, proxy)).count();
    html! {
        p {
            @match fleet.revision {
                Some(revision) => {
                    (running) " of " (proxies.len()) " run revision " span.mono { (revision) } " of the policy."
                }
                None => "Nothing has been published yet.",
            }
        }
        @if let Some(away) = &fleet.away { p.banner.waits { "No evidence can be read: " (away) } }
    }
}

fn table(fleet: &Fleet, proxies: &[&Proxy], now: u64) -> Markup {
    html! {
        @if !proxies.is_empty() {
            div.scroll tabindex="0" role="region" aria-label={ "Proxies of the fleet " (fleet.name) } {
                table {
                    thead {
                        tr {
                            th scope="col" { "Proxy" }
                            th.number scope="col" { "Revision" }
                            th scope="col" { "Runs the policy" }
                            th scope="col" { "Connected" }
                            th scope="col" { "Metrics read" }
                            th scope="col" { "Filter" }
                        }
                    }
                    tbody {
                        @for proxy in proxies {
                            tr {
                                th scope="row" { (proxy.name) }
                                td.number.mono { @if let Some(revision) = proxy.revision { (revision) } @else { "–" } }
                                td {
                                    @if proxy.other_history { span.badge.waits { "from another history" } }
                                    @else if runs(fleet, proxy) { span.badge.good { "yes" } }
                                    @else { span.badge.waits { "not yet" } }
                                    @if let Some(refused) = &proxy.refused { " refused " (refused) }
                                    @if !proxy.disabled.is_empty() {
                                        " has switched off: "
                                        @for name in &proxy.disabled { (name) " " }
                                    }
                                }
                                td { @if let Some(at) = proxy.connected { (words::since(at.0, now)) } @else { "no" } }
                                td { @if let Some(at) = proxy.seen { (words::since(at.0, now)) } @else { "never" } }
                                td { (proxy.filter.as_deref().unwrap_or("–")) }
                            }
                        }
                    }
                }
            }
        }
    }
}
