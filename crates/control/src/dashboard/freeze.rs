//! The freeze of everything, and its end.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::Dashboard;
use super::confirm;
use super::page::{Page, Stop};
use super::visitor::{Posted, Visitor};
use crate::access::May;
use crate::api::verbs;

pub(super) async fn ask(State(dashboard): State<Dashboard>, visitor: Visitor) -> Result<Response, Stop> {
    visitor.sender.must_everywhere(May::Operate).await?;
    let frozen = dashboard.app.server.store().frozen().await?;
    let title = if frozen.is_some() { "End the freeze" } else { "Freeze everything" };
    let body = html! {
        section.narrow {
            h1 { (title) }
            p.lead {
                @if frozen.is_some() { "Rollouts go on, each when its evidence allows it." }
                @else { "No weight of any rollout goes up until the freeze is ended. Judging and rollbacks go on." }
            }
            form method="post" action="/freeze" {
                input type="hidden" name="code" value=(visitor.code(&dashboard));
                @if frozen.is_some() { input type="hidden" name="thaw" value="yes"; } @else { (confirm::message("")) }
                p.choice {
                    button type="submit" { (title) }
                    a.button.quiet href="/" { "Cancel" }
                }
            }
        }
    };
    let page = Page { title, follows: None, frozen: frozen.as_deref(), body };
    Ok(page.answer(&dashboard, &visitor))
}

pub(super) async fn act(
    State(dashboard): State<Dashboard>,
    Posted { browser, fields }: Posted,
) -> Result<Response, Stop> {
    let visitor = Visitor::of(&dashboard, browser).await.map_err(|denial| Stop::denied(&denial, "/"))?;
    match fields.thaw {
        Some(_) => verbs::end_freeze(&dashboard.app, &visitor.sender).await?,
        None => drop(verbs::freeze_for(&dashboard.app, &visitor.sender, fields.message.trim()).await?),
    }
    Ok(Redirect::to("/").into_response())
}
