# What Argo CD and Flux see of rollouts, and what their syncs do to them. Included by the Makefile at the repository's root; every
# path is relative to that root.

.PHONY: test-gitops
test-gitops: mesh-tools $(COMMAND_TESTED) ## Argo CD's difference and health, Flux's apply and status, beside a real server on a real Kubernetes API; GO=.. for flags of go test
	COALMINE_COMMAND=$(CURDIR)/$(COMMAND_TESTED) tests/kubernetes.sh go test -C tests/gitops -trimpath -count 1 $(GO)
