//! Forking hosts: a child must not inherit a lock that a thread of the parent held at that moment, because the thread does
//! not exist in the child and nobody would release it.
//!
//! SQLite has such locks (its allocator, its table of open files), so a fork waits until no call into it is under way and
//! lets none begin meanwhile. A host calls the three functions around `fork`; one that cannot fork need not. A call that
//! takes longer than [`PATIENCE`], such as a long query, is not waited for.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a fork waits for calls under way.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the two sides look at each other.
const PAUSE: Duration = Duration::from_micros(50);

static FORKS: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// The number of this process; 0 where the system must be asked for it.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// A call into a library with process-wide locks; a fork waits for its end.
pub(crate) struct Call(());

impl Call {
    /// Waits while a fork is under way.
    pub(crate) fn begin() -> Self {
        loop {
            CALLS.fetch_add(1, Ordering::SeqCst);
            if FORKS.load(Ordering::SeqCst) == 0 {
                return Self(());
            }
            CALLS.fetch_sub(1, Ordering::SeqCst);
            std::thread::sleep(PAUSE);
        }
    }
}

impl Call {
    /// Begins a call unless a fork is under way: for callers that must not wait, because they hold what the fork needs.
    pub(crate) fn try_begin() -> Option<Self> {
        CALLS.fetch_add(1, Ordering::SeqCst);
        let call = Self(());
        (FORKS.load(Ordering::SeqCst) == 0).then_some(call)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALLS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// To be called before a fork, by the thread that forks.
pub fn before() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    let until = Instant::now() + PATIENCE;
    while CALLS.load(Ordering::SeqCst) > 0 && Instant::now() < until {
        std::thread::sleep(PAUSE);
    }
}

/// To be called after a fork, in the parent.
pub fn after_in_parent() {
    FORKS.fetch_sub(1, Ordering::SeqCst);
}

/// To be called after a fork, in the child, which has one thread and no call under way.
pub fn after_in_child() {
    CALLS.store(0, Ordering::SeqCst);
    FORKS.store(0, Ordering::SeqCst);
}

/// The number of this process, which every call compares: without a system call, except right after a fork.
pub(crate) fn process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => asked(),
        known => known,
    }
}

#[cold]
fn asked() -> u32 {
    let process = std::process::id();
    if forgets_after_fork() {
        PROCESS.store(process, Ordering::Relaxed);
    }
    process
}

/// Whether a child forgets the number that its parent has kept; sees to it when first asked. Nobody waits for another
/// thread here: in a child it would not exist.
#[cfg(unix)]
fn forgets_after_fork() -> bool {
    extern "C" fn forget() {
        PROCESS.store(0, Ordering::Relaxed);
    }
    static BEGUN: AtomicBool = AtomicBool::new(false);
    static DONE: AtomicBool = AtomicBool::new(false);
    // SAFETY: the function lives as long as this library and only stores a number, which a child may do.
    if !BEGUN.swap(true, Ordering::SeqCst) && unsafe { libc::pthread_atfork(None, None, Some(forget)) } == 0 {
        DONE.store(true, Ordering::SeqCst);
    }
    DONE.load(Ordering::SeqCst)
}

#[cfg(not(unix))]
fn forgets_after_fork() -> bool {
    true
}
