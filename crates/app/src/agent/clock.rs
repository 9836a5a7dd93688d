//! The clock that deadlines are kept on: it runs on while the machine is suspended, and starts anew at each boot.

use std::fs;
use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

#[cfg(feature = "failpoints")]
pub mod suspension;

/// Milliseconds since the machine booted, suspended time included.
pub fn boot_ms() -> u64 {
    #[cfg(feature = "failpoints")]
    return true_boot_ms() + suspension::pretended_ms();
    #[cfg(not(feature = "failpoints"))]
    true_boot_ms()
}

fn true_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Which boot the milliseconds and the process ids belong to.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// An alarm on the boot clock, to be waited for together with other descriptors.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// An alarm that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }

    /// Makes the alarm readable from `at_ms` on, in place of when it was set for before.
    pub fn set(&self, at_ms: u64) -> io::Result<()> {
        #[cfg(feature = "failpoints")]
        let at_ms = suspension::true_ms(at_ms);
        let at_ms = at_ms.max(1); // a time of zero would unset it
        let at = Timespec {
            tv_sec: i64::try_from(at_ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ms % 1000).unwrap_or(0) * 1_000_000,
        };
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: once, it_value: at })?;
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
