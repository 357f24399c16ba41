//! Reading a request's body within bounds: of size, of time, and of the memory that all bodies take together.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tillwatch_providers::request::MAX_BODY;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Bodies up to this size need no room of their own: nearly all webhooks, and little even on every connection at once.
pub(super) const SMALL: usize = 64 * 1024;

/// A whole body. Its room is taken as long as this lives.
pub(super) struct Whole<'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Option<SemaphorePermit<'a>>,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than any that is taken.
    TooLarge,
    /// It did not come in time.
    TooSlow,
    /// Other bodies took all the room there is for too long.
    NoRoom,
    /// The sender went away, or sent what is no body.
    Broken,
}

/// Reads a body that comes within `patience`, once there is `room` for it, counted in bytes, within `patience` too.
pub(super) async fn read(
    mut body: Incoming,
    room: &Semaphore,
    patience: Duration,
) -> Result<Whole<'_>, Unread> {
    let announced = body.size_hint().exact().map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
    if announced > MAX_BODY {
        return Err(Unread::TooLarge);
    }
    let mut whole = Whole { bytes: Vec::new(), room: None };
    if announced > SMALL {
        whole.room = Some(take(room, announced, patience).await?);
    }
    whole.bytes.reserve_exact(announced);
    let mut deadline = Instant::now() + patience;
    while let Some(frame) =
        tokio::time::timeout_at(deadline, body.frame()).await.map_err(|_| Unread::TooSlow)?
    {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        let length = whole.bytes.len() + data.len();
        if length > MAX_BODY {
            return Err(Unread::TooLarge);
        }
        if length > SMALL && whole.room.is_none() {
            // Chunked, so nobody knows how large it gets. All of its room is taken at once: of those who take a part
            // each and wait for the rest, none might ever get it.
            let asked = Instant::now();
            whole.room = Some(take(room, MAX_BODY, patience).await?);
            deadline += asked.elapsed();
        }
        whole.bytes.extend_from_slice(&data);
    }
    Ok(whole)
}

async fn take(room: &Semaphore, bytes: usize, patience: Duration) -> Result<SemaphorePermit<'_>, Unread> {
    let bytes = u32::try_from(bytes).map_err(|_| Unread::TooLarge)?;
    let taken = tokio::time::timeout(patience, room.acquire_many(bytes)).await;
    taken.ok().and_then(Result::ok).ok_or(Unread::NoRoom)
}
