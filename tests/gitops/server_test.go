package gitops

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// server is `coalmine serve`, which keeps its rollouts in the cluster.
type server struct {
	t       *testing.T
	config  string
	address string
	admin   string
	process *exec.Cmd
}

func newServer(t *testing.T, c *cluster) *server {
	t.Helper()
	s := &server{t: t, address: freeAddress(), admin: freeAddress(), config: filepath.Join(t.TempDir(), "server.yaml")}
	config := fmt.Sprintf(`listen: %q
admin: %q
tick: 1s
store: {kubernetes: {kubeconfig: %[3]q, namespace: coalmine-system}}
kubernetes: {kubeconfig: %[3]q}
plugins: [{kind: TrafficExtension, namespace: istio-system, name: coalmine}]
`, s.address, s.admin, c.kubeconfig)
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func freeAddress() string {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	return listener.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	command := os.Getenv("COALMINE_COMMAND")
	s.process = exec.Command(command, "serve", "--config", s.config)
	log := must(os.OpenFile(s.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
	until(s.t, "the server is ready", func() error {
		answer, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			return fmt.Errorf("%w; its log: %s", err, must(os.ReadFile(s.config+".log")))
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", answer.Status)
		}
		return nil
	})
}

func (s *server) stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(20*time.Second, func() { _ = s.process.Process.Kill() })
	_ = s.process.Wait()
	killer.Stop()
	s.process = nil
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", must(os.ReadFile(s.config+".log")))
	}
}

// say says a verb about the rollout.
func (s *server) say(verb string) {
	s.t.Helper()
	answer, err := http.Post("http://"+s.address+"/v1/rollouts/shop/checkout/"+verb, "application/json", strings.NewReader("{}"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		s.t.Fatalf("%s: %s", verb, answer.Status)
	}
}
