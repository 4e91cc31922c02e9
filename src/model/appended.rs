//! What appending to a log gives: a future of the entry's position, or of why it was not kept.
//! Promise and answer share one allocation.

use super::entry::Position;
use super::log::Refused;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What an append ends with.
type Outcome = Result<Position, Refused>;

/// Resolves when the entry is durable, or says why it never will be.
#[must_use = "an entry may be refused"]
pub struct Appended(Inner);

enum Inner {
    Known(Outcome),
    Promised(Arc<Mutex<Shared>>),
    Other(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// Tells an [`Appended`] its outcome. One that is dropped has told that the log is closing: who
/// is gone without an answer kept nothing.
pub struct Promise(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Nothing that holds it can panic half-way.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Appended ===

impl Appended {
    /// An outcome that is known already.
    pub fn known(outcome: Outcome) -> Appended {
        Appended(Inner::Known(outcome))
    }

    /// An outcome that somebody will tell.
    pub fn promised() -> (Promise, Appended) {
        let shared = Arc::<Mutex<Shared>>::default();
        (Promise(shared.clone()), Appended(Inner::Promised(shared)))
    }

    /// The outcome of another future.
    pub fn of(future: impl Future<Output = Outcome> + Send + 'static) -> Appended {
        Appended(Inner::Other(Box::pin(future)))
    }
}

impl Future for Appended {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            Inner::Known(outcome) => Poll::Ready(*outcome),
            Inner::Promised(shared) => {
                let mut shared = lock(shared);
                if let Some(outcome) = shared.outcome {
                    return Poll::Ready(outcome);
                }
                match &mut shared.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            Inner::Other(future) => future.as_mut().poll(context),
        }
    }
}

// === impl Promise ===

impl Promise {
    /// Tells it. Whether anybody still waits does not matter.
    pub fn tell(self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&self, outcome: Outcome) {
        let mut shared = lock(&self.0);
        shared.outcome.get_or_insert(outcome);
        let waker = shared.waker.take();
        drop(shared);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.settle(Err(Refused::Closing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once_and_told() {
        for (tell, expected) in [(Some(Ok(7)), Ok(7)), (None, Err(Refused::Closing))] {
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let mut context = Context::from_waker(&waker);
            let (promise, mut appended) = Appended::promised();
            for _ in 0..2 {
                assert_eq!(Pin::new(&mut appended).poll(&mut context), Poll::Pending);
            }
            match tell {
                Some(outcome) => promise.tell(outcome),
                None => drop(promise),
            }
            assert_eq!(wakes.0.load(Relaxed), 1);
            assert_eq!(Pin::new(&mut appended).poll(&mut context), Poll::Ready(expected));
        }
    }

    #[test]
    fn what_is_known_or_comes_from_elsewhere_needs_no_promise() {
        let mut context = Context::from_waker(Waker::noop());
        for mut appended in [Appended::known(Ok(3)), Appended::of(std::future::ready(Ok(3)))] {
            assert_eq!(Pin::new(&mut appended).poll(&mut context), Poll::Ready(Ok(3)));
        }
    }
}
