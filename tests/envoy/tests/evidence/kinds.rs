//! Every kind of request: how it is sent, what the service makes of it, and what its response counts as.

use std::time::Duration;

use coalmine_harness::Protocol;

/// A kind of request.
pub(super) struct Kind {
    /// Its name in the access log.
    pub(super) name: String,
    /// What the service does, as [`super::service`] reads it; the beginning chooses a route, as [`super::proxy`] has it.
    pub(super) path: String,
    pub(super) method: &'static str,
    pub(super) content_type: Option<&'static str>,
    pub(super) how: How,
    /// The class that its response counts as, unless a timeout comes first.
    pub(super) class: &'static str,
    /// How often Envoy runs its filters for it, each with a line in the access log.
    pub(super) passes: usize,
}

/// How a client sends a request, and what it does then.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// It tells the service when the headers have come, and reads the answer to its end.
    Whole(Protocol),
    /// It leaves once the service has the request, so long after that.
    Leaves(Protocol, Duration),
    /// It leaves when the headers have come.
    LeavesBody(Protocol),
    /// HTTP/1.0.
    Old,
    /// An upgrade to WebSocket; the client ends it, or waits for the service to do so.
    Upgrade { client_ends: bool },
    /// A body is announced and half of it comes, then the client leaves, or waits for an answer all the same.
    Half { leaves: bool },
    /// A body comes in two halves, with a pause of so long between them.
    Halves(Duration),
}

/// The thresholds beyond which a response is slow, in milliseconds; the first is counted by group too.
pub(super) const THRESHOLDS: [u64; 2] = [100, 250];

/// The time of the timeouts of [`super::proxy`].
pub(super) const TIMEOUT: Duration = Duration::from_millis(350);
/// That of one try, where a request is tried again: at most three times.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_millis(150);

const GRPC: &str = "application/grpc";
/// The statuses of gRPC that the caller has to answer for.
const CLIENT: [u32; 9] = [1, 3, 5, 6, 7, 9, 10, 11, 16];

// === impl Kind ===

impl Kind {
    fn new(path: impl Into<String>, class: &'static str) -> Self {
        let path = path.into();
        Self {
            name: path.clone(),
            path,
            method: "GET",
            content_type: None,
            how: How::Whole(Protocol::Http1),
            class,
            passes: 1,
        }
    }

    fn grpc(path: impl Into<String>, class: &'static str) -> Self {
        let kind = Self::new(path, class).how("grpc", How::Whole(Protocol::Http2));
        Self { method: "POST", content_type: Some(GRPC), ..kind }
    }

    /// Sent so, with a name of its own.
    fn how(self, name: &str, how: How) -> Self {
        Self { name: format!("{name} {}", self.name), how, ..self }
    }

    fn method(self, method: &'static str) -> Self {
        Self { name: format!("{method} {}", self.name), method, ..self }
    }

    fn content_type(self, content_type: &'static str) -> Self {
        Self { content_type: Some(content_type), ..self }
    }

    /// Envoy redirects it internally, once.
    fn redirected(self) -> Self {
        Self { passes: 2, ..self }
    }
}

/// All kinds.
pub(super) fn kinds() -> Vec<Kind> {
    [plain(), retried(), redirected(), left(), slow(), grpc()].into_iter().flatten().collect()
}

/// Answers, and answers that the proxy gives in the service's place or that break off.
fn plain() -> Vec<Kind> {
    use Protocol::Http2;
    let upgrade = |client_ends| How::Upgrade { client_ends };
    vec![
        Kind::new("/status/200", "2xx"),
        Kind::new("/status/204", "2xx"),
        Kind::new("/status/304", "3xx"),
        Kind::new("/status/307", "3xx"),
        Kind::new("/status/400", "4xx"),
        Kind::new("/status/404", "4xx"),
        Kind::new("/status/429", "4xx"),
        Kind::new("/status/500", "5xx"),
        Kind::new("/status/503", "5xx"),
        Kind::new("/status/200", "2xx").method("HEAD"),
        Kind::new("/status/200", "2xx").how("http2", How::Whole(Http2)),
        Kind::new("/status/500", "5xx").how("http2", How::Whole(Http2)),
        Kind::new("/status/200", "2xx").how("http1.0", How::Old),
        Kind::new("/status/500", "5xx").how("http1.0", How::Old),
        Kind::new("/cut", "5xx").how("http1.0", How::Old),
        Kind::new("/part/cut", "broken").how("http1.0", How::Old),
        Kind::new("/upgrade/hang", "2xx").how("websocket", upgrade(true)),
        Kind::new("/upgrade/cut", "2xx").how("websocket", upgrade(false)),
        Kind::new("/upgrade/reset", "2xx").how("websocket", upgrade(false)),
        Kind::new("/status/403", "4xx").how("websocket", upgrade(false)),
        Kind::new("/cut", "5xx").how("websocket", upgrade(false)),
        // Without a host, without a listener, from the proxy alone.
        Kind::new("/nowhere", "5xx"),
        Kind::new("/refused", "5xx"),
        Kind::new("/direct", "4xx"),
        Kind::new("/cut", "5xx"),
        Kind::new("/reset", "5xx"),
        Kind::new("/reset", "5xx").how("http2", How::Whole(Http2)),
        Kind::new("/part/cut", "broken"),
        Kind::new("/part/reset", "broken"),
        Kind::new("/chunks/cut", "broken"),
        Kind::new("/part/reset", "broken").how("http2", How::Whole(Http2)),
        Kind::new("/timeout/hang", "5xx"),
        Kind::new("/timeout/part/hang", "broken"),
        Kind::new("/idle/hang", "5xx"),
        Kind::new("/idle/part/hang", "broken"),
        Kind::new("/duration/hang", "5xx"),
        // Envoy sets no flag for it.
        Kind::new("/duration/part/hang", "2xx"),
        Kind::new("/early/413", "4xx").how("half", How::Half { leaves: false }),
        Kind::new("/early/200", "2xx").how("half", How::Half { leaves: false }),
        Kind::new("/status/200", "2xx").content_type("application/grpc-web").how("web", How::Whole(Http2)),
        Kind::new("/status/500", "5xx").content_type("application/grpc-web").how("web", How::Whole(Http2)),
    ]
}

