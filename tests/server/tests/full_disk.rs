//! The disk of the server's store is full: writes are refused clearly, a rollback is still possible, and all is well by itself
//! once there is room.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use coalmine_harness::fleet::{FleetParts, ROLLOUT, Seen};
use coalmine_harness::{left_out, wait};

use crate::release;
use crate::story::{all_follow, done, parts, started, stay_at_the_first_step};

/// Bytes of the disk: what the server keeps free for rollbacks, and a little more.
const DISK: &str = "size=16m";

/// A disk of its own, in memory.
struct Disk(PathBuf);

// === impl Disk ===

impl Disk {
    /// `None` for who may not mount one.
    fn mount(place: &Path) -> Option<Self> {
        std::fs::create_dir(place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(place);
        mount.output().ok()?.status.success().then(|| Self(place.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, as the server may not have ended yet.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_is_new_and_lets_users_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("disk")) else {
        return left_out(
            "a_full_disk_refuses_what_is_new_and_lets_users_go_back",
            "it takes root to mount a disk",
        );
    };
    let store = disk.0.join("coalmine.db").display().to_string();
    let fleet = started(FleetParts { store, ..parts() }).await;
    stay_at_the_first_step(&fleet).await;
    let traffic = fleet.traffic(400, 4);
    let some = |seen: &[Seen]| seen.iter().any(|visit| visit.variant == Some("canary"));
    traffic.until("the canary has users", Instant::now(), some).await.unwrap();

    disk.fill();
    // SQLite's log may have room of its own for some writes.
    let mut refused = None;
    for number in 0..500 {
        let other = ROLLOUT
            .replace("checkout", &format!("other-{number}"))
            .replace("  identity", "  match: {hosts: [other.example]}\n  identity");
        fleet.write("other.yaml", &other).unwrap();
        let ran = fleet.run("apply other.yaml").await.unwrap();
        if ran.code != 0 {
            refused = Some(ran.stderr);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(refused.contains("the disk is full"), "{refused}");

    // The judge sees it, and nobody says a word.
    let since = Instant::now();
    fleet.canary_fails(100);
    let stable = |seen: &[Seen]| {
        let late = seen.iter().rev().take(400);
        seen.len() > 1_000
            && late.clone().count() == 400
            && late.clone().all(|visit| visit.variant == Some("stable"))
    };
    traffic.until("everybody is on stable", since, stable).await.unwrap();
    fleet.canary_fails(0);
    all_follow(&fleet).await;
    // That all are back is for a tick to see.
    release::until(&fleet, wait::PATIENCE, "it is rolled back", |it| it["phase"] == "RolledBack").await;

    disk.make_room();
    done(&fleet, "apply other.yaml").await;
    done(&fleet, "start shop/checkout").await;
    let seen = traffic.stop().await;
    let hurt = |visit: &Seen| visit.status == 200 || visit.variant == Some("canary");
    assert!(seen.iter().all(hurt), "a request of stable has failed");
}
