// Package gitops holds what Coalmine says of GitOps tools against what they do: Argo CD's difference, health and Lua, Flux's apply,
// status and expressions, on a real kube-apiserver with a real server.
package gitops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The longest that is waited for something.
const within = 60 * time.Second

// The repository.
var root = must(filepath.Abs("../.."))

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// cluster is a kube-apiserver with the controllers of Kubernetes, whose Pods nobody runs.
type cluster struct {
	kubeconfig string
	config     *rest.Config
	client.Client

	mutex sync.Mutex
	// The image whose Pods do not get ready.
	unready string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	path := os.Getenv("COALMINE_TEST_KUBECONFIG")
	if path == "" {
		t.Skip("needs the API of Kubernetes: make test-gitops")
	}
	config := must(clientcmd.BuildConfigFromFlags("", path))
	config.QPS, config.Burst = 200, 200
	c := &cluster{kubeconfig: path, config: config, Client: must(client.New(config, client.Options{Scheme: scheme.Scheme}))}
	for _, name := range []string{"coalmine-system", "istio-system", "shop"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := c.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	c.apply(t, "--server-side", "-f", filepath.Join(root, "istio/controller/crd.yaml"))
	// kubectl waits for no condition of an object that has none yet.
	until(t, "the definition is in force", func() error {
		_, err := c.try("", "wait", "--for=condition=Established", "crd/canaryrollouts.coalmine.dev", "--timeout=60s")
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c.getReady(ctx)
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

// getReady says that Pods run and are ready, as a kubelet would.
func (c *cluster) getReady(ctx context.Context) {
	var pods corev1.PodList
	if c.List(ctx, &pods, client.InNamespace("shop")) != nil {
		return
	}
	c.mutex.Lock()
	unready := c.unready
	c.mutex.Unlock()
	for _, pod := range pods.Items {
		if len(pod.Status.Conditions) > 0 || pod.Spec.Containers[0].Image == unready {
			continue
		}
		pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, "10.0.0.1"
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now(),
		}}
		// It may be gone by now.
		_ = c.Status().Update(ctx, &pod)
	}
}

// keepUnready says which image does not get ready from now on; none with "".
func (c *cluster) keepUnready(image string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.unready = image
}

// run runs kubectl and gives what it printed.
func (c *cluster) run(t *testing.T, stdin string, arguments ...string) string {
	t.Helper()
	printed, err := c.try(stdin, arguments...)
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(arguments, " "), err)
	}
	return printed
}

func (c *cluster) try(stdin string, arguments ...string) (string, error) {
	command := exec.Command(filepath.Join(root, ".tools/mesh/kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, arguments...)...)
	command.Stdin = strings.NewReader(stdin)
	var wrong strings.Builder
	command.Stderr = &wrong
	printed, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, wrong.String())
	}
	return string(printed), nil
}

func (c *cluster) apply(t *testing.T, arguments ...string) {
	t.Helper()
	c.run(t, "", append([]string{"apply"}, arguments...)...)
}

// live reads what the cluster has of an object.
func (c *cluster) live(t *testing.T, of *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(of.GroupVersionKind())
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(of), live); err != nil {
		t.Fatal(err)
	}
	return live
}

// deployment gives how many replicas a Deployment is to have, and its image.
func (c *cluster) deployment(t *testing.T, name string) (int32, string) {
	t.Helper()
	var found appsv1.Deployment
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, &found); err != nil {
		t.Fatal(err)
	}
	return *found.Spec.Replicas, found.Spec.Template.Spec.Containers[0].Image
}

// until waits until there is no error any more.
func until(t *testing.T, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never: %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// isGone is no error once the cluster does not know the object any more.
func (c *cluster) isGone(ctx context.Context, of *unstructured.Unstructured) error {
	live := of.DeepCopy()
	err := c.Get(ctx, client.ObjectKeyFromObject(of), live)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil:
		return errors.New("it is still there")
	}
	return err
}

// objects reads the documents of a text in YAML.
func objects(text string) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			panic(err)
		}
		if len(object.Object) > 0 {
			found = append(found, object)
		}
	}
	return found
}

// text writes objects in YAML.
func text(objects ...*unstructured.Unstructured) string {
	var all []string
	for _, object := range objects {
		all = append(all, string(must(yaml.Marshal(object.Object))))
	}
	return strings.Join(all, "---\n")
}
