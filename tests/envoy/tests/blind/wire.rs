//! Bytes on a connection, as a client writes them who has read the RFCs for another purpose.

use std::net::SocketAddr;
use std::time::Duration;

use coalmine_harness::wait::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a proxy may be silent before it is taken to have nothing more to say.
const SILENCE: Duration = Duration::from_millis(400);

/// What stands before every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a stream of HTTP/2 came to.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) body: String,
    /// The stream or the connection was ended by the proxy, with this error.
    pub(crate) refused: Option<u32>,
}

/// A request over HTTP/2, its fields neither checked nor compressed.
#[derive(Clone, Debug)]
pub(crate) struct Http2Request {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Sends these bytes and reads until the proxy closes the connection, or has nothing more to say.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    // The proxy may refuse before it has read everything.
    let _ = socket.write_all(bytes).await;
    let (mut answer, mut chunk) = (Vec::new(), [0; 16_384]);
    let mut patience = PATIENCE;
    while let Ok(Ok(count @ 1..)) = timeout(patience, socket.read(&mut chunk)).await {
        answer.extend_from_slice(&chunk[..count]);
        patience = SILENCE;
    }
    String::from_utf8_lossy(&answer).into_owned()
}

// === impl Http2Request ===

impl Http2Request {
    pub(crate) fn get(host: &str, path: &str) -> Self {
        Self { fields: Vec::new(), trailers: Vec::new() }
            .field(":method", "GET")
            .field(":scheme", "http")
            .field(":authority", host)
            .field(":path", path)
    }

    pub(crate) fn field(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The same with the field in front of all others.
    pub(crate) fn field_first(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(0, (name.into(), value.into()));
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// Sends it on a connection of its own.
    pub(crate) async fn send(self, address: SocketAddr) -> Stream {
        let mut bytes = PREFACE.to_vec();
        push_frame(&mut bytes, SETTINGS, 0, 0, &[]);
        let ends = if self.trailers.is_empty() { END_STREAM } else { 0 };
        push_frame(&mut bytes, HEADERS, END_HEADERS | ends, 1, &literals(&self.fields));
        if ends == 0 {
            push_frame(&mut bytes, DATA, 0, 1, b"x");
            push_frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, 1, &literals(&self.trailers));
        }
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let _ = socket.write_all(&bytes).await;
        timeout(PATIENCE, read_stream(&mut socket)).await.unwrap()
    }
}

/// Reads frames until the stream ends, in whatever way. The headers of the answer stay packed: its body tells enough.
async fn read_stream(socket: &mut TcpStream) -> Stream {
    let mut stream = Stream::default();
    let mut head = [0; 9];
    while socket.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if socket.read_exact(&mut payload).await.is_err() {
            break;
        }
        let error =
            |at: usize| payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        match head[3] {
            DATA => stream.body.push_str(&String::from_utf8_lossy(&payload)),
            RST_STREAM => stream.refused = error(0),
            GOAWAY => stream.refused = error(4),
            _ => {}
        }
        let ended = matches!(head[3], DATA | HEADERS) && head[4] & END_STREAM != 0;
        if ended || stream.refused.is_some() {
            return stream;
        }
    }
    // The connection is gone, and nobody said why.
    stream.refused.get_or_insert(u32::MAX);
    stream
}

fn push_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// HPACK's literals without indexing, names and values as they are.
fn literals(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// HPACK's integer with a prefix of seven bits.
fn push_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(rest as u8 & 127 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}
