package gitops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	image = "ghcr.io/stefanprodan/podinfo:"
	old   = image + "6.8.0"

	// Quick, and without evidence: nobody sends requests here.
	plan = `
steps: [{weight: 0, approval: true}, 50]
dwell: 0s
minRequests: 0
warmUp: 0s
rollback: {down: [25, 0], every: 3s}
`
	plugin = `
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {namespace: istio-system, name: coalmine}
spec:
  match: [{mode: CLIENT}]
  wasm: {url: "oci://registry.example/coalmine-filter:0.1.0", failStrategy: FAIL_OPEN}
`
)

// shown is what the tools show of a rollout: Argo CD, whoever knows the generic rules alone, and Flux with the example's expressions.
type shown struct {
	argo    health.HealthStatusCode
	generic status.Status
	flux    status.Status
}

var (
	unseen    = shown{health.HealthStatusProgressing, status.InProgressStatus, status.InProgressStatus}
	healthy   = shown{health.HealthStatusHealthy, status.CurrentStatus, status.CurrentStatus}
	moving    = shown{health.HealthStatusProgressing, status.InProgressStatus, status.CurrentStatus}
	suspended = shown{health.HealthStatusSuspended, status.InProgressStatus, status.CurrentStatus}
	degraded  = shown{health.HealthStatusDegraded, status.FailedStatus, status.FailedStatus}
)

// story is a rollout whose manifests stand in Git, and a tool that syncs them.
type story struct {
	t *testing.T
	*cluster
	*server
	tool tool
	git  []*unstructured.Unstructured
}

func newStory(t *testing.T, c *cluster, tool tool) *story {
	s := &story{t: t, cluster: c, server: newServer(t, c), tool: tool}
	definition := must(os.ReadFile(filepath.Join(root, "istio/controller/crd.yaml")))
	example := s.cluster.run(t, "", "kustomize", filepath.Join(root, "istio/gitops/shop"))
	s.git = append(append(objects(string(definition)), objects(plugin)...), objects(example)...)
	s.set("CanaryRollout", "checkout", plan, "spec", "plan")
	s.runs("canary", old)
	t.Cleanup(s.prune)
	return s
}

// find gives what Git has of an object.
func (s *story) find(kind, name string) *unstructured.Unstructured {
	for _, object := range s.git {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	s.t.Fatalf("Git has no %s %s", kind, name)
	return nil
}

// set writes a field in Git.
func (s *story) set(kind, name, written string, fields ...string) {
	var value any
	if err := yaml.Unmarshal([]byte(written), &value); err != nil {
		s.t.Fatal(err)
	}
	if err := unstructured.SetNestedField(s.find(kind, name).Object, value, fields...); err != nil {
		s.t.Fatal(err)
	}
}

// runs writes the image of a version in Git.
func (s *story) runs(version, image string) {
	deployment := s.find("Deployment", "checkout-"+version).Object
	containers, _, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	must(containers, err)[0].(map[string]any)["image"] = image
	if err := unstructured.SetNestedSlice(deployment, containers, "spec", "template", "spec", "containers"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) rollout() *unstructured.Unstructured { return s.find("CanaryRollout", "checkout") }

func (s *story) sync() { s.t.Helper(); s.tool.sync(s.t, s.git) }

// shows waits until the tools show this, in this phase, with these words in the message.
func (s *story) shows(wanted shown, phase, words string) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("%v in phase %q, %q", wanted, phase, words), func() error {
		live := s.live(s.t, s.rollout())
		argo, generic := argoShows(live), kstatus(live)
		now := shown{argo.Status, generic.Status, fluxShows(s.t, live)}
		is, _, _ := unstructured.NestedString(live.Object, "status", "phase")
		if now != wanted || is != phase || !strings.Contains(argo.Message, words) {
			return fmt.Errorf("at last %v in phase %q, %q; %s", now, is, argo.Message, generic.Message)
		}
		return nil
	})
}

// has waits until the plugin sends so many percent to the canary, whose evidence is counted or not.
func (s *story) has(percent float64, observed bool) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("the plugin has the weight %v, observed: %v", percent, observed), func() error {
		var config struct {
			Rollouts []struct {
				Observe  bool
				Variants []struct{ Weight float64 }
			}
		}
		if err := yaml.Unmarshal([]byte(s.policy()), &config); err != nil {
			return err
		}
		found := config.Rollouts
		if len(found) != 1 || found[0].Variants[0].Weight != percent || found[0].Observe != observed {
			return fmt.Errorf("it has %v", found)
		}
		return nil
	})
}

// policy gives the document in the plugin.
func (s *story) policy() string {
	live := s.live(s.t, s.find("TrafficExtension", "coalmine"))
	config, _, err := unstructured.NestedMap(live.Object, "spec", "wasm", "pluginConfig")
	return string(must(yaml.Marshal(must(config, err))))
}

// rest gives what no sync may change.
func (s *story) rest() string {
	seen := []string{s.policy()}
	for _, object := range s.git {
		live := s.live(s.t, object)
		seen = append(seen, fmt.Sprintf("%s %s: generation %d, %v, %v", live.GetKind(), live.GetName(), live.GetGeneration(),
			live.GetFinalizers(), live.GetAnnotations()["coalmine.dev/revision"]))
	}
	live := s.live(s.t, s.rollout())
	for _, field := range []string{"weight", "phase", "release", "observedGeneration"} {
		value, _, _ := unstructured.NestedFieldNoCopy(live.Object, "status", field)
		seen = append(seen, fmt.Sprintf("%s: %v", field, value))
	}
	return strings.Join(seen, "\n")
}

