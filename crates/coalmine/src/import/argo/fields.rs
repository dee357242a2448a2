//! The fields of a Rollout and an AnalysisTemplate (argoproj.io/v1alpha1), and what becomes of each.

use crate::import::plan::Fate::{self, Note, Read};

const PODS: &str = "this belongs to the Deployments of stable and canary, which you write";
const SURGE: &str = "the Deployments of stable and canary have a rolling update of their own";
const SCALE: &str = "Coalmine scales the canary down after a promotion and nothing else; users wait for its replicas (\"capacity\"), not \
     replicas for users";
const METADATA: &str = "write the labels and annotations into the Deployments of stable and canary";
const DELAY: &str =
    "the canary is scaled down once all users are on the new stable, and never after a rollback";
const DEADLINE: &str = "a canary that does not get ready is not aborted: it gets no users, and the rollout says what it waits for";
const WINDOW: &str = "a release of an earlier version is judged as any other";
const RUNS: &str = "there are no AnalysisRuns to keep";
const HIDES: &str = "scale the workload by hand: stable is this Deployment";
const SERVICES: &str = "Coalmine changes no selector; each variant has a Service or a subset of its own, which your routes lead to";
const ROUTE: &str = "Coalmine edits no route and no weight in it: your own routes obey the header x-coalmine-variant (`coalmine render`)";
const OTHER_PROXY: &str = "Coalmine's filter runs in Envoy, at home in Istio; this router cannot follow it";
const STICKINESS: &str =
    "every user is sticky here, by identity; \"onMissingIdentity: issueCookie\" is for users without one";
const BACKGROUND: &str = "the guards watch from the first step on, and at every step";
const ARGS: &str = "queries have no arguments; the operator writes them out";
const METRIC: &str = "measurements are not counted one by one: the judge looks at all requests since the start of the release, as often as \
     it likes, and rolls back once harm is proved";
const CONDITION: &str =
    "a fixed bound has no counterpart: the canary is compared with stable (\"worseThan\", \"safeWithin\")";
const EXPERIMENT: &str = "no experiment runs beside a rollout; a variant called baseline is the fair comparison that it is often for. Its \
     duration counts as time on the step";
const CANARY_SCALE: &str = "the canary's replicas are its Deployment's or its autoscaler's; users wait until it has enough (\"capacity\")";
const HEADER_ROUTE: &str =
    "clients cannot choose a version; testers get the canary by a signed token (`coalmine token`)";
const MIRROR: &str = "no request is mirrored; a first step of weight 0 is for testers instead";
const PLUGIN: &str = "how a gate is asked is the operator's to say, once for all rollouts";

