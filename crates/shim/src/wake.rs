//! What the shim's main thread waits for: its children, messages from its other threads, the end of a held process, time.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The main thread's side.
pub(crate) struct Wake {
    children: OwnedFd,
    bell: Arc<OwnedFd>,
}

/// Wakes the main thread from another one.
#[derive(Clone)]
pub(crate) struct Bell {
    bell: Arc<OwnedFd>,
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Wake {
    /// To be called before any other thread is started: they inherit the blocked SIGCHLD.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the set is initialised before use; both calls take valid pointers.
        let children = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGCHLD);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            owned(libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?
        };
        // SAFETY: eventfd takes two integers.
        let bell = owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        Ok(Self { children, bell: Arc::new(bell) })
    }

    pub(crate) fn bell(&self) -> Bell {
        Bell { bell: self.bell.clone() }
    }

    /// Sleeps until something may have happened. Afterwards look at everything: nothing is told apart here.
    pub(crate) fn wait(&self, watched: Option<&OwnedFd>, until: Option<Instant>) {
        let fds = [self.children.as_raw_fd(), self.bell.as_raw_fd(), watched.map_or(-1, AsRawFd::as_raw_fd)];
        let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let timeout = until.map_or(-1, |until| {
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            i32::try_from(left.as_millis()).unwrap_or(i32::MAX)
        });
        // SAFETY: the array is valid for the time of the call; negative descriptors are skipped.
        unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, timeout) };
        let mut buffer = [0u8; 1024];
        for fd in &fds[..2] {
            // SAFETY: reads at most the buffer's length; both descriptors do not block.
            while unsafe { libc::read(*fd, buffer.as_mut_ptr().cast(), buffer.len()) }
                == buffer.len() as isize
            {}
        }
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes from a valid place; a full counter (EAGAIN) is a ringing bell all the same.
        unsafe { libc::write(self.bell.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}
