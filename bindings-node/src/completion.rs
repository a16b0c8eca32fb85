//! Promises: work of the core on one side, JavaScript's thread on the other.
//!
//! One queue an environment (the main thread, or one worker). Work that is done pushes its outcome and, if nobody did
//! since the last drain, wakes the environment through its thread-safe function. The drain settles everything that is
//! there. The function keeps the event loop alive only while something is under way, so a process ends by itself.
//!
//! Work that is done as soon as it is started settles its promise at once, as long as such work leaves the event loop its
//! turns (see [`Clock`]): what comes later waits for the next turn. While somebody wakes a thread-safe function, Node calls
//! it again and again in one turn of the loop, up to a thousand times. So a turn is asked of a second function, which asks
//! the first: only when that has returned and the loop has gone round are both called.
//! Invariant: after the environment is torn down nothing touches it; what was under way is forgotten.

use std::cell::RefCell;
use std::ffi::c_void;
use std::future::Future;
use std::mem::{replace, take};
use std::panic::AssertUnwindSafe;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use farm_db_core::Result;
use farm_db_core::runtime::{Started, start};
use farm_db_core::turn::{Clock, EventLoop, within};
use futures_util::FutureExt as _;
use napi::bindgen_prelude::{JsValue, PromiseRaw, ToNapiValue, Unknown};
use napi::{Env, sys};

use crate::error;
use crate::stream::NativeStream;
use crate::transaction::NativeTransaction;

/// What a promise resolves to.
pub(crate) enum Outcome {
    /// JSON, as text where that is cheap, else as a `Buffer`.
    Json(Vec<u8>),
    /// JSON as text.
    Text(Vec<u8>),
    /// JSON as a `Buffer`.
    Bytes(Vec<u8>),
    Transaction(NativeTransaction),
    Stream(NativeStream),
}

impl Outcome {
    /// JSON null.
    pub(crate) fn nothing() -> Self {
        Self::Json(b"null".to_vec())
    }
}

/// Bytes of a text that Node makes a string of at least as fast as of a `Buffer`, whatever is in it.
const SHORT: usize = 4096;

/// A promise's other end.
struct Deferred(sys::napi_deferred);

// SAFETY: only a token here; it is used on the environment's thread alone (`promise`, `Queue::drain`).
unsafe impl Send for Deferred {}

struct Settled {
    deferred: Deferred,
    /// The value, or the JSON of an error.
    outcome: std::result::Result<Outcome, String>,
}

#[derive(Default)]
struct State {
    is_torn_down: bool,
    settled: Vec<Settled>,
    /// Whether a drain is already under way to the environment.
    woken: bool,
    /// Outcomes that were there at once but too late in their turn.
    next_turn: Vec<Settled>,
    /// What waits for the end of the turn that runs now.
    after_turn: Vec<Waker>,
    turn_asked: bool,
}

/// Why Node calls: what a function is woken with.
#[derive(Clone, Copy)]
enum Wake {
    /// Outcomes are there.
    Settled,
    /// A turn is asked for.
    Turner,
    /// A turn begins.
    Turn,
}

/// A thread-safe function of an environment; null once that is torn down, which happens on its thread.
#[derive(Default)]
struct Function(AtomicPtr<sys::napi_threadsafe_function__>);

impl Function {
    fn get(&self) -> Option<sys::napi_threadsafe_function> {
        Some(self.0.load(Ordering::Acquire)).filter(|function| !function.is_null())
    }

    /// Has Node call it; nothing where it is null.
    ///
    /// # Safety
    /// On the environment's thread, or while its end is kept off (`Queue::calling`).
    unsafe fn call(&self, wake: Wake) {
        if let Some(function) = self.get() {
            let data = ptr::without_provenance_mut(wake as usize);
            // SAFETY: the function is alive while it is not null, which the caller keeps so.
            unsafe { sys::napi_call_threadsafe_function(function, data, sys::ThreadsafeFunctionCallMode::nonblocking) };
        }
    }
}

/// The queue of one environment.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the environment.
    waker: Function,
    /// Wakes the other one for a new turn.
    turner: Function,
    /// Held while they are called, so that they do not die meanwhile. Not the state's lock: the environment's thread, awake
    /// before the call of another one returns, would wait for it.
    calling: Mutex<()>,
    /// Promises that are not settled; changed on the environment's thread only.
    pending: AtomicUsize,
    clock: Clock,
}

