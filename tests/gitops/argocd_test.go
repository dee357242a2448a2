package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The field manager of Argo CD.
const argocd = "argocd-controller"

// argoHealth is the health check that is to be put into argocd-cm.
type argoHealth struct{ script string }

func newArgoHealth() argoHealth {
	file := must(os.ReadFile(filepath.Join(root, "istio/gitops/argocd/argocd-cm.yaml")))
	data, _, err := unstructured.NestedStringMap(objects(string(file))[0].Object, "data")
	script := must(data, err)["resource.customizations.health.coalmine.dev_CanaryRollout"]
	return argoHealth{script: script}
}

// GetResourceHealth runs the script as Argo CD does: with the base and the table library, and no other.
func (h argoHealth) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	var plain any
	if err := json.Unmarshal(must(object.MarshalJSON()), &plain); err != nil {
		return nil, err
	}
	state.SetGlobal("obj", luajson.DecodeValue(state, plain))
	if err := state.DoString(h.script); err != nil {
		return nil, err
	}
	answer, err := luajson.Encode(state.Get(-1))
	if err != nil {
		return nil, err
	}
	found := &health.HealthStatus{}
	return found, json.Unmarshal(answer, found)
}

// argoShows gives what Argo CD shows of an object.
func argoShows(object *unstructured.Unstructured) health.HealthStatus {
	return *must(health.GetResourceHealth(object, newArgoHealth()))
}

// argoDiff compares Git with the cluster, as Argo CD does with and without ServerSideApply=true.
type argoDiff struct{ options []diff.Option }

func newServerSideDiff(t *testing.T, c *cluster) *argoDiff {
	t.Helper()
	_, parser, err := (&kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}).LoadOpenAPISchema(c.config)
	if err != nil {
		t.Fatal(err)
	}
	return &argoDiff{options: []diff.Option{
		diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(dryRunner{c}), diff.WithGVKParser(parser),
		diff.WithManager(argocd),
	}}
}

// differs is an error that says what Argo CD would show as OutOfSync.
func (d argoDiff) differs(t *testing.T, c *cluster, wanted *unstructured.Unstructured) error {
	t.Helper()
	found, err := diff.Diff(wanted.DeepCopy(), c.live(t, wanted), d.options...)
	if err != nil {
		return err
	}
	if found.Modified {
		return fmt.Errorf("%s %s is OutOfSync: %s, and would be %s", wanted.GetKind(), wanted.GetName(), found.NormalizedLive, found.PredictedLive)
	}
	return nil
}

// dryRunner asks the API what applying would make of an object.
type dryRunner struct{ *cluster }

func (r dryRunner) Run(ctx context.Context, object *unstructured.Unstructured, manager string) (string, error) {
	predicted := object.DeepCopy()
	predicted.SetManagedFields(nil)
	options := []client.ApplyOption{client.DryRunAll, client.ForceOwnership, client.FieldOwner(manager)}
	if err := r.Apply(ctx, client.ApplyConfigurationFromUnstructured(predicted), options...); err != nil {
		return "", err
	}
	answer, err := predicted.MarshalJSON()
	return string(answer), err
}
