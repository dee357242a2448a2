# The images of the filter and of the server. Included by the Makefile at the repository's root; every path is relative to
# that root.

IMAGE_DIR := target/image
IMAGE_VERSION = $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -1)
IMAGE_REGISTRY = $(or $(REGISTRY),$(error say where to, e.g. make $@ REGISTRY=ghcr.io/you))

.PHONY: image
image: $(FILTER) ## The filter as an OCI image, with docker or buildah; prints its digest
	@image/image.sh filter $(FILTER) $(IMAGE_DIR) $(IMAGE_VERSION)

.PHONY: push
push: image ## Push the image: make push REGISTRY=ghcr.io/you; prints the lines for istio/demo/image.yaml
	@image/image.sh push $(IMAGE_DIR) $(IMAGE_REGISTRY)/coalmine-filter:$(IMAGE_VERSION)

SERVER_IMAGE := target/server-image
# The authorities that the image trusts: those of this host.
CERTIFICATES ?= /etc/ssl/certs/ca-certificates.crt

.PHONY: server-image
server-image: $(FILTER) $(STATIC_COMMAND) ## What the server's image is made of, for docker build: target/server-image
	@rm -rf $(SERVER_IMAGE) && mkdir -p $(SERVER_IMAGE)/store
	@install -m 755 $(STATIC_COMMAND) $(SERVER_IMAGE)/coalmine
	@install -m 644 $(FILTER) $(SERVER_IMAGE)
	@install -m 644 image/server.Dockerfile $(SERVER_IMAGE)/Dockerfile
	@install -m 644 $(CERTIFICATES) $(SERVER_IMAGE)/ca-certificates.crt

.PHONY: push-server
push-server: server-image ## Push the server's image: make push-server REGISTRY=ghcr.io/you; prints what istio/controller and the chart name
	@image/image.sh server $(SERVER_IMAGE) target/pushed-server-image $(IMAGE_VERSION)
	@image/image.sh push target/pushed-server-image $(IMAGE_REGISTRY)/coalmine:$(IMAGE_VERSION)

.PHONY: test-image
test-image: server-image $(MESH_PYTHON) ## The server's image: what is in it, the same twice, and that it runs alone (root, Debian's buildah and musl-tools)
	@command -v buildah >/dev/null || { echo "no buildah: apt-get install --no-install-recommends buildah" >&2; exit 1; }
	@test "$$(id -u)" = 0 || { echo "test-image needs root" >&2; exit 1; }
	SERVER_IMAGE=$(SERVER_IMAGE) $(VENV)/bin/python -B -m pytest -c tests/image/pytest.ini tests/image $(PYTEST)