thread_local! {
    /// The queue of the environment that runs on this thread.
    static CURRENT: RefCell<Option<(sys::napi_env, Arc<Queue>)>> = const { RefCell::new(None) };
}

/// A promise for the outcome of `work`, which starts at once and runs on the core's executor. What is done at once settles
/// it before the caller has it.
pub(crate) fn promise<'env, F>(env: &Env, work: F) -> napi::Result<PromiseRaw<'env, ()>>
where
    F: Future<Output = Result<Outcome>> + Send + 'static,
{
    let queue = Queue::of(env)?;
    let (deferred, promise) = create_promise(env)?;
    // In a box, because it is moved often from here on.
    let work = Box::pin(work);
    let work = async move {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(outcome) => outcome.map_err(|error| error::to_json(&error)),
            Err(panic) => Err(error::to_json(&error::of_panic(&*panic))),
        }
    };
    let later = Arc::clone(&queue);
    let same = Deferred(deferred.0);
    let event_loop = Arc::clone(&queue) as Arc<dyn EventLoop>;
    match within(event_loop, || start(work, move |outcome| later.push(Settled { deferred, outcome }))) {
        Started::Done(outcome) if queue.clock.has_time() => {
            // SAFETY: on the environment's thread, inside its call.
            unsafe { settle(env.raw(), Settled { deferred: same, outcome }) };
        }
        Started::Done(outcome) => {
            queue.hold(env.raw());
            queue.leave_to_next_turn(Settled { deferred: same, outcome });
        }
        Started::UnderWay(task) => {
            queue.hold(env.raw());
            task.detach();
        }
    }
    Ok(promise)
}

/// What is there already: the value itself, or its error to throw, as long as such ones leave the event loop its turns, else
/// a promise of the next turn.
pub(crate) fn finished<'env>(env: &Env, outcome: Result<Outcome>) -> napi::Result<Unknown<'env>> {
    let queue = Queue::of(env)?;
    let outcome = outcome.map_err(|error| error::to_json(&error));
    if queue.clock.has_time() {
        // SAFETY: on the environment's thread, inside its call.
        let value = unsafe { value_of(env.raw(), outcome.map_err(napi::Error::from_reason)?)? };
        // SAFETY: the value was just made in this environment.
        return Ok(unsafe { Unknown::from_raw_unchecked(env.raw(), value) });
    }
    let (deferred, promise) = create_promise(env)?;
    queue.hold(env.raw());
    queue.leave_to_next_turn(Settled { deferred, outcome });
    Ok(promise.to_unknown())
}

fn create_promise<'env>(env: &Env) -> napi::Result<(Deferred, PromiseRaw<'env, ()>)> {
    let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `env` is the environment of this call, and both places are writable.
    check(unsafe { sys::napi_create_promise(env.raw(), &raw mut deferred, &raw mut promise) })?;
    Ok((Deferred(deferred), PromiseRaw::new(env.raw(), promise)))
}

fn check(status: sys::napi_status) -> napi::Result<()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    Err(napi::Error::new(napi::Status::from(status), "the environment is shutting down"))
}

impl Queue {
    /// The queue of this environment, made with its first promise.
    fn of(env: &Env) -> napi::Result<Arc<Self>> {
        CURRENT.with_borrow_mut(|current| match current {
            Some((owner, queue)) if *owner == env.raw() => Ok(Arc::clone(queue)),
            _ => {
                let queue = Self::create(env.raw())?;
                *current = Some((env.raw(), Arc::clone(&queue)));
                Ok(queue)
            }
        })
    }

