//! What runs behind the queue as long as the process does.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tillwatch_platform::queue::QueueError;
use tillwatch_workflows::tally;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::stack::{Polled, Stack};

/// After so long without work the stream's reader says that it is there.
const IDLE: Duration = Duration::from_mins(1);
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
async fn poll<B: Future<Output = Result<usize, QueueError>>>(
    queue: &Arc<dyn Polled>,
    batch: impl Fn() -> B,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        match batch().await {
            Ok(0) => tokio::select! {
                () = queue.wait() => {}
                _ = stop.changed() => {}
            },
            Ok(_) => {}
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// One who processes events, or parks dead letters.
pub(super) async fn process(stack: Arc<Stack>, dead_letters: bool, stop: watch::Receiver<bool>) {
    let queue = if dead_letters { &stack.ports().dead_letters } else { &stack.ports().events };
    poll(queue, || stack.process_batch(dead_letters), stop).await;
}

/// One who makes checks.
pub(super) async fn check(stack: Arc<Stack>, stop: watch::Receiver<bool>) {
    poll(&stack.ports().checks, || stack.check_batch(), stop).await;
}

/// One who refreshes tokens.
pub(super) async fn refresh(stack: Arc<Stack>, stop: watch::Receiver<bool>) {
    poll(&stack.ports().refreshes, || stack.refresh_batch(), stop).await;
}

/// One who reconciles.
pub(super) async fn reconcile(stack: Arc<Stack>, stop: watch::Receiver<bool>) {
    poll(&stack.ports().reconciliations, || stack.reconcile_batch(), stop).await;
}

/// The stream's reader: change after change, until what was processed before the stop is counted.
pub(super) async fn roll_up(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    loop {
        match stack.roll_up_batch().await {
            Ok(0) | Err(_) if *stop.borrow() => return,
            Ok(0) => {
                stack.rolls_up().await;
                tokio::select! {
                    () = stack.ports().stream.wait() => {}
                    () = tokio::time::sleep(IDLE) => {}
                    _ = stop.changed() => {}
                }
            }
            Ok(_) => {}
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// The replays' runner: at once when one is started, and when the next step of one is due.
pub(super) async fn replay(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let replays = stack.replays();
    while !*stop.borrow() {
        match replays.turn().await {
            Ok(next) => tokio::select! {
                () = replays.wait(next) => {}
                _ = stop.changed() => {}
            },
            Err(error) => pause(&error, &mut stop).await,
        }
    }
}

/// How often what falls due is looked for, and of how many of these looks one has watched what was missed.
const LOOK: Duration = Duration::from_secs(2);
const SWEEP: u32 = 300;

/// The checks' schedule. What ended a process between a job's sending and its end is found by the first look.
pub(super) async fn schedule_checks(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for look in 0_u32.. {
        tokio::select! {
            _ = looks.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = stack.schedule_checks(look % SWEEP == 0).await {
            pause(&error, &mut stop).await;
        }
    }
}

/// Has webhooks tallied. A look that comes sooner than the next is due does nothing.
pub(super) async fn tally(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.changed() => return,
        }
        tokio::select! {
            looked = stack.tally() => {
                wait = tally::EVERY;
                if let Err(error) = looked {
                    tracing::error!(%error, "webhooks could not be tallied; in a minute again");
                    wait = Duration::from_mins(1);
                }
            }
            // What was not kept is counted again.
            _ = stop.changed() => return,
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
                if let Err(error) = stack.tell_deadman().await {
                    tracing::warn!(%error, "the dead-man switch could not be told");
                }
            }
            _ = stop.changed() => break,
        }
    }
    // The present minute too is over for this process.
    stack.tell_shed(stack.ports().clock.now() + SignedDuration::from_mins(1)).await;
}

/// Looks after the webhook subscriptions at the providers: every hour, and soon after the start, for the machine may have
/// been off while one was disabled.
pub(super) async fn look_after_subscriptions(stack: Arc<Stack>, mut stop: watch::Receiver<bool>) {
    let mut hours = tokio::time::interval(Duration::from_hours(1));
    loop {
        tokio::select! {
            _ = hours.tick() => {}
            _ = stop.changed() => return,
        }
        tokio::select! {
            looked = stack.look_after_subscriptions(Duration::from_mins(55)) => {
                if let Err(error) = looked {
                    tracing::error!(%error, "webhook subscriptions could not be looked after; in an hour again");
                }
            }
            // What is under way at a provider is found again at the next start.
            _ = stop.changed() => return,
        }
    }
}

async fn pause(error: &(dyn std::error::Error + Sync), stop: &mut watch::Receiver<bool>) {
    tracing::error!(error = %error, "trying again in a second");
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