/// The `spec` of a Rollout.
pub(super) const SPEC: &[(&str, Fate)] = &[
    ("replicas", Note(PODS)),
    ("selector", Note(PODS)),
    ("template", Note(PODS)),
    ("minReadySeconds", Note(PODS)),
    ("revisionHistoryLimit", Note(PODS)),
    ("restartAt", Note(PODS)),
    ("workloadRef.apiVersion", Read),
    ("workloadRef.kind", Read),
    ("workloadRef.name", Read),
    ("workloadRef.scaleDown", Note(HIDES)),
    ("rollbackWindow", Note(WINDOW)),
    ("paused", Read),
    ("progressDeadlineSeconds", Note(DEADLINE)),
    ("progressDeadlineAbort", Note(DEADLINE)),
    ("analysis", Note(RUNS)),
    ("strategy.blueGreen", Read),
    ("strategy.canary.canaryService", Note(SERVICES)),
    ("strategy.canary.stableService", Read),
    ("strategy.canary.pingPong", Note(SERVICES)),
    ("strategy.canary.maxSurge", Note(SURGE)),
    ("strategy.canary.maxUnavailable", Note(SURGE)),
    ("strategy.canary.minPodsPerReplicaSet", Note(SCALE)),
    ("strategy.canary.dynamicStableScale", Note(SCALE)),
    ("strategy.canary.replicaProgressThreshold", Note(SCALE)),
    ("strategy.canary.antiAffinity", Note(PODS)),
    ("strategy.canary.canaryMetadata", Note(METADATA)),
    ("strategy.canary.stableMetadata", Note(METADATA)),
    ("strategy.canary.scaleDownDelaySeconds", Note(DELAY)),
    ("strategy.canary.scaleDownDelayRevisionLimit", Note(DELAY)),
    ("strategy.canary.abortScaleDownDelaySeconds", Note(DELAY)),
    ("strategy.canary.analysis.templates", Read),
    ("strategy.canary.analysis.startingStep", Note(BACKGROUND)),
    ("strategy.canary.analysis.args", Note(ARGS)),
    ("strategy.canary.analysis.dryRun", Read),
    ("strategy.canary.analysis.measurementRetention", Note(RUNS)),
    ("strategy.canary.analysis.analysisRunMetadata", Note(RUNS)),
    ("strategy.canary.steps.setWeight", Read),
    ("strategy.canary.steps.pause.duration", Read),
    ("strategy.canary.steps.analysis.templates", Read),
    ("strategy.canary.steps.analysis.args", Note(ARGS)),
    ("strategy.canary.steps.analysis.dryRun", Read),
    ("strategy.canary.steps.analysis.measurementRetention", Note(RUNS)),
    ("strategy.canary.steps.analysis.analysisRunMetadata", Note(RUNS)),
    ("strategy.canary.steps.experiment", Note(EXPERIMENT)),
    ("strategy.canary.steps.setCanaryScale", Note(CANARY_SCALE)),
    ("strategy.canary.steps.setHeaderRoute", Note(HEADER_ROUTE)),
    ("strategy.canary.steps.setMirrorRoute", Note(MIRROR)),
    ("strategy.canary.steps.plugin.name", Read),
    ("strategy.canary.steps.plugin.config", Note(PLUGIN)),
    ("strategy.canary.trafficRouting.istio.virtualService.name", Read),
    ("strategy.canary.trafficRouting.istio.virtualService.routes", Note(ROUTE)),
    ("strategy.canary.trafficRouting.istio.virtualService.tlsRoutes", Note(ROUTE)),
    ("strategy.canary.trafficRouting.istio.virtualService.tcpRoutes", Note(ROUTE)),
    ("strategy.canary.trafficRouting.istio.virtualServices", Read),
    ("strategy.canary.trafficRouting.istio.destinationRule", Note(ROUTE)),
    ("strategy.canary.trafficRouting.managedRoutes", Note(ROUTE)),
    ("strategy.canary.trafficRouting.maxTrafficWeight", Read),
    ("strategy.canary.trafficRouting.nginx", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.alb.stickinessConfig", Note(STICKINESS)),
    ("strategy.canary.trafficRouting.alb.ingress", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.alb.ingresses", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.alb.servicePort", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.alb.rootService", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.alb.annotationPrefix", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.smi", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.ambassador", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.appMesh", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.traefik", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.apisix", Note(OTHER_PROXY)),
    ("strategy.canary.trafficRouting.plugins", Note(OTHER_PROXY)),
];

/// The `spec` of an AnalysisTemplate or a ClusterAnalysisTemplate.
pub(super) const TEMPLATE: &[(&str, Fate)] = &[
    ("templates", Read),
    ("args", Note(ARGS)),
    ("dryRun", Read),
    ("measurementRetention", Note(RUNS)),
    ("metrics.name", Read),
    ("metrics.provider", Read),
    ("metrics.successCondition", Note(CONDITION)),
    ("metrics.failureCondition", Note(CONDITION)),
    ("metrics.interval", Note(METRIC)),
    ("metrics.initialDelay", Note(METRIC)),
    ("metrics.count", Note(METRIC)),
    ("metrics.failureLimit", Note(METRIC)),
    ("metrics.inconclusiveLimit", Note(METRIC)),
    ("metrics.consecutiveErrorLimit", Note(METRIC)),
    ("metrics.consecutiveSuccessLimit", Note(METRIC)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_field() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/from-argo.md");
        let text = std::fs::read_to_string(path).unwrap();
        for (field, _) in SPEC.iter().chain(TEMPLATE) {
            assert!(text.contains(&format!("`{field}`")), "{field}");
        }
    }
}
