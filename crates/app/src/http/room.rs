//! What all handlers share.

use std::ops::Deref;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Server;
use super::fleet::Fleet;
use super::orders::Orders;

/// The longest that any call waits for something to happen.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// A server that serves.
pub(super) struct Room {
    server: Server,
    /// When it began to serve.
    pub(super) began: Instant,
    /// What was read of the fleet.
    pub(super) fleet: Fleet,
    /// Who waits for orders.
    pub(super) orders: Orders,
    closing: watch::Receiver<bool>,
}

impl Deref for Room {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Room {
    pub(super) fn new(server: Server, closing: watch::Receiver<bool>) -> Self {
        Self { server, began: Instant::now(), fleet: Fleet::default(), orders: Orders::default(), closing }
    }

    /// Comes back when the server closes.
    pub(super) async fn closed(&self) {
        // A sender that is gone closes too.
        let _ = self.closing.clone().wait_for(|closing| *closing).await;
    }

    /// Whether the server closes.
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}
