//! From the canary annotations of ingress-nginx.

mod annotations;
mod paths;
mod resource;

use coalmine_document::{Node, SourceText, quoted};

use super::{Arguments, Imported, identity, label, shown, variant};
use crate::diagnostic::{Code, Diagnostic};
use annotations::{PREFIX, is_true};
use paths::Conditions;
use resource::{Ingress, PathKind, PathRule, Rule};

const FIRST: &str =
    "Users change sides once: Coalmine assigns them anew, and then for good. Start with a small weight.";

/// The canary Ingresses of a file become rollouts here.
struct Importer<'t, 'i> {
    arguments: &'i Arguments,
    imported: &'i mut Imported,
    /// The Ingresses that are no canaries, with their rules.
    mains: Vec<(Ingress<'t>, Vec<Rule<'t>>)>,
    /// Whether the names of rollouts have a namespace.
    has_namespaces: bool,
    /// The hosts and paths that are taken, and the rollouts that took them.
    taken: Vec<(String, String, String)>,
}

pub(super) fn import(source: &mut SourceText, arguments: &Arguments) -> Imported {
    let mut imported = Imported::new(FIRST);
    let documents = imported.documents(source);
    let ingresses: Vec<Ingress<'_>> = documents.iter().flat_map(Ingress::all).collect();
    imported.looked_for = format!(
        "no Ingress with the annotation {PREFIX}canary: \"true\" among {} Ingress{}",
        ingresses.len(),
        if ingresses.len() == 1 { "" } else { "es" }
    );
    let (mut canaries, mut mains) = (Vec::new(), Vec::new());
    for ingress in ingresses {
        match ingress.canary(&mut imported) {
            Some(ppm) => canaries.push((ingress, ppm)),
            None => mains.push((ingress, ingress.rules())),
        }
    }
    let mut namespaces: Vec<Option<&str>> = canaries.iter().map(|(ingress, _)| ingress.namespace).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let has_namespaces = namespaces.len() > 1;
    if has_namespaces {
        imported.note(
            "the canary Ingresses are in several namespaces, so the names of rollouts and salts have them.",
        );
    }
    let mut importer =
        Importer { arguments, imported: &mut imported, mains, has_namespaces, taken: Vec::new() };
    for (ingress, ppm) in canaries {
        importer.ingress(&ingress, ppm);
    }
    imported
}

// === impl Importer ===

