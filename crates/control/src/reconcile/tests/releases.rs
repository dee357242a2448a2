//! Another release of the server wrote what is in the store: one up and one down.

use sqlx::Connection as _;

use super::*;

/// What a server of the first release had in its store, in the middle of a release at 5 %.
const FIRST: &str = include_str!("first_release.sql");

/// What a next release may do: tables and columns that may be empty, and fields that this one does not know.
const NEXT: &str = "
INSERT INTO coalmine_schema (version) SELECT MAX(version) + 1 FROM coalmine_schema;
CREATE TABLE coalmine_later (name TEXT NOT NULL PRIMARY KEY);
ALTER TABLE coalmine_records ADD COLUMN later TEXT;
ALTER TABLE coalmine_publications ADD COLUMN later TEXT;
UPDATE coalmine_records SET body = json_set(body, '$.later', json('{}'), '$.state.later', 1, '$.state.release.later', 1);
UPDATE coalmine_publications SET body = json_set(body, '$.later', 1);
UPDATE coalmine_history SET body = json_set(body, '$.later', 1, '$.logged.later', 1);
UPDATE coalmine_history SET body = json_set(body, '$.decision.moment.inputs.later', 1)
    WHERE json_extract(body, '$.decision') IS NOT NULL;
UPDATE coalmine_releases SET body = json_set(body, '$.later', 1);
";

/// Does this to the store, as another program.
pub(super) async fn sql(folder: &TempDir, statements: &str) {
    let mut connection = database(folder).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The release that is on its way goes on to its end, and no weight goes down.
async fn goes_on(world: &mut World) {
    let name: Name = "shop/checkout".parse().unwrap();
    let before = world.record("shop/checkout").await;
    let (salt, revision) = (before.state.salt.clone(), world.latest().await.revision);
    world.publish().await;
    let mut weights = vec![world.published("shop/checkout").await.unwrap()];
    assert_eq!(weights, [5.0]);
    assert_eq!(world.latest().await.revision, revision, "nothing is new to the proxies");
    world.proxy.revision = Some(revision);
    world.requests("shop/checkout", 0);
    for _ in 0..20 {
        world.tick().await;
        weights.push(world.published("shop/checkout").await.unwrap());
    }
    assert!(weights.is_sorted() && weights.ends_with(&[100.0]), "{weights:?}");
    assert_eq!(world.record("shop/checkout").await.state.salt, salt, "everybody keeps their version");
    world.say("shop/checkout", Verb::Promote).await;
    for _ in 0..10 {
        world.tick().await;
    }
    let release = world.server.store().release(&name, 1).await.unwrap().unwrap();
    assert_eq!(release.outcome, Some(Outcome::Promoted));
    let history = world.server.store().history(&name, None, 100).await.unwrap();
    assert_eq!(history.last().map(|line| (line.number, line.logged.why.as_str())), Some((1, "created")));
}

#[tokio::test]
async fn a_release_goes_on_with_what_the_first_release_of_the_server_wrote() {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    sql(&folder, FIRST).await;
    world.clock.store(1_000_100, Ordering::Relaxed);
    (world.server, world.store) = serve(&folder, &world.clock).await;
    world.folder = folder;
    goes_on(&mut world).await;
}

#[tokio::test]
async fn a_release_goes_on_after_the_next_release_of_the_server_was_taken_back() {
    let mut world = World::new().await;
    world.write("shop/checkout", ROLLOUT).await;
    world.requests("shop/checkout", 0);
    world.say("shop/checkout", Verb::Start { new_users: false }).await;
    while world.published("shop/checkout").await != Some(5.0) {
        world.tick().await;
    }
    sql(&world.folder, NEXT).await;
    (world.server, world.store) = serve(&world.folder, &world.clock).await;
    goes_on(&mut world).await;
}
