//! Connections: HTTP/1.1 and HTTP/2 on one port, with TLS or without, within limits, and drained at the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::ending::Ending;
use crate::publish::xds::{Peer, keep_alive};
use crate::tls::{self, Certificates};

/// How long a client may take for its handshake, and for the headers of a request.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long open requests may go on once the server ends.
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait after an error of accept: of too many files, the next one comes at once.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Why an address is refused: a sentence.
///
/// Beyond this host the policy, which may name people, and every verb would be open to whoever comes by, or to whoever reads
/// along.
pub fn refuses(address: SocketAddr, has_tokens: bool, has_tls: bool, insecure: bool) -> Option<String> {
    if address.ip().is_loopback() {
        return None;
    }
    if !has_tokens {
        return Some(format!(
            "{address} is open to other hosts, and there are no tokens; add \"tokens\" or \"oidc\", or listen on 127.0.0.1"
        ));
    }
    if !has_tls && !insecure {
        return Some(format!(
            "{address} is open to other hosts, and tokens would go over the network as they are; add \"tls\", or say \
             \"insecure: true\" where something else encrypts"
        ));
    }
    None
}

/// Serves `most` connections at a time until the server ends, and then for as long as open requests take, at most ten
/// seconds.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    certificates: Option<Arc<Certificates>>,
    most: usize,
    mut ending: Ending,
) {
    let connections = Arc::new(Semaphore::new(most));
    let graceful = Arc::new(GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.comes() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection cannot be taken: {error}");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            tracing::warn!("{most} connections are open, and no more are taken");
            continue;
        };
        let (router, watcher) = (router.clone(), graceful.watcher());
        let acceptor = certificates.as_ref().map(|certificates| TlsAcceptor::from(certificates.config()));
        tokio::spawn(async move {
            let _permit = permit;
            // An error of a connection is the client's.
            let Some(acceptor) = acceptor else {
                // Who says nothing has no version of HTTP yet, and so no time limit of it.
                if let Ok(Ok(1..)) = timeout(HANDSHAKE, stream.peek(&mut [0])).await {
                    let peer = Peer { address: Some(peer), names: Vec::new() };
                    connection(stream, peer, router, watcher, None).await;
                }
                return;
            };
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let session = stream.get_ref().1;
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let peer = Peer { address: Some(peer), names: tls::uris(session) };
                connection(stream, peer, router, watcher, Some(is_http2)).await;
            }
        });
    }
    drop(listener);
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = timeout(DRAIN, graceful.shutdown()).await;
    }
}

/// An address to listen on, opened.
///
/// # Errors
/// It cannot be opened; the error says which it is.
pub(crate) async fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("{address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}

async fn connection<S>(stream: S, peer: Peer, router: Router, watcher: Watcher, is_http2: Option<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    let mut builder = match is_http2 {
        None => Builder::new(TokioExecutor::new()),
        Some(true) => Builder::new(TokioExecutor::new()).http2_only(),
        Some(false) => Builder::new(TokioExecutor::new()).http1_only(),
    };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    keep_alive(&mut builder);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let _ = watcher.watch(connection).await;
}

#[cfg(test)]
mod stranger;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_other_hosts_needs_tokens_and_tls() {
        let address = |text: &str| text.parse().unwrap();
        for local in ["127.0.0.1:1", "[::1]:1"] {
            assert_eq!(refuses(address(local), false, false, false), None);
        }
        for public in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let refused = |tokens, tls, insecure| refuses(address(public), tokens, tls, insecure);
            assert!(refused(false, true, true).unwrap().contains("no tokens"));
            assert!(refused(true, false, false).unwrap().contains("tls"));
            assert_eq!(refused(true, true, false), None);
            assert_eq!(refused(true, false, true), None);
        }
    }
}