// rests applies everything again and again: nobody changes anything.
func (s *story) rests() {
	s.t.Helper()
	before := s.rest()
	for range 3 {
		s.tool.same(s.t, s.git)
		s.sync()
	}
	if after := s.rest(); after != before {
		s.t.Fatalf("it was\n%s\nand is\n%s", before, after)
	}
}

// prune deletes what was in Git, and what keeps a rollout if no server is there.
func (s *story) prune() {
	// The test's own context has ended by now.
	ctx := context.Background()
	free := client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`))
	// The definition stays: the next story has it too.
	for _, object := range s.git[1:] {
		_ = s.Delete(ctx, object.DeepCopy())
	}
	_ = s.Patch(ctx, s.rollout().DeepCopy(), free)
	for _, object := range s.git[1:] {
		until(s.t, object.GetKind()+" is gone", func() error { return s.isGone(ctx, object) })
	}
}

func TestARelease(t *testing.T) {
	c := newCluster(t)
	tools := []struct {
		name string
		tool tool
	}{{"Argo CD", clientSide{c}}, {"Argo CD, server-side", &serverSide{cluster: c}}, {"Flux", newFlux(c)}}
	for _, it := range tools {
		t.Run(it.name, func(t *testing.T) {
			s := newStory(t, c, it.tool)
			s.isInstalled()
			s.isOnItsWay()
			s.isRolledBack()
			s.isPromoted()
			s.isDeleted()
		})
	}
}

func (s *story) isInstalled() {
	// The rollout comes first, and nobody looks at it yet.
	all := s.git
	s.git = []*unstructured.Unstructured{all[0], s.find("TrafficExtension", "coalmine"), s.rollout()}
	s.sync()
	s.shows(unseen, "", "waits for the server")
	s.start()
	s.shows(unseen, "Idle", "there is no Deployment shop/checkout-canary")
	s.git = all
	s.sync()
	s.shows(healthy, "Idle", "the canary runs stable's version")
	s.has(0, false)
	s.rests()
}

// releases brings a new version to the canary, up to the step that somebody has to approve.
func (s *story) releases(image string) {
	s.t.Helper()
	s.keepUnready(image)
	s.runs("canary", image)
	s.sync()
	s.keepUnready("")
	s.shows(suspended, "WaitingForApproval", "waits for approval")
	s.say("approve")
	s.has(50, true)
}

func (s *story) isOnItsWay() {
	s.keepUnready(image + "6.9.0")
	s.runs("canary", image+"6.9.0")
	s.sync()
	s.shows(moving, "Idle", "is new and has 2 of 2 replicas ready, not all of them new")
	s.keepUnready("")
	s.shows(suspended, "WaitingForApproval", "waits for approval")
	s.has(0, true)
	s.rests()
	s.say("approve")
	s.has(50, true)
	s.shows(moving, "Progressing", "holds at 50 %")
	s.rests()
	s.say("pause")
	s.shows(suspended, "Paused", "paused by")
	s.say("resume")
	s.shows(moving, "Progressing", "holds at 50 %")

	identity := []string{"spec", "policy", "identity"}
	before, _, _ := unstructured.NestedSlice(s.rollout().Object, identity...)
	s.set("CanaryRollout", "checkout", "[{heder: x-user-id}]", identity...)
	s.sync()
	s.shows(degraded, "Progressing", "heder")
	s.has(50, true)
	s.rests()
	s.set("CanaryRollout", "checkout", string(must(yaml.Marshal(before))), identity...)
	s.sync()
	s.shows(moving, "Progressing", "holds at 50 %")
}

func (s *story) isRolledBack() {
	s.say("rollback")
	s.shows(degraded, "RollingBack", "rolls back")
	s.shows(degraded, "RolledBack", "was rolled back; start retries it")
	s.has(0, false)
	s.rests()
	s.runs("canary", old)
	s.sync()
	s.shows(healthy, "RolledBack", "was rolled back")
	s.has(0, false)
	s.rests()
}

func (s *story) isPromoted() {
	s.releases(image + "6.9.1")
	s.say("promote")
	s.shows(moving, "Promoting", "waits until stable runs version")
	s.has(100, false)
	s.rests()
	s.runs("stable", image+"6.9.1")
	s.sync()
	s.shows(healthy, "Idle", "the canary runs stable's version")
	s.has(0, false)
	s.rests()
}

func (s *story) isDeleted() {
	s.releases(image + "6.9.2")
	s.stop()
	if err := s.Delete(s.t.Context(), s.rollout().DeepCopy()); err != nil {
		s.t.Fatal(err)
	}
	s.shows(shown{health.HealthStatusProgressing, status.TerminatingStatus, status.InProgressStatus}, "Progressing", "Pending deletion")
	s.has(50, true)
	s.start()
	until(s.t, "the rollout is gone", func() error { return s.isGone(s.t.Context(), s.rollout()) })
	until(s.t, "the plugin has no rollout", func() error {
		if policy := s.policy(); !strings.Contains(policy, "rollouts: []") {
			return errors.New(policy)
		}
		return nil
	})
}