/// What is tried up to three times.
fn retried() -> Vec<Kind> {
    vec![
        Kind::new("/again/2/status/503", "2xx"),
        Kind::new("/again/3/status/503", "2xx"),
        Kind::new("/again/9/status/503", "5xx"),
        Kind::new("/again/2/cut", "2xx"),
        Kind::new("/again/9/cut", "5xx"),
        Kind::new("/again/2/reset", "2xx"),
        Kind::new("/again/2/hang", "2xx"),
        Kind::new("/again/9/hang", "5xx"),
        Kind::grpc("/again/2/headers/14", "ok"),
        Kind::grpc("/again/9/headers/14", "server"),
    ]
}

/// What Envoy redirects internally, at most once.
fn redirected() -> Vec<Kind> {
    let leaves = |kind: Kind| kind.how("leaves", How::Leaves(Protocol::Http1, Duration::ZERO));
    let kinds = [
        Kind::new("/redirect/status/200", "2xx"),
        Kind::new("/redirect/status/404", "4xx"),
        Kind::new("/redirect/status/500", "5xx"),
        Kind::new("/redirect/redirect/status/200", "3xx"),
        Kind::new("/redirect/cut", "5xx"),
        Kind::new("/redirect/part/cut", "broken"),
        leaves(Kind::new("/redirect/hang", "gone")),
        Kind::new("/redirect/again/2/status/503", "2xx"),
        Kind::new("/redirect/slow/120", "2xx"),
        Kind::new("/late-redirect/120/status/200", "2xx"),
    ];
    kinds.map(Kind::redirected).into()
}

/// Clients that leave.
fn left() -> Vec<Kind> {
    use Protocol::{Http1, Http2};
    let late = Duration::from_millis(THRESHOLDS[1] + 50);
    let leaves =
        |path, name, protocol| Kind::new(path, "gone").how(name, How::Leaves(protocol, Duration::ZERO));
    let leaves_body = |path, name, protocol| Kind::new(path, "gone").how(name, How::LeavesBody(protocol));
    let grpc = |path, how| Kind::grpc(path, "gone").how("leaves", how);
    vec![
        leaves("/hang", "leaves", Http1),
        leaves("/hang", "http2 leaves", Http2),
        leaves("/again/9/hang", "leaves", Http1),
        Kind::new("/hang", "gone").how("leaves late", How::Leaves(Http1, late)),
        leaves_body("/part/hang", "leaves body", Http1),
        leaves_body("/part/hang", "http2 leaves body", Http2),
        Kind::new("/hang", "gone").how("half leaves", How::Half { leaves: true }),
        grpc("/hang", How::Leaves(Http2, Duration::ZERO)),
        grpc("/part/hang", How::LeavesBody(Http2)),
    ]
}

/// Slow ones, at each threshold and beside it. Only the headers count.
fn slow() -> Vec<Kind> {
    let beside = THRESHOLDS.into_iter().flat_map(|at| [at - 20, at - 2, at, at + 2, at + 20]);
    let mut kinds: Vec<Kind> = beside.map(|at| Kind::new(format!("/slow/{at}"), "2xx")).collect();
    let pause = Duration::from_millis(THRESHOLDS[0] + 20);
    kinds.push(Kind::new(format!("/late-body/{}", THRESHOLDS[1] + 20), "2xx"));
    kinds.push(Kind::new("/upload", "2xx").how("halves", How::Halves(pause)));
    kinds.push(Kind::grpc(format!("/slow/{}", THRESHOLDS[0] + 20), "ok"));
    kinds
}

/// gRPC, with each status in the trailers and in the headers alone.
fn grpc() -> Vec<Kind> {
    let class = |status| match status {
        0 => "ok",
        status if CLIENT.contains(&status) => "client",
        _ => "server",
    };
    let each = |place: &'static str| {
        (0..=16).map(move |status| Kind::grpc(format!("/{place}/{status}"), class(status)))
    };
    let mut kinds: Vec<Kind> = each("trailers").chain(each("headers")).collect();
    kinds.extend([
        Kind::grpc("/ends", "broken"),
        Kind::grpc("/reset", "server"),
        Kind::grpc("/part/reset", "broken"),
        Kind::grpc("/nowhere", "server"),
        Kind::grpc("/refused", "server"),
        Kind::grpc("/timeout/hang", "server"),
        Kind::grpc("/status/401", "client"),
        Kind::grpc("/status/403", "client"),
        Kind::grpc("/status/404", "server"),
        Kind::grpc("/status/503", "server"),
    ]);
    kinds
}
