//! What runs behind the queue as long as the process does.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tillwatch_platform::queue::QueueError;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::stack::Stack;

/// How long a loop waits after something that it stands on failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Waits until all loops have ended, and says whether each did so because it was told to. Raises the alarm as soon as
/// one has panicked: the others would go on, and nobody would notice that nothing is processed or counted any more.
pub(super) async fn all_ended(mut running: JoinSet<()>, alarm: oneshot::Sender<()>) -> bool {
    let mut alarm = Some(alarm);
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a background loop has panicked: everything stops");
            if let Some(alarm) = alarm.take() {
                let _ = alarm.send(());
            }
        }
    }
    alarm.is_some()
}

/// One poller of a queue: batch after batch, and sleep while there is none.
pub(super) async fn process(stack: Arc<Stack>, dead_letters: bool, mut stop: watch::Receiver<bool>) {
    let queue = if dead_letters { &stack.ports().dead_letters } else { &stack.ports().events };
    while !*stop.borrow() {
        match stack.process_batch(dead_letters).await {
            Ok(0) => tokio::select! {
                () = queue.wait() => {}
                _ = stop.changed() => {}
            },
            Ok(_) => {}
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// The stream's reader: change after change, until what was processed before the stop is counted.
pub(super) async fn roll_up(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    loop {
        match stack.roll_up_batch().await {
            Ok(0) | Err(_) if *stop.borrow() => return,
            Ok(0) => tokio::select! {
                () = stack.ports().stream.wait() => {}
                _ = stop.changed() => {}
            },
            Ok(_) => {}
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// The schedule.
pub(super) async fn beat(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let mut minutes = tokio::time::interval(Duration::from_mins(1));
    loop {
        tokio::select! {
            _ = minutes.tick() => {
                let now = stack.ports().clock.now();
                if let Err(error) = stack.heartbeat(now).await {
                    tracing::warn!(%error, "the heartbeat could not be sent");
                }
                stack.tell_shed(now).await;
            }
            _ = stop.changed() => break,
        }
    }
    // The present minute too is over for this process.
    stack.tell_shed(stack.ports().clock.now() + SignedDuration::from_mins(1)).await;
}

async fn pause(error: &QueueError, stop: &mut watch::Receiver<bool>) {
    tracing::error!(%error, "trying again in a second");
    tokio::select! {
        () = tokio::time::sleep(AFTER_FAILURE) => {}
        _ = stop.changed() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_raises_the_alarm_and_the_others_are_waited_for() {
        let (stop, stopping) = watch::channel(false);
        let (alarm, alarmed) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(async { panic!("a test's") });
        let mut other = stopping.clone();
        running.spawn(async move {
            let _ = other.changed().await;
        });
        let ended = tokio::spawn(all_ended(running, alarm));
        alarmed.await.unwrap();
        assert!(!ended.is_finished());
        stop.send(true).unwrap();
        assert!(!ended.await.unwrap());
    }

    #[tokio::test]
    async fn loops_that_end_when_they_are_told_to_raise_no_alarm() {
        let (alarm, alarmed) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(async {});
        assert!(all_ended(running, alarm).await);
        assert!(alarmed.await.is_err());
    }
}
