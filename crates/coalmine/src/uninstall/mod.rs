//! `coalmine uninstall`: takes Coalmine out of a cluster in an order that leaves nobody on a canary. It needs no server.

mod look;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use coalmine_control::kubernetes::{Left, Removal};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::output::{self, visible};
use crate::remote::{ClusterArguments, parse_time};
use look::Look;

const AFTER: &str = "\
Examples:
  coalmine uninstall
  coalmine uninstall --yes
  coalmine uninstall --namespace shop --force --yes

It deletes every CanaryRollout. The server sends everybody to stable first, and lets go of the
object then. Where no server runs, and with --force, this command takes the rollouts out of the
plugins' policies, and after that the finalizers off the objects. It can be repeated, and says at
the end what remains. Without --yes it says what it would do, and does nothing.";

/// How often it is seen what is left.
const PAUSE: Duration = Duration::from_millis(500);

/// Take Coalmine out of a cluster: everybody on stable, then every CanaryRollout away
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Uninstall {
    /// Do it, rather than say what would be done
    #[arg(long)]
    yes: bool,
    /// Only what is in this namespace, as one that hangs in its deletion
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Do not wait for the server: it hangs, or it may not do its part
    #[arg(long)]
    force: bool,
    /// Wait so long at most, as 30m or 2h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time)]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArguments,
}

// === impl Uninstall ===

impl Uninstall {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Write)?;
        runtime.block_on(self.uninstall())
    }

    async fn uninstall(&self) -> Result<(), Failure> {
        let reached = self.cluster.reach().await?;
        let removal = Removal::new(reached.client, self.cluster.server_namespace(), self.namespace.clone());
        let look = Look::take(&removal, now()).await.map_err(failed)?;
        let waits = look.server.is_some() && !self.force;
        output::print(&format!("the cluster at {}\n{}", visible(&reached.address), look.text()))?;
        if !self.yes {
            output::print(&look.plan(waits))?;
            return Err(Failure::usage("nothing is done", "--yes does it"));
        }
        for rollout in look.rollouts.iter().filter(|rollout| !rollout.is_being_deleted) {
            removal.delete(rollout).await.map_err(failed)?;
            output::print(&format!("{rollout} is deleted\n"))?;
        }
        if !waits {
            self.let_go(&removal, &look).await?;
        }
        self.wait(&removal, look.rollouts.clone(), waits).await?;
        output::print(&look.remains(self.namespace.as_deref()))
    }

    /// Does what a server would do: first everybody to stable, then the finalizers off.
    async fn let_go(&self, removal: &Removal, look: &Look) -> Result<(), Failure> {
        for written in &look.plugins {
            let plugin = &written.plugin;
            let text = match removal.leave_out(plugin, now()).await.map_err(failed)? {
                Some(revision) => {
                    format!("{plugin} has revision {revision}, without these rollouts: stable for all\n")
                }
                None => format!("{plugin} has none of these rollouts: stable for all\n"),
            };
            output::print(&text)?;
        }
        for rollout in removal.rollouts().await.map_err(failed)?.iter().filter(|rollout| rollout.is_held) {
            removal.let_go(rollout).await.map_err(failed)?;
            output::print(&format!("the finalizer is off {rollout}\n"))?;
        }
        Ok(())
    }

    /// Waits until nothing is left, in the cluster and in the policies. A line says what is gone.
    async fn wait(&self, removal: &Removal, mut before: Vec<Left>, for_server: bool) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let look = Look::take(removal, now()).await.map_err(failed)?;
            let is_left = |rollout: &Left| {
                look.rollouts.iter().any(|it| it.namespace == rollout.namespace && it.name == rollout.name)
            };
            for gone in before.iter().filter(|rollout| !is_left(rollout)) {
                output::print(&format!("{gone} is gone\n"))?;
            }
            if look.is_clear() {
                return Ok(());
            }
            if began.elapsed() + PAUSE > self.timeout {
                let hint = match for_server {
                    true => {
                        "the server has not let go of them; wait longer by --timeout, or do its part by --force"
                    }
                    false => "something else keeps them: see their finalizers",
                };
                let what = look.left();
                return Err(Failure::Late(format!(
                    "not over after {}: {what}\nhint: {hint}",
                    self.told_timeout()
                )));
            }
            before = look.rollouts;
            sleep(PAUSE).await;
        }
    }

    fn told_timeout(&self) -> String {
        humantime::format_duration(self.timeout).to_string()
    }
}

fn failed(why: String) -> Failure {
    Failure::usage(visible(&why).into_owned(), "what was done stays done; it can be repeated")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
