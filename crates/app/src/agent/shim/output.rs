//! One of the command's two output pipes.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read};

use super::tail::Tail;
use crate::api::calls::TailDocument;

const CHUNK_BYTES: usize = 64 * 1024;
/// More than a pipe holds: whoever still writes after the command's end is not listened to for ever.
pub(super) const READS_MAX: u32 = 32;

/// The pipe, until its end, and the last that came through it.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    tail: Tail,
    chunk: Vec<u8>,
}

impl Output {
    pub(super) fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, tail: Tail::default(), chunk: Vec::with_capacity(CHUNK_BYTES) }
    }

    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN))
    }

    /// Reads what can be read without waiting, in at most `reads_max` reads.
    pub(super) fn read_what_is_there(&mut self, reads_max: u32) {
        for _ in 0..reads_max {
            let Some(pipe) = &self.pipe else { return };
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&at_once)), Ok(1)) {
                return;
            }
            self.chunk.clear();
            match read(pipe, rustix::buffer::spare_capacity(&mut self.chunk)) {
                Ok(0) => self.pipe = None,
                Ok(_) => self.tail.push(&self.chunk),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    pub(super) fn into_document(self) -> TailDocument {
        self.tail.into_document()
    }
}
