# Istio reads the module from /plugin.wasm in the image's last layer; nothing in this image is ever run.
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="coalmine-filter" \
      org.opencontainers.image.description="Coalmine: blind, sticky canaries in the service mesh (Proxy-Wasm filter)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY plugin.wasm /plugin.wasm
