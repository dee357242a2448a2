//! What a policy that is right may still not mean.

use coalmine_core::bucketing::Algorithm;
use coalmine_core::policy::{IdentitySource, Policy, Rollout, Rule, conflicts};
use coalmine_document::{Node, OwnedPath, Span, Value};

use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::scan::EmbeddedPolicy;

/// The warnings about a policy that is right.
pub(super) fn advice(embedded: &EmbeddedPolicy, policy: &Policy) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = conflicts(policy.rollouts())
        .into_iter()
        .filter(|conflict| conflict.rule == Rule::Reachable)
        .map(|conflict| {
            let problem = conflict.to_problem(&embedded.node);
            let diagnostic = Diagnostic::of_problem(&problem, &embedded.path);
            Diagnostic { severity: Severity::Warning, code: Code::NeverMatches, ..diagnostic }
        })
        .collect();
    let rollouts = embedded.node.get("rollouts").map_or(&[][..], Node::items);
    for (rollout, node) in policy.rollouts().iter().zip(rollouts) {
        let at = OwnedPath::of(&["rollouts"]).item(rollout.index());
        let mut tell = |code: Code, fields: &[&str], message: String| {
            let span = span_of(node, fields);
            let path = embedded.path.join(&at).join(&OwnedPath::of(fields));
            diagnostics.push(Diagnostic::warning(code, span, &path.to_string(), message));
        };
        pins(rollout, &mut tell);
        if rollout.issues_cookie() && rollout.algorithm() != Algorithm::Siphash24 {
            let message = "with a public salt a client can try cookies until one lands in the canary; use \
                           \"algorithm: siphash-2-4\" and a key";
            tell(Code::CookieWithoutKey, &["onMissingIdentity"], message.to_owned());
        }
        cookie_domain(node, &mut tell);
        steps_back(node, &mut tell);
        secrets(node, &mut tell);
    }
    diagnostics
}

fn pins(rollout: &Rollout, tell: &mut impl FnMut(Code, &[&str], String)) {
    let count = rollout.pins().count();
    if count == 0 {
        return;
    }
    if !rollout.is_enabled() {
        let message = "have no effect while the rollout is switched off (enabled: false)".to_owned();
        tell(Code::PinsShadowed, &["pins"], message);
    }
    let only_issued =
        rollout.sources().iter().all(|source| matches!(source, IdentitySource::IssuedCookie(_)));
    let is_issued = |identity: &[u8]| {
        identity.len() == 32 && identity.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let (true, Some((identity, _))) =
        (only_issued, rollout.pins().find(|(identity, _)| !is_issued(identity)))
    {
        let identity = String::from_utf8_lossy(identity).into_owned();
        let message = format!(
            "{identity:?} can never come: the only identities are issued cookies, 32 hexadecimal digits"
        );
        tell(Code::PinsShadowed, &["pins"], message);
    }
}

/// A browser takes a cookie only for a domain that the host of the request is, or lies in.
fn cookie_domain(rollout: &Node, tell: &mut impl FnMut(Code, &[&str], String)) {
    let Some(domain) = rollout.text_at(&["cookie", "domain"]) else { return };
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let lies_in = |host: &str, domain: &str| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    // Below `*.x` are hosts in `x` and in everything that lies in it.
    let may_lie_in = |host: &str| match host.strip_prefix("*.") {
        Some(above) => lies_in(above, domain) || lies_in(domain, above),
        None => lies_in(host, domain),
    };
    let hosts = rollout.descend(&["match", "hosts"]).map_or(&[][..], Node::items);
    if !hosts.is_empty() && !hosts.iter().filter_map(Node::text).any(may_lie_in) {
        let message = format!(
            "browsers drop the cookie: no host of this rollout lies in {domain:?}. Leave the domain out, or name one \
             that the hosts lie in"
        );
        tell(Code::CookieDropped, &["cookie", "domain"], message);
    }
}

fn steps_back(rollout: &Node, tell: &mut impl FnMut(Code, &[&str], String)) {
    let weights: Vec<f64> = rollout
        .descend(&["ramp", "steps"])
        .map_or(&[][..], Node::items)
        .iter()
        .filter_map(|step| match step.get("weight")?.value {
            Value::Number(weight) => Some(weight),
            _ => None,
        })
        .collect();
    if let Some((from, to)) = weights.iter().zip(weights.iter().skip(1)).find(|(from, to)| to < from) {
        let message = format!(
            "a step goes back from {from} % to {to} %: users return to stable, and some leave it again later"
        );
        tell(Code::StepBack, &["ramp", "steps"], message);
    }
}

fn secrets(rollout: &Node, tell: &mut impl FnMut(Code, &[&str], String)) {
    for fields in [&["key"][..], &["override", "secret"]] {
        let in_clear = rollout.descend(fields).is_some_and(|secret| {
            secret.text().is_some() || secret.items().iter().any(|item| item.text().is_some())
        });
        if in_clear {
            let message =
                "a secret in clear: every reader of the document has it; use {env: NAME}".to_owned();
            tell(Code::SecretInClear, fields, message);
        }
    }
}

/// The key at the end of these fields, or the value that lacks it.
fn span_of(node: &Node, fields: &[&str]) -> Span {
    let Some((last, before)) = fields.split_last() else { return node.span };
    let parent = node.descend(before).unwrap_or(node);
    parent.entry(last).map_or(parent.span, |entry| entry.span)
}
