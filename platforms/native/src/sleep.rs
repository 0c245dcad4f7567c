//! Sleeping in `poll(2)` until something happens.

#![allow(unsafe_code, reason = "components name their descriptors by number")]

use crate::host::{DESCRIPTORS_MAX, Host};
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use waitless::Duration;

/// A sleep that signals end.
pub struct Sleep {
    /// Readable once a signal came.
    signalled: UnixStream,
}

/// What ended the sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// A descriptor, the time or a signal.
    Normally,
    /// A descriptor that will never be readable again. It is not waited for any more, because
    /// it would end every sleep at once.
    ByDead(i32),
}

impl Sleep {
    /// A sleep that SIGINT and SIGTERM end, and the flag that they set. When the flag is set
    /// already, either of them ends the process at once.
    pub fn until_signal() -> io::Result<(Self, Arc<AtomicBool>)> {
        let ended = Arc::new(AtomicBool::new(false));
        let (signalled, signal) = UnixStream::pair()?;
        signalled.set_nonblocking(true)?;
        for number in [SIGINT, SIGTERM] {
            // First, so that the first signal finds the flag unset.
            signal_hook::flag::register_conditional_shutdown(
                number,
                128 + number,
                Arc::clone(&ended),
            )?;
            signal_hook::flag::register(number, Arc::clone(&ended))?;
            signal_hook::low_level::pipe::register(number, signal.try_clone()?)?;
        }
        Ok((Self { signalled }, ended))
    }

    /// Sleeps until a descriptor of `host` is readable, a signal comes, or `time` is over.
    pub fn for_at_most(&mut self, time: Option<Duration>, host: &Host) -> io::Result<Woken> {
        let mut descriptors = host.descriptors();
        let mut watched = Vec::<PollFd<'_>, { DESCRIPTORS_MAX + 1 }>::new();
        watched.extend([PollFd::new(&self.signalled, PollFlags::IN)]);
        watched.extend(descriptors.iter().map(|&descriptor| {
            // SAFETY: the number is not negative (`Host::wake_on`). Who registers a descriptor
            // keeps it open for as long as the image runs; and should it be closed or reused
            // nevertheless, `poll` only looks at its readiness: it reads, writes and closes
            // nothing, so the worst is a sleep that ends early or an event unseen.
            let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
            PollFd::from_borrowed_fd(descriptor, PollFlags::IN)
        }));
        let timeout = time.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: (time.as_nanos() % 1_000_000_000) as _,
        });
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_signalled = !watched[0].revents().is_empty();
        let dead = watched[1..].iter().position(|watched| {
            let events = watched.revents();
            !events.is_empty() && !events.contains(PollFlags::IN)
        });
        drop(watched);
        if is_signalled {
            // What was written there does not matter, only that it is gone.
            let _ = self.signalled.read(&mut [0; 64]);
        }
        Ok(dead.map_or(Woken::Normally, |index| Woken::ByDead(descriptors.remove(index))))
    }
}
