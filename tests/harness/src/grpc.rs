//! gRPC through the proxy: a service with each kind of method, and its client. Both are `tonic`, so that what the
//! proxy lets through is judged by an implementation that people use; messages are text instead of protocol buffers.

use std::net::SocketAddr;
use std::task::Poll;

use anyhow::{Context as _, Result};
use bytes::{Buf as _, BufMut as _};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::{Code, Status, Streaming};

/// Answers one message.
const UNARY: &str = "/coalmine.test.Echo/Unary";
/// Answers one message, a number, with so many; then fails, with a trailer of its own.
const COUNT: &str = "/coalmine.test.Echo/Count";
/// Answers each message when it comes.
const CHAT: &str = "/coalmine.test.Echo/Chat";
/// The trailer of [`COUNT`]: the name of the server.
pub const TRAILER: &str = "x-served-by";

/// A connection over which methods are called at one host.
#[derive(Debug)]
pub struct GrpcClient {
    grpc: tonic::client::Grpc<Http2>,
    header: (&'static str, String),
}

/// A bidirectional stream that is open.
#[derive(Debug)]
pub struct Chat {
    messages: mpsc::Sender<String>,
    answers: Streaming<String>,
}

/// What is left of a stream that the server ended.
#[derive(Debug)]
pub struct Counted {
    /// The messages that came.
    pub messages: Vec<String>,
    /// The status in the trailers.
    pub code: Code,
    /// The trailer of the server's own.
    pub served_by: Option<String>,
}

#[derive(Clone, Debug)]
struct Http2(http2::SendRequest<Body>);

#[derive(Clone, Copy, Debug)]
struct Text;

// === impl GrpcClient ===

impl GrpcClient {
    /// Connects to the proxy. Every call goes to `host` and has this header.
    pub async fn open(address: SocketAddr, host: &str, header: (&'static str, &str)) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.context("no HTTP/2")?;
        tokio::spawn(connection);
        let origin: Uri = format!("http://{host}").parse()?;
        let grpc = tonic::client::Grpc::with_origin(Http2(sender), origin);
        Ok(Self { grpc, header: (header.0, header.1.to_owned()) })
    }

    /// Calls the unary method.
    pub async fn unary(&mut self, message: &str) -> Result<String> {
        let request = self.request(message.to_owned())?;
        self.grpc.ready().await?;
        Ok(self.grpc.unary(request, PathAndQuery::from_static(UNARY), Text).await?.into_inner())
    }

    /// Calls the method that answers with a stream of `count` messages and fails in the end.
    pub async fn count(&mut self, count: usize) -> Result<Counted> {
        let request = self.request(count.to_string())?;
        self.grpc.ready().await?;
        let answer = self.grpc.server_streaming(request, PathAndQuery::from_static(COUNT), Text).await?;
        let mut answers = answer.into_inner();
        let mut messages = Vec::new();
        loop {
            match answers.message().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return Ok(Counted { messages, code: Code::Ok, served_by: None }),
                Err(status) => {
                    let served_by = status.metadata().get(TRAILER).and_then(|value| value.to_str().ok());
                    let served_by = served_by.map(str::to_owned);
                    return Ok(Counted { messages, code: status.code(), served_by });
                }
            }
        }
    }

    /// Opens a stream in both directions.
    pub async fn chat(&mut self) -> Result<Chat> {
        let (messages, receiver) = mpsc::channel(1);
        let request = self.request(ReceiverStream::new(receiver))?;
        self.grpc.ready().await?;
        let answer = self.grpc.streaming(request, PathAndQuery::from_static(CHAT), Text).await?;
        Ok(Chat { messages, answers: answer.into_inner() })
    }

    fn request<T>(&self, message: T) -> Result<tonic::Request<T>> {
        let mut request = tonic::Request::new(message);
        let value: MetadataValue<_> = self.header.1.parse()?;
        request.metadata_mut().insert(MetadataKey::from_static(self.header.0), value);
        Ok(request)
    }
}

// === impl Chat ===

impl Chat {
    /// Sends a message, and waits for the one that comes back.
    pub async fn say(&mut self, text: &str) -> Result<String> {
        self.messages.send(text.to_owned()).await.context("the stream is closed")?;
        self.answers.message().await?.context("the stream has ended")
    }

    /// Ends the stream on this side, and waits for the end of the other. True when the server said that all was well.
    pub async fn end(self) -> Result<bool> {
        let Self { messages, mut answers } = self;
        drop(messages);
        let last = answers.message().await?;
        Ok(last.is_none() && answers.trailers().await?.is_some())
    }
}

// === impl Http2 ===

impl tower::Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

// === impl Text ===

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        String::from_utf8(bytes.into()).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Serves one call.
pub(crate) async fn answer(name: &'static str, request: Request<Incoming>) -> Response<Body> {
    let mut grpc = tonic::server::Grpc::new(Text);
    match request.uri().path() {
        UNARY => {
            let method = move |request: tonic::Request<String>| async move {
                Ok::<_, Status>(tonic::Response::new(format!("{name}: {}", request.into_inner())))
            };
            grpc.unary(tower::service_fn(method), request).await
        }
        COUNT => grpc.server_streaming(tower::service_fn(move |request| count(name, request)), request).await,
        CHAT => {
            let method = move |request: tonic::Request<Streaming<String>>| async move {
                let answers =
                    request.into_inner().map(move |text| text.map(|text| format!("{name}: {text}")));
                Ok::<_, Status>(tonic::Response::new(answers))
            };
            grpc.streaming(tower::service_fn(method), request).await
        }
        other => Status::unimplemented(other).into_http(),
    }
}

async fn count(
    name: &'static str,
    request: tonic::Request<String>,
) -> Result<tonic::Response<impl tokio_stream::Stream<Item = Result<String, Status>>>, Status> {
    let count: usize = request.into_inner().parse().map_err(|_| Status::invalid_argument("not a number"))?;
    let mut end = Status::data_loss("as it should");
    end.metadata_mut().insert(TRAILER, MetadataValue::from_static(name));
    let messages = (0..count).map(move |number| Ok(format!("{name}: {number}"))).chain([Err(end)]);
    Ok(tonic::Response::new(tokio_stream::iter(messages)))
}
