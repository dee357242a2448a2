//! From what proxies counted to one batch: which proxies count, and what is missing.

use base64ct::{Base64, Encoding};
use coalmine_judge::batch::{Open, Served};
use coalmine_judge::{Arms, Assessment, Batch, Counts, GROUPS, Judge, StateProblem, Tally};

use crate::actions::Kind;
use crate::at::At;
use crate::inputs::{Counted, Proxy};
use crate::plan::{GuardSource, Mode, Plan};
use crate::queried::Answer;
use crate::state::Life;
use crate::text::{count, duration, names};

/// How many ticks may pass without a reading before evidence is missing.
const STALE_AFTER: u64 = 3;

/// What the proxies have for this tick.
#[derive(Default)]
struct Gathered<'a> {
    counted: Vec<&'a Counted>,
    /// Proxies that do not run the latest form.
    late: Vec<&'a str>,
    /// Whether one of them runs an older form, and so may lead a user elsewhere than the others do.
    is_behind: bool,
    /// Proxies that run it and cannot carry it out.
    disabled: Vec<&'a str>,
    /// Proxies whose evidence is left out after a change.
    warming: usize,
    /// Proxies that are there.
    present: usize,
}

/// The judge as the latest tick left it, for people to look at.
///
/// # Errors
/// What it remembers is of other guards, or of another release of Coalmine.
pub fn remembered(plan: &Plan, life: &Life) -> Result<Judge, StateProblem> {
    let bytes = Base64::decode_vec(&life.judge).unwrap_or_default();
    Judge::from_bytes(plan.judged_in(life), &bytes)
}

// === impl At ===

impl<'a> At<'a> {
    /// Takes in the evidence of this tick, and says what stands then. Evidence while a workload changes is left out: it is
    /// that of two versions.
    pub(crate) fn judge(&mut self, leave_out: bool) -> Option<Assessment> {
        let gathered = self.gather();
        self.tell_gathered(&gathered);
        let tallies = self.tallies(&gathered.counted);
        let is_queried = tallies.iter().flatten().any(|tally| tally.total().canary.all > 0);
        let mut judge = self.wake_judge()?;
        if (is_queried || !gathered.counted.is_empty()) && !leave_out {
            let batch = self.batch(tallies, &gathered.counted);
            let requests = batch.guards.first().map(|tally| tally.total().canary.all).unwrap_or_default();
            match judge.observe(&batch) {
                Ok(()) => {
                    let until = gathered.counted.iter().map(|counted| counted.until).max();
                    if let Some(release) = &mut self.state.release {
                        release.here.requests = release.here.requests.saturating_add(requests);
                        release.here.read = until.max(release.here.read);
                        release.life.judge = Base64::encode_string(&judge.to_bytes());
                    }
                }
                Err(refusal) => self.hold(Kind::Untrusted, format!("a batch makes no sense: {refusal}")),
            }
        }
        self.tell_staleness();
        Some(judge.assess())
    }

