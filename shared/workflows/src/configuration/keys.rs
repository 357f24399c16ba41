//! Webhook secrets over time: a new one becomes the newest, and the ones before it stay live for a while, so that what the
//! provider signed before it changed to the new one, or tries again later, is still believed.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tillwatch_providers::{Key, Settings};
use utoipa::ToSchema;

/// For how long a replaced secret stays live unless it is said otherwise: what providers try again, they do within a day.
pub const OVERLAP: Duration = Duration::from_hours(24);
/// How many secrets of one kind are kept.
const MOST: usize = 10;

/// A kind of webhook secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// What signs.
    Signing,
    /// What stands in a URL, or is a channel's token.
    Url,
    /// What the provider repeats when it asks whether a URL is ours.
    VerifyToken,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Signing, Self::Url, Self::VerifyToken];

    /// The name used in configurations and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing_key",
            Self::Url => "url_key",
            Self::VerifyToken => "verify_token",
        }
    }

    /// The name of the list of them in a provider's secret.
    pub fn list(self) -> &'static str {
        match self {
            Self::Signing => "signing_keys",
            Self::Url => "url_keys",
            Self::VerifyToken => "verify_tokens",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The settings' keys of this kind.
    pub fn of(self, settings: &Settings) -> &Vec<Key> {
        match self {
            Self::Signing => &settings.signing_keys,
            Self::Url => &settings.url_keys,
            Self::VerifyToken => &settings.verify_tokens,
        }
    }

    /// The same, to be changed.
    pub fn of_mut(self, settings: &mut Settings) -> &mut Vec<Key> {
        match self {
            Self::Signing => &mut settings.signing_keys,
            Self::Url => &mut settings.url_keys,
            Self::VerifyToken => &mut settings.verify_tokens,
        }
    }
}

/// A secret as it is shown: never itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    /// `signing_key`, `url_key` or `verify_token`.
    pub kind: &'static str,
    /// Its name, by which events say what proved them.
    pub key: String,
    /// When it stops being live; null: when it is replaced or taken away.
    pub until: Option<String>,
}

/// The live secrets of settings, newest first.
pub fn views(settings: &Settings, now: Timestamp) -> Vec<KeyView> {
    let view = |kind: KeyKind, key: &Key| KeyView {
        kind: kind.name(),
        key: key.id(),
        until: key.expires().map(|until| until.to_string()),
    };
    let of = |kind: KeyKind| {
        kind.of(settings).iter().filter(|key| key.is_live(now)).map(move |key| view(kind, key))
    };
    KeyKind::ALL.into_iter().flat_map(of).collect()
}

/// Puts a new secret before the live ones, which end after `overlap` at the latest. One that is the newest already stays
/// as it is, and one that is put back from among the older ones is live without end again.
pub fn rotate(keys: &mut Vec<Key>, new: &str, overlap: Duration, now: Timestamp) {
    if keys.first().is_some_and(|key| key.expose() == new && key.expires().is_none()) {
        return;
    }
    let end = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
    let older = keys.iter().filter(|key| key.is_live(now) && key.expose() != new);
    let older = older.map(|key| {
        let until = key.expires().map_or(end, |until| until.min(end));
        key.clone().until(Some(until))
    });
    let mut all: Vec<_> =
        std::iter::once(Key::new(new)).chain(older).filter(|key| key.is_live(now)).collect();
    all.truncate(MOST);
    *keys = all;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn live(keys: &[Key], second: i64) -> Vec<&str> {
        keys.iter().filter(|key| key.is_live(at(second))).map(Key::expose).collect()
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn several_rotations_in_a_row_each_end_their_own_old_secret_at_its_own_time() {
        let mut keys = vec![Key::new("a")];
        rotate(&mut keys, "b", HOUR, at(0));
        rotate(&mut keys, "c", HOUR, at(1_800));
        rotate(&mut keys, "d", HOUR, at(2_700));
        assert_eq!(live(&keys, 3_599), ["d", "c", "b", "a"]);
        assert_eq!(live(&keys, 3_600), ["d", "c", "b"]);
        assert_eq!(live(&keys, 5_400), ["d", "c"]);
        assert_eq!(live(&keys, 6_300), ["d"]);
        assert_eq!(live(&keys, i64::from(i32::MAX)), ["d"]);
    }

    #[test]
    fn a_rotation_to_the_same_secret_changes_nothing_and_one_back_makes_it_the_newest() {
        let mut keys = vec![Key::new("a")];
        rotate(&mut keys, "a", HOUR, at(0));
        assert_eq!((keys.len(), keys[0].expires()), (1, None));
        rotate(&mut keys, "b", HOUR, at(0));
        rotate(&mut keys, "a", HOUR, at(60));
        assert_eq!(live(&keys, 60), ["a", "b"]);
        assert_eq!((keys[0].expires(), keys[1].expires()), (None, Some(at(3_660))));
    }

    #[test]
    fn no_overlap_ends_the_old_secret_at_once_and_secrets_do_not_pile_up() {
        let mut keys = vec![Key::new("a")];
        rotate(&mut keys, "b", Duration::ZERO, at(0));
        assert_eq!(live(&keys, 0), ["b"]);
        for number in 0..50 {
            rotate(&mut keys, &number.to_string(), HOUR, at(number));
        }
        assert_eq!(keys.len(), MOST);
    }
}
