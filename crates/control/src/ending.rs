//! The end of a server, as its tasks see it coming.

use tokio::sync::watch;

/// Who holds this ends the server, at the latest by dropping it.
#[derive(Debug)]
pub struct End {
    sender: watch::Sender<bool>,
}

/// Who holds this sees the end coming.
#[derive(Clone, Debug)]
pub struct Ending {
    receiver: watch::Receiver<bool>,
}

/// An end and who sees it.
pub fn ending() -> (End, Ending) {
    let (sender, receiver) = watch::channel(false);
    (End { sender }, Ending { receiver })
}

// === impl End ===

impl End {
    /// Ends it.
    pub fn now(&self) {
        self.sender.send_replace(true);
    }
}

// === impl Ending ===

impl Ending {
    /// Waits until it ends.
    pub async fn comes(&mut self) {
        // An end that was dropped is one as well.
        let _ = self.receiver.wait_for(|ends| *ends).await;
    }
}
