//! Where the filter runs: Envoy can disable it, and enable it for single tables, virtual hosts and routes.
//!
//! Where it does not run, nobody is drawn and nothing removes a header that a client sends.

use coalmine_document::{nearest, quoted};

use super::scene::{Outcome, Scene};
use super::{FileTable, Findings, headers_of};
use crate::diagnostic::Code;
use crate::scan::{Object, Scan};
use coalmine_control::routes::{
    Answer, Chain, Reached, Route, Switches, Table, Truth, VirtualHost, chains, example,
};

use super::super::Valid;

/// The part of a filter's name that says whose it is, where nothing else does.
const NAME: &str = "coalmine";

/// What tells Coalmine's filters from others.
pub(super) struct Ours<'p> {
    policies: &'p [Valid],
    /// The names under which discovery brings them.
    discovered: Vec<&'p str>,
}

// === impl FileTable ===

impl FileTable {
    /// A table of Envoy's with the chains before it: the one around it, or those that name it.
    pub(super) fn of_envoy(file: usize, table: Table, elsewhere: &[Chain], ours: &Ours<'_>) -> Self {
        let named = |chain: &&Chain| chain.table.is_some() && chain.table == table.name;
        let around = table.chain.iter().cloned().map(|chain| ours.of_chain(file, chain));
        let mut chains: Vec<Chain> = around.chain(elsewhere.iter().filter(named).cloned()).collect();
        chains.retain(|chain| !chain.filters.is_empty());
        if chains.is_empty() {
            let routes = table.hosts.iter().flat_map(|host| &host.routes);
            let names = routes.flat_map(|route| route.filters.keys()).filter(|name| name.contains(NAME));
            chains.extend(names.take(1).map(|name| Chain::enabled(name)));
        }
        Self { file, table, chains }
    }

    /// Whether the filter runs for a request with this answer, given before any filter has run. Where no chain with the
    /// filter is known the answer is yes: it may be in a chain that was not given, or in another proxy.
    pub(super) fn runs(&self, answer: &Answer<'_>) -> Truth {
        Truth::all(self.chains.iter().map(|chain| chain.runs(answer)))
    }

    fn runs_on(&self, route: &Route) -> Truth {
        Truth::all(self.chains.iter().map(|chain| chain.runs_on(Some(route))))
    }

    fn removes_early(&self, header: &str) -> bool {
        self.chains.iter().all(|chain| chain.removes_early(header))
    }

    /// What enables the filter, and a name that may be a slip.
    fn advice(&self, switches: Option<&Switches>) -> String {
        let filters = self.chains.iter().flat_map(|chain| &chain.filters);
        let names: Vec<&str> = filters.map(|filter| filter.name.as_str()).collect();
        let name = names.first().copied().unwrap_or(NAME);
        let given =
            switches.into_iter().flat_map(Switches::keys).filter(|key| !names.contains(&key.as_str()));
        let slip = nearest(name, given.map(String::as_str));
        let hint = slip.map(|slip| format!(" (it has {}, which is no filter here)", quoted(slip)));
        format!(
            "typed_per_filter_config: {{{name}: {{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, \
             config: {{}}}}}}{}",
            hint.unwrap_or_default()
        )
    }
}

// === impl Ours ===

