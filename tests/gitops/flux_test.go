package gitops

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// kstatus gives what tools that know nothing of Coalmine see of an object, as Flux with `wait: true`.
func kstatus(object *unstructured.Unstructured) status.Result {
	return *must(status.Compute(object))
}

// fluxShows gives what Flux sees of an object by the expressions of the example.
func fluxShows(t *testing.T, object *unstructured.Unstructured) status.Status {
	t.Helper()
	checks := fluxExpressions(t)
	evaluator := must(cel.NewStatusEvaluator(&checks.HealthCheckExpressions))
	return must(evaluator.Evaluate(t.Context(), object)).Status
}

func fluxExpressions(t *testing.T) kustomize.CustomHealthCheck {
	t.Helper()
	file := must(os.ReadFile(filepath.Join(root, "istio/gitops/flux/kustomizations.yaml")))
	for _, object := range objects(string(file)) {
		written, found, err := unstructured.NestedSlice(object.Object, "spec", "healthCheckExprs")
		if must(found, err) {
			var checks kustomize.CustomHealthCheck
			content := written[0].(map[string]any)
			if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(content, &checks, true); err != nil {
				t.Fatal(err)
			}
			return checks
		}
	}
	t.Fatal("no expressions in the example")
	panic("unreachable")
}

// flux applies as Flux does: where a dry run sees a difference.
type flux struct{ *ssa.ResourceManager }

func newFlux(c *cluster) flux {
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	return flux{ssa.NewResourceManager(c.Client, nil, owner)}
}

// changes applies an object; what it did.
func (f flux) changes(t *testing.T, wanted *unstructured.Unstructured) ssa.Action {
	t.Helper()
	entry, err := f.Apply(t.Context(), wanted.DeepCopy(), ssa.DefaultApplyOptions())
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", wanted.GetKind(), wanted.GetName(), err))
	}
	return entry.Action
}
