package gitops

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// tool brings what is in Git into the cluster, and is able to say whether both are the same.
type tool interface {
	// sync applies everything.
	sync(t *testing.T, git []*unstructured.Unstructured)
	// same applies everything again, and fails where that is something to do.
	same(t *testing.T, git []*unstructured.Unstructured)
}

// clientSide is Argo CD without server-side apply, and `kubectl apply`.
type clientSide struct{ *cluster }

func (c clientSide) sync(t *testing.T, git []*unstructured.Unstructured) {
	t.Helper()
	c.run(t, text(git...), "apply", "--field-manager", argocd, "-f", "-")
}

func (c clientSide) same(t *testing.T, git []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range git {
		if err := (argoDiff{}).differs(t, c.cluster, object); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(c.run(t, text(git...), "apply", "--field-manager", argocd, "-f", "-")) {
		// kubectl patches each PodDisruptionBudget each time, with what it has: a selector is replaced as a whole.
		if !strings.HasSuffix(line, " unchanged\n") && !strings.HasPrefix(line, "poddisruptionbudget.") {
			t.Fatal(line)
		}
	}
}

// serverSide is Argo CD with ServerSideApply=true, which takes over what others own.
type serverSide struct {
	*cluster
	// Made once: it reads the schemas of the whole cluster.
	compare *argoDiff
}

func (c *serverSide) sync(t *testing.T, git []*unstructured.Unstructured) {
	t.Helper()
	c.run(t, text(git...), "apply", "--server-side", "--force-conflicts", "--field-manager", argocd, "-f", "-")
}

func (c *serverSide) same(t *testing.T, git []*unstructured.Unstructured) {
	t.Helper()
	if c.compare == nil {
		c.compare = newServerSideDiff(t, c.cluster)
	}
	for _, object := range git {
		if err := c.compare.differs(t, c.cluster, object); err != nil {
			t.Fatal(err)
		}
	}
	// Without force: nothing of it is anybody else's.
	c.run(t, text(git...), "apply", "--server-side", "--field-manager", argocd, "-f", "-")
}

func (f flux) sync(t *testing.T, git []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range git {
		f.changes(t, object)
	}
}

func (f flux) same(t *testing.T, git []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range git {
		if action := f.changes(t, object); action != ssa.UnchangedAction {
			t.Fatal(fmt.Errorf("%s %s is %s", object.GetKind(), object.GetName(), action))
		}
	}
}
