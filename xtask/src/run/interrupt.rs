//! Ctrl-C, and TERM and HUP, which mean the same.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) struct Interrupts {
    signals: Receiver<()>,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self> {
        let (sender, signals) = mpsc::channel();
        let send = move || {
            // Nobody listens any more only while we are ending anyway.
            let _ = sender.send(());
        };
        ctrlc::set_handler(send).context("failed to listen for Ctrl-C")?;
        Ok(Self { signals })
    }

    /// Waits for an interrupt, and tells whether one came.
    pub(crate) fn within(&self, at_most: Duration) -> bool {
        self.signals.recv_timeout(at_most).is_ok()
    }
}