impl<'p> Ours<'p> {
    pub(super) fn of(scans: &[&'p Scan], policies: &'p [Valid]) -> Self {
        let mut discovered = Vec::new();
        for valid in policies {
            let documents = scans.get(valid.file).map_or(&[][..], |scan| &scan.documents);
            let resources = documents.iter().filter_map(|document| document.get("resources"));
            let around = resources.flat_map(|list| list.items()).find(|it| valid.is_in(it.span));
            discovered.extend(around.and_then(|resource| resource.text_at(&["name"])));
        }
        Self { policies, discovered }
    }

    /// The chains of these documents whose tables are elsewhere.
    pub(super) fn chains(&self, scans: &[&Scan]) -> Vec<Chain> {
        let mut found = Vec::new();
        for (file, scan) in scans.iter().enumerate() {
            let documents = scan.documents.iter().filter(|document| Object::of(document).is_none());
            let all = documents.flat_map(chains).filter(|chain| chain.table.is_some());
            found.extend(all.map(|chain| self.of_chain(file, chain)));
        }
        found
    }

    /// The chain without the filters that are not Coalmine's.
    fn of_chain(&self, file: usize, mut chain: Chain) -> Chain {
        chain.filters.retain(|filter| {
            let has = |valid: &Valid| valid.file == file && valid.is_in(filter.span);
            filter.name.contains(NAME)
                || self.discovered.contains(&filter.name.as_str())
                || self.policies.iter().any(has)
        });
        chain
    }
}

/// Whether the filter does not run for any request of the rollout that gets to an application: then nothing else is
/// to be said about these routes.
pub(super) fn check(
    scene: &Scene<'_>,
    table: &FileTable,
    tables: &[FileTable],
    findings: &mut Findings,
) -> bool {
    let arriving: Vec<Outcome<'_>> = scene.without().filter(|it| it.reached != Reached::Reply).collect();
    let is_off = |outcome: &Outcome<'_>| table.runs(&outcome.answer) == Truth::No;
    if arriving.is_empty() || !arriving.iter().all(is_off) {
        if scene.rollout.is_enabled() {
            unreached(scene, table, findings);
        }
        return false;
    }
    if scene.rollout.is_enabled() {
        nobody(scene, table, tables, findings);
    }
    true
}

/// Nobody whom the rollout is for is drawn here.
fn nobody(scene: &Scene<'_>, table: &FileTable, tables: &[FileTable], findings: &mut Findings) {
    let is_here = |host: &&str| {
        table.table.virtual_host(&example(host), None).is_some_and(|it| std::ptr::eq(it, scene.host))
    };
    let named: Vec<&str> = scene.patterns().into_iter().filter(is_here).collect();
    let runs = |table: &FileTable| {
        let mut routes = table.table.hosts.iter().flat_map(|host| &host.routes);
        routes.any(|route| table.runs_on(route) != Truth::No)
    };
    let whose = if scene.names_hosts() && !named.is_empty() {
        format!("is for {}", named.join(", "))
    } else if !scene.names_hosts() && !tables.iter().any(runs) {
        "is for every host".to_owned()
    } else {
        return;
    };
    let header = scene.header();
    let where_off = if scene.host.routes.iter().any(|route| table.runs_on(route) == Truth::Yes) {
        format!("the filter is disabled for the route that takes a request without {header}, which decides")
    } else {
        "the filter is disabled here".to_owned()
    };
    let message = format!(
        "{where_off}, and the rollout {:?} {whose}: no user is drawn; enable the filter for this virtual host, with {}",
        scene.rollout.name(),
        table.advice(switches(scene.host))
    );
    findings.error(Code::FilterDisabled, &scene.host.place, message);
}

/// A variant that only requests could reach for which the filter does not run.
fn unreached(scene: &Scene<'_>, table: &FileTable, findings: &mut Findings) {
    for value in &scene.values {
        let decided = scene.requests.iter().filter(|request| scene.decides(&scene.with(request, value)));
        let first: Vec<Answer<'_>> = decided.map(|request| scene.host.answer(request)).collect();
        let all_off = first.iter().all(|answer| table.runs(answer) == Truth::No);
        if let (true, Some(Answer::Taken { taken, .. })) = (all_off, first.first()) {
            let header = scene.header();
            let message = format!(
                "the filter is disabled for this route, which takes requests before they have {header}: no user gets \
                 what the routes have for {header}: {}; enable the filter for this route, with {}",
                value.text,
                table.advice(Some(&taken.filters))
            );
            findings.error(Code::FilterDisabled, &taken.place, message);
        }
    }
}

/// Routes by a header of ours for which the filter does not run.
pub(super) fn variant_routes(
    host: &VirtualHost,
    table: &FileTable,
    policies: &[&Valid],
    findings: &mut Findings,
) {
    // There the routes stay, and the filter has to come.
    if findings.has_at(Code::FilterDisabled, &host.place) {
        return;
    }
    let runs_here = host.routes.iter().any(|route| table.runs_on(route) != Truth::No);
    for header in headers_of(policies) {
        let is_gone = table.removes_early(&header);
        let off = host.routes.iter().filter(|it| it.asks(&header) && table.runs_on(it) == Truth::No);
        for route in off.filter(|_| !(is_gone && runs_here)) {
            let (why, or_remove) = match (is_gone, runs_here) {
                (true, _) => ("no user is drawn, and no request takes it", "remove the route, or "),
                (false, false) => {
                    ("no user is drawn, and a client that sends {} gets it", "remove the route, or ")
                }
                (false, true) => ("a client that sends {} gets it, whatever its user is drawn", ""),
            };
            let message = format!(
                "the filter is disabled for this route by {header}: {}; {or_remove}enable the filter for it, with {}",
                why.replace("{}", &header),
                table.advice(Some(&route.filters))
            );
            findings.error(Code::FilterDisabled, &route.place, message);
        }
    }
}

fn switches(host: &VirtualHost) -> Option<&Switches> {
    host.routes.first().map(|route| &route.filters)
}
