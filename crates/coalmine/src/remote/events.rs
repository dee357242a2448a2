//! What happens on a server, as it happens: a bell that rings at each line of its history.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::sleep;
use std::time::Duration;

use super::client::Client;

/// Pauses between two attempts to follow the server.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Most bytes of one stream. The next one goes on behind it.
const MAX_STREAM: u64 = 64 << 20;

/// Rings when something may have happened. However much happens between two looks, it rings once.
pub(super) struct Bell {
    rings: Receiver<()>,
    is_open: Arc<AtomicBool>,
}

/// Follows a server in a thread of its own.
struct Follower {
    client: Client,
    rings: SyncSender<()>,
    is_open: Arc<AtomicBool>,
    /// The event that was read last.
    last: Option<String>,
}

/// Nobody listens any more.
struct Unheard;

// === impl Bell ===

impl Bell {
    /// One that follows this server, and finds it again where it goes away.
    pub(super) fn of(client: Client) -> Self {
        let (sender, rings) = sync_channel(1);
        let is_open = Arc::<AtomicBool>::default();
        let follower = Follower { client, rings: sender, is_open: Arc::clone(&is_open), last: None };
        std::thread::spawn(move || follower.follow());
        Self { rings, is_open }
    }

    /// Waits until it rings: at most for so long, which is `blind` while it does not hear the server.
    pub(super) fn wait(&self, patience: Duration, blind: Duration) {
        let is_open = self.is_open.load(Ordering::Relaxed);
        // Nothing rings where the thread is gone, and it is gone with this alone.
        let _ = self.rings.recv_timeout(if is_open { patience } else { blind });
    }
}

// === impl Follower ===

impl Follower {
    fn follow(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let heard = self.client.events(self.last.as_deref()).map(|stream| self.hear(stream));
            self.is_open.store(false, Ordering::Relaxed);
            match heard {
                Ok(Err(Unheard)) => return,
                Ok(Ok(())) => pause = FIRST_PAUSE,
                Err(_) => {}
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Rings at each event, until the stream ends.
    fn hear(&mut self, stream: impl Read) -> Result<(), Unheard> {
        self.is_open.store(true, Ordering::Relaxed);
        // What happened before it was open.
        self.ring()?;
        let mut has_data = false;
        for line in BufReader::new(stream.take(MAX_STREAM)).lines().map_while(Result::ok) {
            match line.split_once(':') {
                Some(("id", id)) => self.last = Some(id.trim_start().to_owned()),
                Some(("data", _)) => has_data = true,
                None if line.is_empty() && has_data => {
                    has_data = false;
                    self.ring()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn ring(&self) -> Result<(), Unheard> {
        match self.rings.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => Err(Unheard),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use super::*;
    use crate::args::Format;
    use crate::remote::{AddressArguments, ServerArguments};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server of one test: each stream that somebody opens, with the event that it goes on behind.
    fn server() -> (String, mpsc::Receiver<(TcpStream, Option<String>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, opened) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let head = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let head: Vec<String> = head.map(|line| line.to_lowercase()).collect();
                assert!(head[0].starts_with("get /v1/events "), "{head:?}");
                let last = head.iter().find_map(|line| line.strip_prefix("last-event-id: "));
                let mut stream = stream.into_inner();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").unwrap();
                if sender.send((stream, last.map(str::to_owned))).is_err() {
                    return;
                }
            }
        });
        (url, opened)
    }

    #[test]
    fn it_rings_at_each_event_and_goes_on_behind_the_last_one_once_the_server_is_back() {
        let (url, opened) = server();
        let bell = Bell::of(ServerArguments::of(AddressArguments::at(&url), Format::Text).client().unwrap());
        let rings = || bell.rings.recv_timeout(PATIENCE).unwrap();
        let (mut stream, last) = opened.recv_timeout(PATIENCE).unwrap();
        assert_eq!(last, None);
        rings();
        stream.write_all(b"event: history\nid: 7\ndata: {}\n\n").unwrap();
        rings();
        stream.write_all(b":\n\n:\n\nevent: history\nid: 8\nda").unwrap();
        stream.write_all(b"ta: {}\n\n").unwrap();
        rings();
        assert!(bell.rings.try_recv().is_err(), "a comment is no event");
        drop(stream);
        let (mut stream, last) = opened.recv_timeout(PATIENCE).unwrap();
        assert_eq!(last.as_deref(), Some("8"));
        rings();
        stream.write_all(b"event: missed\nid: 9\ndata: read again\n\n").unwrap();
        rings();
        assert!(bell.is_open.load(Ordering::Relaxed));
    }
}
