//! Proxies that exist only as what a Prometheus scrapes, with counters that a test decides.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// What a proxy answers to its scrapes, one after another; the last one again and again.
pub struct Proxy {
    address: SocketAddr,
    scrapes: Arc<Mutex<Vec<Duration>>>,
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy that answers these pages; none is an error of the proxy.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(pages: Vec<Option<String>>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let scrapes = Arc::new(Mutex::new(Vec::new()));
        let seen = scrapes.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let place = seen.lock().map_or(0, |seen| seen.len());
                let page = pages.get(place).or(pages.last()).cloned().flatten();
                if answer(stream, page).is_ok()
                    && let Ok(mut seen) = seen.lock()
                {
                    seen.push(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
                }
            }
        });
        Ok(Self { address, scrapes })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it was scraped, since 1970, just after the answer.
    pub fn scrapes(&self) -> Vec<Duration> {
        self.scrapes.lock().map(|scrapes| scrapes.clone()).unwrap_or_default()
    }
}

fn answer(mut stream: TcpStream, page: Option<String>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => request.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let (status, body) = match page {
        Some(body) => ("200 OK", body),
        None => ("503 Service Unavailable", String::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
