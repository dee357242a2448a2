//! What became of a response, by its headers, its trailers and what the host says of its end.

use crate::host::Host;

/// The class of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// 2xx, and 101: the connection now speaks another protocol, and how that ends says nothing.
    Success,
    /// 3xx.
    Redirect,
    /// 4xx.
    ClientError,
    /// 5xx, from the application or from the proxy in its place.
    ServerError,
    /// It broke off: before its headers or behind those of a success.
    Broken,
    /// The client left before the end.
    Gone,
    /// gRPC: OK.
    GrpcOk,
    /// gRPC: a status that the caller has to answer for.
    GrpcClient,
    /// gRPC: any other status.
    GrpcServer,
}

/// The statuses of gRPC that the caller has to answer for: CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS,
/// PERMISSION_DENIED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNAUTHENTICATED.
const GRPC_CLIENT: [&[u8]; 9] = [b"1", b"3", b"5", b"6", b"7", b"9", b"10", b"11", b"16"];
/// The statuses of HTTP that gRPC takes for such a one, where an answer has no status of its own.
const HTTP_CLIENT: [&[u8]; 2] = [b"401", b"403"];

/// Envoy's response flags, by their bits: `CoreResponseFlag`.
mod flags {
    /// DownstreamConnectionTermination, DownstreamProtocolError and DownstreamRemoteReset.
    pub(super) const GONE: u64 = 1 << 14 | 1 << 18 | 1 << 28;
    /// UpstreamRequestTimeout, LocalReset, UpstreamRemoteReset, UpstreamConnectionFailure,
    /// UpstreamConnectionTermination, StreamIdleTimeout, UpstreamMaxStreamDurationReached, DurationTimeout,
    /// UpstreamProtocolError and OverloadManager. Of tries that failed before a good one nothing is left.
    pub(super) const BROKEN: u64 =
        1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 19 | 1 << 22 | 1 << 23 | 1 << 25;
}

// === impl Class ===

impl Class {
    /// Every class, in the order of [`Class::index`].
    pub(crate) const ALL: [Self; 9] = [
        Self::Success,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::Broken,
        Self::Gone,
        Self::GrpcOk,
        Self::GrpcClient,
        Self::GrpcServer,
    ];

    /// Its name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Broken => "broken",
            Self::Gone => "gone",
            Self::GrpcOk => "ok",
            Self::GrpcClient => "client",
            Self::GrpcServer => "server",
        }
    }

    /// Its place in [`Class::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Whether the service has failed its user.
    pub(crate) const fn is_bad(self) -> bool {
        matches!(self, Self::ServerError | Self::Broken | Self::GrpcServer)
    }

    /// The class of the response that has just ended, with this status; without one no headers have come.
    pub(crate) fn of_response(status: Option<&[u8]>) -> Self {
        match status {
            None => Self::of_end().unwrap_or(Self::Broken),
            Some(status) if Host.is_grpc() => Self::of_grpc(status),
            Some(status) => Self::of_http(status),
        }
    }

    fn of_http(status: &[u8]) -> Self {
        match status {
            b"101" => Self::Success,
            [b'5', ..] => Self::ServerError,
            [b'4', ..] => Self::ClientError,
            // What was promised may not have come whole. To ask costs more than a look at a header.
            [b'3', ..] => Self::of_end().unwrap_or(Self::Redirect),
            _ => Self::of_end().unwrap_or(Self::Success),
        }
    }

    fn of_grpc(status: &[u8]) -> Self {
        if status != b"200" {
            return if HTTP_CLIENT.contains(&status) { Self::GrpcClient } else { Self::GrpcServer };
        }
        match Host.grpc_status().as_deref() {
            Some(b"0") => Self::GrpcOk,
            Some(status) if GRPC_CLIENT.contains(&status) => Self::GrpcClient,
            Some(_) => Self::GrpcServer,
            None => Self::of_end().unwrap_or(Self::Broken),
        }
    }

    /// How it ended, where that was before its time.
    fn of_end() -> Option<Self> {
        match Host.response_flags() {
            left if left & flags::GONE != 0 => Some(Self::Gone),
            broken if broken & flags::BROKEN != 0 => Some(Self::Broken),
            _ => None,
        }
    }
}
