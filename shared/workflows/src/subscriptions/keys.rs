//! The webhook secrets that come of subscriptions, among a connection's own.

use std::time::Duration;

use jiff::Timestamp;
use tillwatch_providers::{Key, Settings};

/// How long the key of a subscription that was replaced still proves what comes: what was sent before comes again for days.
const OVERLAP: Duration = Duration::from_secs(3 * 24 * 3_600);

/// Puts a key before the others, unless it is there; the one that it replaces lives on for a while. Whether anything was
/// changed.
pub(super) fn put_signing_key(
    settings: &mut Settings,
    key: &str,
    replaced: Option<&str>,
    now: Timestamp,
) -> bool {
    let new = Key::new(key);
    let id = new.id();
    let mut changed = false;
    for old in &mut settings.signing_keys {
        let is_replaced = replaced.is_some_and(|replaced| replaced != id && old.id() == replaced);
        if is_replaced && old.expires().is_none() {
            *old = old.clone().until(Some(now + OVERLAP));
            changed = true;
        }
    }
    settings.signing_keys.retain(|key| key.expires().is_none_or(|until| now < until));
    if settings.signing_keys.iter().any(|known| known.id() == id && known.expires().is_none()) {
        return changed;
    }
    settings.signing_keys.retain(|known| known.id() != id);
    settings.signing_keys.insert(0, new);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3_600).unwrap()
    }

    fn keys(settings: &Settings) -> Vec<&str> {
        settings.signing_keys.iter().map(Key::expose).collect()
    }

    #[test]
    fn a_new_key_comes_first_and_the_one_that_it_replaces_ends_in_three_days() {
        let mut settings = Settings::with_keys(["old", "another"]);
        assert!(put_signing_key(&mut settings, "new", Some(&Key::new("old").id()), at(0)));
        assert_eq!(keys(&settings), ["new", "old", "another"]);
        let ends: Vec<_> = settings.signing_keys.iter().map(Key::expires).collect();
        assert_eq!(ends, [None, Some(at(72)), None]);
        assert!(!put_signing_key(&mut settings, "new", Some(&Key::new("old").id()), at(1)));
        assert!(put_signing_key(&mut settings, "newer", None, at(72)));
        assert_eq!(keys(&settings), ["newer", "new", "another"]);
    }

    #[test]
    fn a_key_that_comes_back_lives_again() {
        let mut settings = Settings::with_keys(["a"]);
        put_signing_key(&mut settings, "b", Some(&Key::new("a").id()), at(0));
        assert!(put_signing_key(&mut settings, "a", None, at(1)));
        assert_eq!(keys(&settings), ["a", "b"]);
        assert!(settings.signing_keys[0].expires().is_none());
    }
}
