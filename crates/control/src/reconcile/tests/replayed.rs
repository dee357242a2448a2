//! Each line of history can be explained: the decision behind it is made again.

use coalmine_steer::Action;
use sqlx::Row as _;

use super::*;
use crate::snapshot::Parsed;
use crate::store::{Decision, Stored};

/// All that is recorded of a rollout, the oldest first: number, and the decision.
async fn decisions(folder: &TempDir, name: &str) -> Vec<(u64, Decision)> {
    let mut connection = database(folder).await;
    let select = "SELECT number, body FROM coalmine_decisions WHERE name = $1 ORDER BY number";
    let rows = sqlx::query(select).bind(name.to_owned()).fetch_all(&mut connection).await.unwrap();
    let read = |row: &sqlx::any::AnyRow| {
        let number = u64::try_from(row.get::<i64, _>(0)).unwrap();
        (number, serde_json::from_str(&row.get::<String, _>(1)).unwrap())
    };
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn each_decision_is_made_again_from_what_was_known() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.requests("shop/checkout", 0);
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    for _ in 0..20 {
        world.tick().await;
    }
    let name: Name = "shop/checkout".parse().unwrap();
    let history = world.server.store().history(&name, None, 100).await.unwrap();
    let decisions = decisions(&world.folder, "shop/checkout").await;
    assert!(decisions.len() > 3, "{decisions:?}");
    for (number, decision) in decisions {
        let line = &history.iter().find(|line| line.number == number).unwrap().logged;
        let record = Record::new(name.clone(), decision.written, 0);
        let parsed = Parsed::new(Stored { version: 1, record });
        let plan = parsed.spec.unwrap().plan.clone().unwrap();
        let step = decision.moment.play(&plan, &decision.state).unwrap();
        let first = step.actions.iter().find_map(|action| match action {
            Action::Record(event) => Some((event.what, event.weight, event.why.clone())),
            _ => None,
        });
        assert_eq!(first, Some((line.what, line.weight, line.why.clone())), "line {number}");
    }
}
