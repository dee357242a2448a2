//! An exact number of requests over connections that stay open, at the least cost for the machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, ensure};
use coalmine_harness::wait::PATIENCE;

/// How many connections a burst uses; each has one request under way.
const CONNECTIONS: usize = 8;

/// Open connections to one listener.
#[derive(Debug)]
pub(crate) struct Load {
    connections: Vec<TcpStream>,
}

// === impl Load ===

impl Load {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let open = || -> Result<TcpStream> {
            let socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        };
        Ok(Self { connections: (0..CONNECTIONS).map(|_| open()).collect::<Result<_>>()? })
    }

    /// Sends each request once, and returns the bodies in the same order.
    pub(crate) fn send(&mut self, requests: &[Vec<u8>]) -> Result<Vec<String>> {
        let mut bodies = Vec::with_capacity(requests.len());
        for round in requests.chunks(CONNECTIONS) {
            for (socket, request) in self.connections.iter_mut().zip(round) {
                socket.write_all(request).context("cannot send a request")?;
            }
            for (socket, _) in self.connections.iter_mut().zip(round) {
                bodies.push(answer(socket)?);
            }
        }
        Ok(bodies)
    }
}

/// Reads one answer, and returns its body.
fn answer(socket: &mut TcpStream) -> Result<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = socket.read(&mut part).context("no answer")?;
        ensure!(count > 0, "the proxy closed a connection that should stay open");
        bytes.extend_from_slice(part.get(..count).unwrap_or_default());
        let text = std::str::from_utf8(&bytes).context("an answer that is no text")?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("an answer without content-length")?.parse()?;
        if body.len() >= length {
            ensure!(head.starts_with("HTTP/1.1 200"), "an answer that is not 200: {head}");
            return Ok(body.trim_end().to_owned());
        }
    }
}