impl<'t> Importer<'t, '_> {
    fn ingress(&mut self, ingress: &Ingress<'t>, ppm: u32) {
        let name = label(ingress.name, "canary");
        let title = self.name_of(ingress, &name);
        let rules = ingress.rules();
        annotations::notes(ingress, &title, self.imported);
        ingress.spec_notes(&title, self.imported);
        if rules.is_empty() {
            let why = "left out; it has no path, and ingress-nginx has no canary for it";
            self.imported.note(format!("{title}: {why}."));
        }
        let several = rules.len() > 1;
        if several {
            self.imported.note(format!(
                "{title}: {} rules become as many rollouts, because each host has its own paths.",
                rules.len()
            ));
        }
        for (index, rule) in rules.iter().enumerate() {
            let name = match several {
                true => format!("{}-{}", name.get(..58).unwrap_or(&name), index + 1),
                false => name.clone(),
            };
            let namespace =
                ingress.namespace.filter(|_| self.has_namespaces).map(|space| label(space, "default"));
            let rollout = self.imported.unique(&name, namespace.as_deref());
            if several || rollout != ingress.name && !self.has_namespaces {
                let host = rule
                    .host
                    .map_or_else(|| "every host".to_owned(), |(host, _)| shown(&host.to_lowercase()));
                self.imported.note(format!("{rollout}: this is {host} of {}.", ingress.title()));
            }
            self.rollout(ingress, rule, &rollout, ppm);
        }
    }

    fn name_of(&self, ingress: &Ingress<'_>, name: &str) -> String {
        match ingress.namespace.filter(|_| self.has_namespaces) {
            Some(space) => format!("{}/{name}", label(space, "default")),
            None => name.to_owned(),
        }
    }

    fn rollout(&mut self, ingress: &Ingress<'t>, rule: &Rule<'t>, name: &str, ppm: u32) {
        let conditions = self.conditions(ingress, rule, name);
        self.services(ingress, rule, name);
        self.aliases(rule, name);
        self.claims(rule, name);
        let (kind, source) = &self.arguments.identity;
        self.imported.note(format!(
            "{name}: ingress-nginx splits requests at random; here the {kind} {source} names the user (--identity)."
        ));
        let mut matching = Vec::new();
        if let Some((host, node)) = rule.host {
            let host = Node { span: node.span, ..Node::of_text(host.to_ascii_lowercase()) };
            if host.text().is_some_and(|host| host.starts_with("*.")) {
                self.imported.note(format!(
                    "{name}: a wildcard host matches at any depth here; ingress-nginx matches one label."
                ));
            }
            matching.push(("hosts", Node::of_items([host])));
        } else {
            self.imported.note(format!(
                "{name}: without a host it matches every host here; ingress-nginx uses it where no Ingress names the host."
            ));
        }
        if !conditions.is_whole {
            matching.push(("paths", Node::of_items(conditions.nodes)));
        }
        let mut fields = vec![("name", Node { span: ingress.span(), ..Node::of_text(name) })];
        if !matching.is_empty() {
            fields.push(("match", Node::of_fields(matching)));
        }
        fields.push(("identity", identity(kind, source)));
        fields.push(("salt", Node::of_text(format!("{name}-1"))));
        fields.push(("variants", Node::of_items([variant("canary", ppm)])));
        self.imported.rollouts.push(Node::of_fields(fields));
    }

    fn conditions(&mut self, ingress: &Ingress<'t>, rule: &Rule<'t>, name: &str) -> Conditions {
        let is_regex = self.of_host(rule).map(|(main, _)| main).chain([ingress]).any(|ingress| {
            is_true(ingress, "use-regex")
                || ingress.annotation("rewrite-target").is_some() && !ingress.is_canary()
        });
        let mut conditions = Conditions::default();
        for path in &rule.paths {
            match path.text.starts_with('/') {
                true => conditions.add(path, is_regex),
                false => {
                    let message = format!("{} must begin with /", quoted(path.text));
                    let diagnostic = Diagnostic::error(Code::Policy, path.span, &ingress.title(), message);
                    self.imported.diagnostics.push(diagnostic);
                }
            }
        }
        for text in std::mem::take(&mut conditions.regexes) {
            self.imported.note(format!(
                "{name}: {} is a regular expression for ingress-nginx, which a policy does not have; the rollout has what \
                 begins as it does, in this case of letters.",
                shown(&text)
            ));
        }
        conditions
    }

    /// Where requests have to go: the service of the canary, and that of the other Ingress, when it is in the file.
    fn services(&mut self, ingress: &Ingress<'t>, rule: &Rule<'t>, name: &str) {
        let several = rule.paths.len() > 1;
        for path in &rule.paths {
            let text = shown(path.text);
            let at = if several { format!("{name}: {text}") } else { name.to_owned() };
            let beside = self.beside(rule, path);
            if beside.is_none() && self.of_host(rule).next().is_some() {
                self.imported.note(format!(
                    "{name}: no other Ingress here has {text} of this host with the same pathType, and ingress-nginx has a \
                     canary only beside one."
                ));
            }
            let Some(canary) = path.service else {
                self.imported.note(format!("{at}: its backend is no service; send {CANARY} to what it is."));
                continue;
            };
            let canary = shown(canary);
            let others = match beside {
                Some((main, Some(stable))) if main.namespace != ingress.namespace => {
                    let space = main.namespace.unwrap_or("default");
                    format!("{} in the namespace {}", shown(stable), shown(space))
                }
                Some((_, Some(stable))) if shown(stable) == canary => {
                    self.imported.note(format!(
                        "{at}: both sides go to the service {canary}, where ingress-nginx does nothing."
                    ));
                    continue;
                }
                Some((_, Some(stable))) => shown(stable),
                _ => "the service of the Ingress that is no canary".to_owned(),
            };
            self.imported.note(format!(
                "{at}: send {CANARY} to the service {canary}, all other requests to {others}."
            ));
        }
        let without = self.without_canary(rule);
        if !without.is_empty() {
            self.imported.note(format!(
                "{name}: ingress-nginx has no canary for {}, which another Ingress has for this host; leave its route without \
                 one.",
                without.join(", ")
            ));
        }
    }

    /// The Ingress beside this canary, and its service.
    fn beside(&self, rule: &Rule<'t>, path: &PathRule<'t>) -> Option<(Ingress<'t>, Option<&'t str>)> {
        self.of_host(rule).find_map(|(main, other)| {
            let found = other.paths.iter().find(|it| it.text == path.text && it.kind == path.kind)?;
            Some((*main, found.service))
        })
    }

    /// Longer paths of the host that have no canary: nginx serves a request by the longest.
    fn without_canary(&self, rule: &Rule<'t>) -> Vec<String> {
        let paths = self.of_host(rule).flat_map(|(_, other)| &other.paths).filter(|other| {
            let is_below =
                |path: &PathRule<'_>| path.kind != PathKind::Exact && other.text.starts_with(path.text);
            let is_known = rule.paths.iter().any(|path| path.text == other.text);
            !is_known && rule.paths.iter().any(is_below)
        });
        let mut paths: Vec<String> = paths.map(|path| shown(path.text)).collect();
        paths.dedup();
        paths
    }

    /// The rules for the host of this one in the other Ingresses, each with its Ingress.
    fn of_host<'s>(&'s self, rule: &'s Rule<'_>) -> impl Iterator<Item = (&'s Ingress<'t>, &'s Rule<'t>)> {
        let rules = self.mains.iter().flat_map(|(main, rules)| rules.iter().map(move |other| (main, other)));
        rules.filter(|(_, other)| other.has_host_of(rule))
    }

    /// Other names of the host, which the canary has too.
    fn aliases(&mut self, rule: &Rule<'t>, name: &str) {
        let mains = self.mains.iter().filter(|(_, rules)| rules.iter().any(|other| other.has_host_of(rule)));
        let aliases = mains.filter_map(|(main, _)| main.annotation("server-alias")?.node.text());
        let aliases: Vec<String> = aliases.map(shown).collect();
        if !aliases.is_empty() {
            self.imported.note(format!(
                "{name}: its host has other names, server-alias {}; add them to \"hosts\".",
                aliases.join(", ")
            ));
        }
    }

    /// ingress-nginx has one canary for a host and a path: the oldest.
    fn claims(&mut self, rule: &Rule<'_>, name: &str) {
        let host = rule.host.map_or("", |(host, _)| host).to_ascii_lowercase();
        for path in &rule.paths {
            let known = self.taken.iter().find(|(other, text, _)| *other == host && text == path.text);
            if let Some((_, _, other)) = known {
                self.imported.note(format!(
                    "{name}: {other} has {} of this host too; a request has one rollout, and the first one takes it.",
                    shown(path.text)
                ));
            }
            self.taken.push((host.clone(), path.text.to_owned(), name.to_owned()));
        }
    }
}

/// What the filter says about a request of the canary.
const CANARY: &str = "x-coalmine-variant: canary";
