//! The fields of a Canary (flagger.app/v1beta1), and what becomes of each.

use crate::import::plan::Fate::{self, Note, Read};

const PROVIDER: &str =
    "Coalmine's filter runs in Envoy, at home in Istio; render its resources with `coalmine render`";
const METRICS_SERVER: &str = "the operator names the Prometheus once, for all rollouts";
const ROUTE: &str =
    "Coalmine edits no route: your own routes obey the header x-coalmine-variant (`coalmine render`)";
const GENERATED: &str =
    "Flagger writes this into the Services and routes that it makes; write it into your own";
const SCALER: &str =
    "Coalmine makes no autoscaler for the primary; keep the one that Flagger made, as your own";
const DEADLINE: &str = "a canary that does not get ready is not rolled back: it gets no users, and the rollout says what it waits for";
const SKIP: &str = "no analysis is skipped: without evidence the rollout holds; `promote` is a person's verb";
const DELETION: &str = "Coalmine changes no Service and scales no stable workload, so a deletion has nothing to revert; users go to stable first";
const THRESHOLD: &str = "checks that fail are not counted: the judge rolls back once harm is proved, and a harmless canary with a chance of \
     1 % at most (\"alpha\")";
const MIRROR: &str = "no request is mirrored; a first step of weight 0 is for testers instead";
const PROMOTION: &str = "after the promotion the weight walks down by the steps of the plan";
const READY: &str =
    "not a share of pods counts: the canary needs ready replicas in proportion to its users (\"capacity\")";
const WINDOW: &str = "evidence has no window: every request since the start of the release counts";
const VARIABLES: &str = "queries have no variables; the operator writes them out";
const HOOK: &str = "how a gate or notifier is called is the operator's to say, once for all rollouts";
const SEVERITY: &str =
    "notifiers have no severity: they are told of starts, of what needs a person, of rollbacks, and of ends";
const COOKIE_NAME: &str = "Flagger's cookie has one value for all users of the canary, so it names no user; Coalmine's is another one, coalmine-id";
const PARTITIONED: &str = "the issued cookie has no such attribute";

/// The `spec`.
pub(super) const SPEC: &[(&str, Fate)] = &[
    ("provider", Note(PROVIDER)),
    ("metricsServer", Note(METRICS_SERVER)),
    ("targetRef.apiVersion", Read),
    ("targetRef.kind", Read),
    ("targetRef.name", Read),
    ("autoscalerRef.apiVersion", Read),
    ("autoscalerRef.kind", Read),
    ("autoscalerRef.name", Read),
    ("autoscalerRef.primaryScalerQueries", Note(SCALER)),
    ("autoscalerRef.primaryScalerReplicas", Note(SCALER)),
    ("ingressRef", Note(ROUTE)),
    ("routeRef", Note(ROUTE)),
    ("upstreamRef", Note(ROUTE)),
    ("service.name", Read),
    ("service.hosts", Read),
    ("service.match", Read),
    ("service.port", Note(GENERATED)),
    ("service.portName", Note(GENERATED)),
    ("service.targetPort", Note(GENERATED)),
    ("service.appProtocol", Note(GENERATED)),
    ("service.trafficDistribution", Note(GENERATED)),
    ("service.portDiscovery", Note(GENERATED)),
    ("service.headless", Note(GENERATED)),
    ("service.timeout", Note(GENERATED)),
    ("service.backendTimeout", Note(GENERATED)),
    ("service.gateways", Note(GENERATED)),
    ("service.gatewayRefs", Note(GENERATED)),
    ("service.delegation", Note(GENERATED)),
    ("service.trafficPolicy", Note(GENERATED)),
    ("service.rewrite", Note(GENERATED)),
    ("service.retries", Note(GENERATED)),
    ("service.headers", Note(GENERATED)),
    ("service.mirror", Note(GENERATED)),
    ("service.corsPolicy", Note(GENERATED)),
    ("service.meshName", Note(GENERATED)),
    ("service.backends", Note(GENERATED)),
    ("service.apex", Note(GENERATED)),
    ("service.primary", Note(GENERATED)),
    ("service.canary", Note(GENERATED)),
    ("service.unmanagedMetadata", Note(GENERATED)),
    ("analysis", Read),
    ("canaryAnalysis", Read),
    ("progressDeadlineSeconds", Note(DEADLINE)),
    ("skipAnalysis", Note(SKIP)),
    ("revertOnDeletion", Note(DELETION)),
    ("suspend", Read),
];

/// `analysis`, or `canaryAnalysis` as it was called before.
pub(super) const ANALYSIS: &[(&str, Fate)] = &[
    ("interval", Read),
    ("iterations", Read),
    ("threshold", Note(THRESHOLD)),
    ("maxWeight", Read),
    ("stepWeight", Read),
    ("stepWeights", Read),
    ("stepWeightPromotion", Note(PROMOTION)),
    ("mirror", Note(MIRROR)),
    ("mirrorWeight", Note(MIRROR)),
    ("primaryReadyThreshold", Note(READY)),
    ("canaryReadyThreshold", Note(READY)),
    ("match", Read),
    ("metrics.name", Read),
    ("metrics.interval", Note(WINDOW)),
    ("metrics.threshold", Read),
    ("metrics.thresholdRange.min", Read),
    ("metrics.thresholdRange.max", Read),
    ("metrics.query", Read),
    ("metrics.templateRef", Read),
    ("metrics.templateVariables", Note(VARIABLES)),
    ("alerts.name", Read),
    ("alerts.severity", Note(SEVERITY)),
    ("alerts.providerRef", Read),
    ("webhooks.name", Read),
    ("webhooks.type", Read),
    ("webhooks.url", Note(HOOK)),
    ("webhooks.timeout", Note(HOOK)),
    ("webhooks.retries", Note(HOOK)),
    ("webhooks.disableTLS", Note(HOOK)),
    ("webhooks.muteAlert", Note(HOOK)),
    ("webhooks.metadata", Note(HOOK)),
    ("sessionAffinity.cookieName", Note(COOKIE_NAME)),
    ("sessionAffinity.primaryCookieName", Note(COOKIE_NAME)),
    ("sessionAffinity.domain", Read),
    ("sessionAffinity.httpOnly", Read),
    ("sessionAffinity.maxAge", Read),
    ("sessionAffinity.partitioned", Note(PARTITIONED)),
    ("sessionAffinity.path", Read),
    ("sessionAffinity.sameSite", Read),
    ("sessionAffinity.secure", Read),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_field() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/from-flagger.md");
        let text = std::fs::read_to_string(path).unwrap();
        for (field, _) in SPEC.iter().chain(ANALYSIS) {
            assert!(text.contains(&format!("`{field}`")), "{field}");
        }
    }
}