    fn create(env: sys::napi_env) -> napi::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            waker: Function::default(),
            turner: Function::default(),
            calling: Mutex::default(),
            pending: AtomicUsize::new(0),
            clock: Clock::default(),
        });
        // The count belongs to the thread-safe functions and the cleanup hook, and is never given back.
        let context = Arc::into_raw(Arc::clone(&queue)).cast_mut().cast::<c_void>();
        let (waker, turner) = (Self::create_function(env, context)?, Self::create_function(env, context)?);
        // SAFETY: `env` is the environment of this call, and `context` stays valid. Added after the functions, so it runs
        // before their own end.
        check(unsafe { sys::napi_add_env_cleanup_hook(env, Some(forget_environment), context) })?;
        queue.waker.0.store(waker, Ordering::Release);
        queue.turner.0.store(turner, Ordering::Release);
        Ok(queue)
    }

    fn create_function(env: sys::napi_env, context: *mut c_void) -> napi::Result<sys::napi_threadsafe_function> {
        let (mut name, mut function) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the environment of this call; `context` stays valid for ever, and the function is not called any
        // more after `forget_environment`.
        unsafe {
            check(sys::napi_create_string_utf8(env, c"farm-db".as_ptr(), 7, &raw mut name))?;
            check(sys::napi_create_threadsafe_function(
                env,
                ptr::null_mut(),
                ptr::null_mut(),
                name,
                0,
                1,
                ptr::null_mut(),
                None,
                context,
                Some(on_wake),
                &raw mut function,
            ))?;
            check(sys::napi_unref_threadsafe_function(env, function))?;
        }
        Ok(function)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more promise is under way: the event loop must not end.
    fn hold(&self, env: sys::napi_env) {
        if self.pending.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(waker) = self.waker.get()
        {
            // SAFETY: on the environment's thread, with a function that is alive while it is not null.
            unsafe { sys::napi_ref_threadsafe_function(env, waker) };
        }
    }

    /// `count` promises were settled.
    fn release(&self, env: sys::napi_env, count: usize) {
        if self.pending.fetch_sub(count, Ordering::Relaxed) == count
            && let Some(waker) = self.waker.get()
        {
            // SAFETY: as in `hold`.
            unsafe { sys::napi_unref_threadsafe_function(env, waker) };
        }
    }

    /// Hands an outcome over; from every thread.
    fn push(&self, settled: Settled) {
        {
            let mut state = self.lock();
            if state.is_torn_down {
                return;
            }
            state.settled.push(settled);
            if replace(&mut state.woken, true) {
                return;
            }
        }
        let _alive = self.keep_alive();
        // SAFETY: the environment's end is kept off.
        unsafe { self.waker.call(Wake::Settled) };
    }

    /// Settles a promise when the event loop has had its turn.
    fn leave_to_next_turn(&self, settled: Settled) {
        let mut state = self.lock();
        if !state.is_torn_down {
            state.next_turn.push(settled);
            self.ask_for_turn(&mut state);
        }
    }

    /// Has a turn begun.
    fn ask_for_turn(&self, state: &mut State) {
        if !replace(&mut state.turn_asked, true) {
            let _alive = self.keep_alive();
            // SAFETY: the environment's end is kept off.
            unsafe { self.turner.call(Wake::Turner) };
        }
    }

    /// Keeps the environment's end off.
    fn keep_alive(&self) -> MutexGuard<'_, ()> {
        self.calling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles everything that is there; on the environment's thread.
    fn drain(&self, env: sys::napi_env) {
        let settled = {
            let mut state = self.lock();
            state.woken = false;
            take(&mut state.settled)
        };
        self.settle_all(env, settled);
    }

    /// A turn of the event loop begins; on the environment's thread.
    fn begin_turn(&self, env: sys::napi_env) {
        let (settled, after_turn) = {
            let mut state = self.lock();
            state.turn_asked = false;
            (take(&mut state.next_turn), take(&mut state.after_turn))
        };
        self.clock.begin();
        // What those before it have asked for goes out before anybody asks for more.
        after_turn.into_iter().for_each(Waker::wake);
        self.settle_all(env, settled);
    }

    fn settle_all(&self, env: sys::napi_env, settled: Vec<Settled>) {
        let count = settled.len();
        for one in settled {
            // SAFETY: called by Node on the environment's thread, which is alive.
            unsafe { settle(env, one) };
        }
        if count > 0 {
            self.release(env, count);
        }
    }
}

