//! Several fleets on one store: each has its own policy, revisions, proxies and troubles.

use super::*;
use crate::fleets::Members;

/// Two fleets, each with one made-up proxy that follows at once.
struct Two {
    world: World,
    shop: MadeUp,
    bank: MadeUp,
}

impl Two {
    async fn new() -> Self {
        let mut world = World::new().await;
        let members = |clusters: &str, rollouts: &str| Members {
            clusters: vec![clusters.parse().unwrap()],
            spiffe: Vec::new(),
            rollouts: vec![rollouts.parse().unwrap()],
        };
        let fleets = Fleets::new(BTreeMap::from([
            ("shop".to_owned(), members("shop-*", "shop/*")),
            ("bank".to_owned(), members("bank", "bank/*")),
        ]));
        (world.server, world.store) = serve_fleets(&world.folder, &world.clock, fleets).await;
        Self { world, shop: MadeUp::default(), bank: MadeUp::default() }
    }

    /// A tick, and what follows it. Each canary has as many requests as its weight says; of `bad` rollouts all fail.
    async fn tick(&mut self, bad: &[&str]) {
        for (fleet, proxy) in [("shop", &mut self.shop), ("bank", &mut self.bank)] {
            let Some(latest) = self.world.server.published(fleet) else { continue };
            for name in latest.parts.keys() {
                let canary = (960.0 * weight(&latest, name.as_str()).unwrap_or_default()) as u64;
                let failed = if bad.contains(&name.as_str()) { canary } else { 0 };
                proxy.counts.insert(name.clone(), [(96_000 - canary, 0), (canary, failed)]);
            }
        }
        self.world.clock.fetch_add(15, Ordering::Relaxed);
        let hooks = no_hooks();
        let sources: tick::Sources<'_> = vec![("shop", &mut self.shop), ("bank", &mut self.bank)];
        tick::tick_all(&self.world.server, sources, &mut Queries::default(), &hooks, "one").await.unwrap();
        self.world.publish().await;
        self.shop.revision = self.revision("shop");
        self.bank.revision = self.revision("bank");
    }

    fn revision(&self, fleet: &str) -> Option<u64> {
        self.world.server.published(fleet).map(|publication| publication.revision)
    }

    fn weight(&self, fleet: &str, name: &str) -> Option<f64> {
        weight(&*self.world.server.published(fleet)?, name)
    }
}

#[tokio::test]
async fn each_fleet_has_its_own_rollouts_and_only_what_changed_is_published() {
    let mut two = Two::new().await;
    two.world.write("shop/checkout", ROLLOUT).await;
    assert_eq!(two.revision("bank"), None, "it has nothing to say yet");
    // Hosts are of a fleet: other proxies, other users.
    two.world.write("bank/checkout", ROLLOUT).await;
    two.tick(&[]).await;
    assert_eq!(
        (two.weight("shop", "shop/checkout"), two.weight("bank", "bank/checkout")),
        (Some(0.0), Some(0.0))
    );
    assert_eq!((two.weight("shop", "bank/checkout"), two.weight("bank", "shop/checkout")), (None, None));
    let bank = two.revision("bank");
    two.world.say("shop/checkout", Verb::Start { new_users: false }).await;
    for _ in 0..4 {
        two.tick(&[]).await;
    }
    assert!(two.weight("shop", "shop/checkout") > Some(0.0));
    assert_eq!(two.revision("bank"), bank, "a move of another fleet is no news to it");
}

#[tokio::test]
async fn each_fleet_is_judged_by_its_own_proxies() {
    let mut two = Two::new().await;
    for name in ["shop/checkout", "bank/checkout"] {
        two.world.write(name, ROLLOUT).await;
        two.tick(&[]).await;
        two.world.say(name, Verb::Start { new_users: false }).await;
    }
    two.bank.is_away = true;
    for _ in 0..20 {
        two.tick(&[]).await;
    }
    let record = two.world.record("shop/checkout").await;
    assert_eq!(record.state.said.phase, coalmine_steer::Phase::Promoting, "{}", record.state.said.message);
    assert_eq!(two.weight("bank", "bank/checkout"), Some(5.0), "its own proxies are away");
    let view = two.world.server.view();
    assert_eq!((view.away("bank"), view.away("shop")), (Some("nobody answers"), None));
    two.bank.is_away = false;
    for _ in 0..20 {
        two.tick(&["bank/checkout"]).await;
    }
    let release = two.world.record("bank/checkout").await.state.release.unwrap();
    assert_eq!(release.outcome, Some(Outcome::RolledBack));
}

#[tokio::test]
async fn a_policy_that_one_fleet_refuses_holds_no_other() {
    let mut two = Two::new().await;
    two.world.write("shop/checkout", ROLLOUT).await;
    two.world.write("bank/checkout", ROLLOUT).await;
    two.tick(&[]).await;
    let refused = two.revision("bank").unwrap();
    two.world.server.store().refuse("bank", refused, "it crashes").await.unwrap();
    two.world.publish().await;
    let view = two.world.server.view();
    let left_out = |name: &str| view.rollouts[&name.parse().unwrap()].left_out.clone();
    assert_eq!(left_out("bank/checkout").as_deref(), Some("a proxy refused it: it crashes"));
    assert_eq!(left_out("shop/checkout"), None);
    assert_eq!(two.weight("bank", "bank/checkout"), None);
    assert_eq!(two.weight("shop", "shop/checkout"), Some(0.0));
}

#[tokio::test]
async fn a_rollout_of_no_fleet_is_told() {
    let two = Two::new().await;
    // It was written while there was one fleet: now it would be refused.
    let (before, _) = serve(&two.world.folder, &two.world.clock).await;
    operations::write(&before, &"other/checkout".parse().unwrap(), ROLLOUT, &ASKED).await.unwrap();
    two.world.publish().await;
    assert_eq!((two.revision("shop"), two.revision("bank")), (None, None));
    let view = two.world.server.view();
    let left_out = view.rollouts[&"other/checkout".parse().unwrap()].left_out.clone().unwrap();
    assert!(left_out.contains("no fleet of this server has it"), "{left_out}");
}
