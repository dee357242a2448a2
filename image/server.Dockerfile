# `coalmine`, the filter's module for `xds: {inline: ..}`, and the authorities to trust behind https:// addresses. Nothing
# else is in it: no shell, no library.
#
# `make server-image` builds what is copied here: a command that needs no library.
FROM scratch
ARG VERSION=local
LABEL org.opencontainers.image.title="coalmine" \
      org.opencontainers.image.description="Coalmine: blind, sticky canaries in the service mesh (server and command)" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY coalmine /usr/local/bin/coalmine
COPY coalmine.wasm /usr/local/share/coalmine/coalmine.wasm
# Without any authority the server would not start.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Empty, and the server's own: a new volume that is mounted here is so too.
COPY --chown=65532:65532 store /var/lib/coalmine
USER 65532:65532
WORKDIR /var/lib/coalmine
ENTRYPOINT ["/usr/local/bin/coalmine"]
CMD ["serve", "--config", "/etc/coalmine/server.yaml"]
