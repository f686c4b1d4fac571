//! A text that takes a while to make, for many who ask at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::Mutex,
    task::{JoinError, spawn_blocking},
    time::Instant,
};

/// Makes one text at a time, each on a thread of its own. Whoever asks gets one that was begun after the question; those
/// who have waited together share it, so that a crowd takes no more memory and time than two.
#[derive(Debug, Default)]
pub(super) struct Render {
    /// When what was made last was begun. It is kept while somebody waits.
    last: Arc<Mutex<Option<(Instant, String)>>>,
    waiting: Arc<AtomicUsize>,
}

/// Somebody who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Render {
    /// The text that `make` makes.
    pub(super) async fn text(
        &self,
        make: impl FnOnce() -> String + Send + 'static,
    ) -> Result<String, JoinError> {
        let asked = Instant::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let mut last = Arc::clone(&self.last).lock_owned().await;
        drop(waiting);
        let is_awaited = || self.waiting.load(Ordering::Relaxed) > 0;
        if let Some((begun, text)) = last.take().filter(|(begun, _)| *begun >= asked) {
            if is_awaited() {
                *last = Some((begun, text.clone()));
            }
            return Ok(text);
        }
        let (begun, waiting) = (Instant::now(), Arc::clone(&self.waiting));
        // The lock goes along: for whoever asks and does not wait, no other text is made beside.
        spawn_blocking(move || {
            let text = make();
            if waiting.load(Ordering::Relaxed) > 0 {
                *last = Some((begun, text.clone()));
            }
            text
        })
        .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, task::Poll};

    use futures::{future::join_all, poll};

    use super::*;

    #[tokio::test]
    async fn a_crowd_shares_a_text_that_was_begun_after_all_had_asked() {
        let (render, made) = (Render::default(), Arc::new(AtomicUsize::new(0)));
        let (go, wait) = mpsc::channel::<()>();
        let first = render.text(move || {
            wait.recv().ok();
            "old".to_owned()
        });
        let mut first = std::pin::pin!(first);
        assert!(matches!(poll!(&mut first), Poll::Pending));
        let mut crowd: Vec<_> = (0..100)
            .map(|_| {
                let made = Arc::clone(&made);
                Box::pin(render.text(move || {
                    made.fetch_add(1, Ordering::Relaxed);
                    "new".to_owned()
                }))
            })
            .collect();
        for one in &mut crowd {
            assert!(matches!(poll!(one), Poll::Pending));
        }
        // Who goes away is not waited for.
        drop(crowd.pop());
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), "old");
        let texts = join_all(crowd).await;
        assert!(texts.iter().all(|text| text.as_ref().is_ok_and(|text| text == "new")));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert!(render.last.lock().await.is_none(), "nobody waits");
        assert_eq!(render.text(|| "later".to_owned()).await.unwrap(), "later");
    }

    #[tokio::test]
    async fn who_does_not_wait_has_nothing_made_beside_the_others() {
        let render = Render::default();
        let (go, wait) = mpsc::channel::<()>();
        let mut first = Box::pin(render.text(move || {
            wait.recv().ok();
            "old".to_owned()
        }));
        assert!(matches!(poll!(&mut first), Poll::Pending));
        drop(first);
        assert!(render.last.try_lock().is_err(), "it is still being made");
        go.send(()).unwrap();
        assert_eq!(render.text(|| "new".to_owned()).await.unwrap(), "new");
    }
}