impl EventLoop for Queue {
    fn wake_after_turn(&self, waker: Waker) {
        let mut state = self.lock();
        if !state.is_torn_down {
            state.after_turn.push(waker);
            self.ask_for_turn(&mut state);
        }
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// Settles one promise. A status other than ok means that the environment is ending, and then nobody waits.
///
/// # Safety
/// On the thread of `env`, inside a callback of Node.
unsafe fn settle(env: sys::napi_env, settled: Settled) {
    let mut scope = ptr::null_mut();
    // SAFETY: see the function's contract; the scope is closed below.
    unsafe {
        sys::napi_open_handle_scope(env, &raw mut scope);
        let value = match settled.outcome {
            Ok(outcome) => value_of(env, outcome).map_err(|error| error.reason.clone()),
            Err(error) => Err(error),
        };
        match value {
            Ok(value) => sys::napi_resolve_deferred(env, settled.deferred.0, value),
            Err(error) => sys::napi_reject_deferred(env, settled.deferred.0, error_of(env, &error)),
        };
        sys::napi_close_handle_scope(env, scope);
    }
}

unsafe fn value_of(env: sys::napi_env, outcome: Outcome) -> napi::Result<sys::napi_value> {
    // SAFETY: as in `settle`.
    unsafe {
        match outcome {
            Outcome::Json(json) if json.len() <= SHORT || json.is_ascii() => text_of(env, &json),
            Outcome::Json(json) | Outcome::Bytes(json) => {
                let mut value = ptr::null_mut();
                let place = ptr::null_mut();
                check(sys::napi_create_buffer_copy(env, json.len(), json.as_ptr().cast(), place, &raw mut value))?;
                Ok(value)
            }
            Outcome::Text(json) => text_of(env, &json),
            Outcome::Transaction(transaction) => NativeTransaction::to_napi_value(env, transaction),
            Outcome::Stream(stream) => NativeStream::to_napi_value(env, stream),
        }
    }
}

/// A string. ASCII, which JSON nearly always is, is not looked at again.
unsafe fn text_of(env: sys::napi_env, text: &[u8]) -> napi::Result<sys::napi_value> {
    let create = if text.is_ascii() { sys::napi_create_string_latin1 } else { sys::napi_create_string_utf8 };
    let mut value = ptr::null_mut();
    // SAFETY: as in `settle`; the text lives until it is copied.
    check(unsafe { create(env, text.as_ptr().cast(), text.len().cast_signed(), &raw mut value) })?;
    Ok(value)
}

unsafe fn error_of(env: sys::napi_env, message: &str) -> sys::napi_value {
    let (mut text, mut error) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: as in `settle`; the text lives until it is copied.
    unsafe {
        sys::napi_create_string_utf8(env, message.as_ptr().cast(), message.len().cast_signed(), &raw mut text);
        sys::napi_create_error(env, ptr::null_mut(), text, &raw mut error);
    }
    error
}

/// Node's call on the environment's thread after a wake; without an environment when that is ending.
unsafe extern "C" fn on_wake(env: sys::napi_env, _function: sys::napi_value, context: *mut c_void, data: *mut c_void) {
    if env.is_null() {
        return;
    }
    // SAFETY: `context` is the queue of `create`, whose count is kept.
    let queue = unsafe { &*context.cast::<Queue>() };
    if data.addr() == Wake::Turn as usize {
        queue.begin_turn(env);
    } else if data.addr() == Wake::Turner as usize {
        // SAFETY: on the environment's thread.
        unsafe { queue.waker.call(Wake::Turn) };
    } else {
        queue.drain(env);
    }
}

/// The environment ends: from here on nothing may touch it.
unsafe extern "C" fn forget_environment(context: *mut c_void) {
    // SAFETY: as in `on_wake`. The count is kept for ever, because Node may still hold the context in its function.
    let queue = unsafe { &*context.cast::<Queue>() };
    {
        let _alone = queue.keep_alive();
        queue.waker.0.store(ptr::null_mut(), Ordering::Release);
        queue.turner.0.store(ptr::null_mut(), Ordering::Release);
    }
    let forgotten = {
        let mut state = queue.lock();
        state.is_torn_down = true;
        (take(&mut state.settled), take(&mut state.next_turn), take(&mut state.after_turn))
    };
    // Not under the lock: what waits for a turn may end here.
    drop(forgotten);
    CURRENT.with_borrow_mut(|current| *current = None);
}
