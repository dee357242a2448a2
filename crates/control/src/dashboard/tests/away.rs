//! What cannot be known now: it is neither over nor gone.

use std::sync::Mutex;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use super::*;
use crate::access::{Denial, Pattern, Reviewer, User};

const ADA: &str = "ada-0123456789";
const WHY: &str = "the cluster does not answer; try again";

/// What the cluster can say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Says {
    /// Who ada is, and that she may do everything.
    #[default]
    Everything,
    /// Nothing at all.
    Nothing,
    /// Who ada is, and no more.
    NoPermission,
    /// The same, and what she may do to all rollouts.
    NoPermissionForOne,
    /// That nobody has her token.
    Withdrawn,
}

#[derive(Debug, Default)]
struct Cluster(Mutex<Says>);

impl Cluster {
    fn set(&self, says: Says) {
        *self.0.lock().unwrap() = says;
    }

    fn says(&self) -> Says {
        *self.0.lock().unwrap()
    }
}

fn away<T>() -> Result<T, Denial> {
    Err(Denial::Away(WHY.to_owned()))
}

#[async_trait]
impl Reviewer for Cluster {
    async fn user(&self, token: &str) -> Result<User, Denial> {
        match self.says() {
            Says::Nothing => away(),
            says if says == Says::Withdrawn || token != ADA => {
                Err(Denial::Invalid("nobody has this token".to_owned()))
            }
            _ => Ok(User { name: "ada".to_owned(), ..User::default() }),
        }
    }

    async fn allows(&self, _user: &User, _word: &str, pattern: &Pattern) -> Result<bool, Denial> {
        match (self.says(), pattern) {
            (Says::NoPermission, _) | (Says::NoPermissionForOne, Pattern::One(_)) => away(),
            _ => Ok(true),
        }
    }
}

async fn world() -> (World, Arc<Cluster>) {
    let cluster = Arc::new(Cluster::default());
    let reviewer = cluster.clone();
    let world = World::of(Vec::new(), |app| app.tokens = app.tokens.clone().with_reviewer(reviewer)).await;
    (world, cluster)
}

#[tokio::test]
async fn a_page_says_that_it_cannot_be_known_and_comes_again_in_the_same_session() {
    let (world, cluster) = world().await;
    let mut browser = Browser::signed_in(&world, ADA).await;
    let pages = ["/", CHECKOUT, "/rollouts/shop/checkout/start", "/proxies", "/freeze", "/events"];
    for (says, paths) in [
        (Says::Nothing, &pages[..]),
        (Says::NoPermission, &pages[..]),
        // The others are about all rollouts.
        (Says::NoPermissionForOne, &pages[..3]),
    ] {
        cluster.set(says);
        for path in paths {
            let answer = browser.get(&world, path).await;
            assert_eq!(answer.status, 503, "{says:?} {path}: {}", answer.body);
            assert!(answer.body.contains(WHY), "{says:?} {path}: {}", answer.body);
            assert!(answer.body.contains("data-follows=\"*\""), "the script asks again");
        }
        cluster.set(Says::Everything);
        assert_eq!(browser.get(&world, CHECKOUT).await.status, 200);
    }
    let missing = browser.get(&world, "/rollouts/shop/nothing").await;
    assert!(missing.status == 404 && !missing.body.contains("data-follows"), "it is final");
}

#[tokio::test]
async fn signing_in_says_that_a_token_cannot_be_checked() {
    let (world, cluster) = world().await;
    let mut browser = Browser::signed_in(&world, ADA).await;
    cluster.set(Says::Nothing);
    let form = browser.get(&world, "/sign-in").await;
    assert!(form.status == 503 && form.body.contains(WHY) && form.body.contains("name=\"token\""));
    let refused = Browser::default().fill(&world, "/sign-in", &format!("token={ADA}")).await;
    assert!(refused.status == 503 && refused.body.contains(WHY), "{}", refused.body);
    cluster.set(Says::Everything);
    assert_eq!(browser.get(&world, "/sign-in").await.location(), "/", "the session has gone on");
}

#[tokio::test]
async fn events_go_on_while_it_cannot_be_known_who_watches() {
    let (world, cluster) = world().await;
    let browser = Browser::signed_in(&world, ADA).await;
    let request = browser.request(Method::GET, "/events").body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    let mut next = async || String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(next().await.contains("event: beat"));
    world.makes(&checkout(), |_| {}, line("x")).await;
    for says in [Says::Nothing, Says::NoPermission, Says::NoPermissionForOne] {
        cluster.set(says);
        world.app.server.wake();
        let told = next().await;
        assert!(told.contains("event: beat"), "{says:?}: {told}");
    }
    cluster.set(Says::Everything);
    world.app.server.wake();
    assert!(next().await.contains("event: beat"));
    assert!(next().await.contains("data: shop/checkout"), "what was recorded meanwhile is told");
    cluster.set(Says::Withdrawn);
    world.app.server.wake();
    assert!(next().await.contains("event: over"));
}