    fn gather(&self) -> Gathered<'a> {
        let mut gathered = Gathered::default();
        for proxy in &self.inputs.proxies {
            if proxy.is_gone(self.inputs.now) {
                continue;
            }
            gathered.present += 1;
            if !self.runs_latest(proxy) {
                gathered.late.push(&proxy.name);
                gathered.is_behind |= proxy.revision.is_some();
                continue;
            }
            if proxy.disabled {
                gathered.disabled.push(&proxy.name);
                continue;
            }
            match &proxy.counted {
                Some(counted) if self.is_warm(proxy, counted.from, counted.until) => {
                    gathered.counted.push(counted);
                }
                Some(_) => gathered.warming += 1,
                None => {}
            }
        }
        gathered
    }

    /// Whether a proxy runs the rollout's latest form.
    pub(crate) fn runs_latest(&self, proxy: &Proxy) -> bool {
        let since = self.inputs.published.as_ref().filter(|_| self.is_published()).map(|it| it.revision);
        since.is_some_and(|since| proxy.revision.is_some_and(|revision| revision >= since))
    }

    /// Whether counts of this time began after the warm-up of a proxy.
    pub(crate) fn is_warm(&self, proxy: &Proxy, from: u64, until: u64) -> bool {
        let warm_up = self.plan.warm_up;
        // A weight that another controller holds changes without a revision.
        let dwelt = self.state.release.as_ref().map_or(0, |release| release.here.dwelt);
        let here = self.plan.mode == Mode::Steer || dwelt.saturating_sub(self.elapsed) >= warm_up;
        here && from >= proxy.running_since.saturating_add(warm_up) && until >= from
    }

    fn tell_gathered(&mut self, gathered: &Gathered<'_>) {
        if let Some(why) = &self.inputs.source_away {
            self.hold(Kind::NoEvidence, format!("no evidence can be read: {why}"));
        } else if gathered.present == 0 {
            self.hold(Kind::NoEvidence, "no proxy is seen".to_owned());
        }
        if !gathered.late.is_empty() {
            let revision = self.inputs.published.as_ref().map_or(0, |published| published.revision);
            let (late, present) = (gathered.late.len(), gathered.present);
            let who = names(&gathered.late);
            let message = match self.is_published() {
                true if late == 1 => {
                    format!("1 of {present} proxies does not run revision {revision} and is left out: {who}")
                }
                true => {
                    format!(
                        "{late} of {present} proxies do not run revision {revision} and are left out: {who}"
                    )
                }
                false => "the latest form is not published yet".to_owned(),
            };
            // One that runs no policy at all sends everybody to stable, as before the release.
            match gathered.is_behind {
                true => self.hold(Kind::Proxies, message),
                false => self.note(Kind::Proxies, message),
            }
        }
        if !gathered.disabled.is_empty() {
            let (disabled, present) = (gathered.disabled.len(), gathered.present);
            let who = names(&gathered.disabled);
            self.note(
                Kind::Proxies,
                format!("it is switched off in {disabled} of {present} proxies, as without its key: {who}"),
            );
        }
        if gathered.counted.is_empty() && gathered.warming > 0 {
            let warm_up = duration(self.plan.warm_up);
            self.note(Kind::Proxies, format!("evidence is left out for {warm_up} after each change"));
        }
    }

    /// Data that is missing never passes: without a reading for some ticks, nothing moves up.
    fn tell_staleness(&mut self) {
        let read = self.state.release.as_ref().and_then(|release| release.here.read);
        let limit = STALE_AFTER * self.inputs.tick;
        match read {
            Some(read) if self.inputs.now.saturating_sub(read) > limit => {
                let age = duration(self.inputs.now - read);
                self.hold(Kind::NoEvidence, format!("the latest evidence is {age} old"));
            }
            // The requests that are missing say it.
            None if self.plan.min_requests > 0 => {}
            None => self.hold(Kind::NoEvidence, "no evidence at this weight yet".to_owned()),
            Some(_) => {}
        }
    }

    /// One tally for each guard, in the order of the plan. A guard without counts holds.
    fn tallies(&mut self, counted: &[&Counted]) -> Vec<Option<Tally>> {
        let mut tallies = Vec::new();
        let mut messages = Vec::new();
        for guard in &self.plan.guards {
            if let GuardSource::Query(query) = &guard.source {
                tallies.push(Some(match self.answer(guard, query) {
                    Answer::Counted(tally) => tally,
                    Answer::NotYet => Tally::Whole(Arms::default()),
                    Answer::Missing(message) => {
                        messages.push(message);
                        Tally::Whole(Arms::default())
                    }
                }));
                continue;
            }
            let mut sum: Option<Tally> = None;
            let mut missing = 0;
            for counts in counted.iter().map(|counted| counted.guards.get(&guard.name)) {
                match counts.and_then(|counts| counts.tally()) {
                    Some(tally) => sum = Some(sum.map_or_else(|| tally.clone(), |sum| sum.plus(&tally))),
                    None => missing += 1,
                }
            }
            if missing > 0 {
                let of = count(counted.len() as u64, "reading");
                messages.push(format!("{}: no counts in {missing} of {of}", guard.name));
            }
            tallies.push(sum);
        }
        for message in messages {
            self.hold(Kind::NoEvidence, message);
        }
        self.take_forms(&tallies);
        tallies
    }

    /// Evidence that comes in another form than before, with or without groups, cannot go on: that is a new life.
    fn take_forms(&mut self, tallies: &[Option<Tally>]) {
        let mut changed = None;
        let Some(release) = &mut self.state.release else { return };
        for (guard, tally) in self.plan.guards.iter().zip(tallies) {
            let Some(tally) = tally else { continue };
            let grouped = matches!(tally, Tally::Groups(_));
            let before = release.life.grouped.insert(guard.name.clone(), grouped);
            if before.is_some_and(|before| before != grouped) {
                changed = Some(format!("{}: the source of its evidence is another one", guard.name));
            }
        }
        if let Some(why) = changed {
            let grouped = release.life.grouped.clone();
            self.new_life(&why);
            if let Some(release) = &mut self.state.release {
                release.life.grouped = grouped;
            }
        }
    }

    /// The judge as it was left, or a new one where its state does not fit.
    fn wake_judge(&mut self) -> Option<Judge> {
        let guards = self.plan.guards.len();
        let release = self.state.release.as_mut()?;
        release.life.most_guards = release.life.most_guards.max(guards);
        let life = &release.life;
        if life.judge.is_empty() {
            return Judge::new(self.plan.judged_in(life)).ok();
        }
        match remembered(self.plan, life) {
            Ok(judge) => Some(judge),
            Err(problem) => {
                self.new_life(&format!("what the judge remembered cannot be read: {problem}"));
                let life = &self.state.release.as_ref()?.life;
                Judge::new(self.plan.judged(|_| true, life.most_guards.max(guards), life.number)).ok()
            }
        }
    }

    fn batch(&self, tallies: Vec<Option<Tally>>, counted: &[&Counted]) -> Batch {
        let grouped = |name: &str| {
            let life = self.state.release.as_ref().map(|release| &release.life);
            life.and_then(|life| life.grouped.get(name).copied()).unwrap_or(true)
        };
        let guards = tallies.into_iter().zip(&self.plan.guards).map(|(tally, guard)| match tally {
            Some(tally) => tally,
            None if grouped(&guard.name) => Tally::Groups(Box::new([Arms::<Counts>::default(); GROUPS])),
            None => Tally::Whole(Arms::default()),
        });
        let served =
            counted.iter().filter_map(|counted| counted.served).fold(None, |sum, [assigned, served]| {
                let Served { assigned: a, served: s } = sum.unwrap_or_default();
                Some(Served { assigned: assigned.saturating_add(a), served: served.saturating_add(s) })
            });
        let open =
            counted.iter().filter_map(|counted| counted.open).fold(None, |sum: Option<Arms<Open>>, more| {
                let [stable, canary] = more.map(|[begun, open]| Open { begun, open });
                let plus = |one: Open, other: Open| Open {
                    begun: one.begun.saturating_add(other.begun),
                    open: one.open.saturating_add(other.open),
                };
                let sum = sum.unwrap_or_default();
                Some(Arms { stable: plus(sum.stable, stable), canary: plus(sum.canary, canary) })
            });
        Batch { weight: Some(self.compared_weight()), guards: guards.collect(), served, open }
    }

    /// Canary's share of the users of both arms, in parts per million: of everybody, or of canary and baseline.
    fn compared_weight(&self) -> u32 {
        let weight = u64::from(self.state.weight);
        if !self.inputs.policy.baseline || weight == 0 {
            return self.state.weight;
        }
        let baseline = weight.min(1_000_000 - weight.min(1_000_000));
        (weight * 1_000_000 / (weight + baseline)) as u32
    }
}
