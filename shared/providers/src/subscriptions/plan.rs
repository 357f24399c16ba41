//! The step from what there is to what is wanted.

use jiff::{SignedDuration, Timestamp};

use super::{Found, Item, Kept, without_secret};

/// How a wanted subscription is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is there, sends what is wanted to where it is wanted, and its key is known.
    Sound,
    /// It is not there.
    Missing,
    /// It is there and sends nothing.
    Disabled,
    /// It sends to another URL, or less than what is wanted.
    Changed,
    /// It ends soon.
    Expiring,
    /// It is there, made by this program, and its key was lost before it was kept.
    KeyLost,
    /// It is there, made by someone else, and its key is not known.
    KeyUnknown,
}

/// What is to be done about it.
#[derive(Debug, Clone)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// One is to be made.
    Create,
    /// This one is to be enabled, or sent elsewhere.
    Update(Found),
    /// One is to be made, and this one then to be ended.
    Replace(Found),
    /// Nothing can be done here.
    Stuck,
}

/// How the item is found among `all`, and which of them it is. The one that was kept is it, even if it was changed; else
/// one that sends to the wanted URL. Others are somebody else's, and left alone. `knows_key`: whether the key of one that
/// is not kept would be known.
pub fn assess<'a>(
    item: &Item,
    all: &'a [Found],
    kept: Option<&Kept>,
    renewed_before: Option<SignedDuration>,
    knows_key: impl Fn(&Found) -> bool,
    now: Timestamp,
) -> (Condition, Option<&'a Found>) {
    let of_kind = || all.iter().filter(|found| found.key.as_deref() == Some(&item.key));
    let is_kept = |found: &&Found| kept.is_some_and(|kept| kept.id == found.id);
    // A secret in the URL may have been rotated: the rest of the URL says whose it is.
    let is_ours = |found: &&Found| without_secret(&found.url) == without_secret(&item.url);
    let sends = |found: &&Found| is_ours(found) && found.active && found.url == item.url;
    let found = of_kind().find(is_kept).or_else(|| of_kind().find(sends)).or_else(|| of_kind().find(is_ours));
    let Some(found) = found else { return (Condition::Missing, None) };
    let has = |event: &String| found.events.iter().any(|known| known == event || known == "*");
    let ends_soon = || {
        let (ends, before) = (found.expires_at?, renewed_before?);
        (ends.duration_since(now) < before).then_some(())
    };
    let condition = if !knows_key(found) {
        if found.marked { Condition::KeyLost } else { Condition::KeyUnknown }
    } else if !found.active {
        Condition::Disabled
    } else if ends_soon().is_some() {
        Condition::Expiring
    } else if found.url != item.url || !item.events.iter().all(has) {
        Condition::Changed
    } else {
        Condition::Sound
    };
    (condition, Some(found))
}

/// What is to be done about an item so found.
pub fn plan(condition: Condition, found: Option<&Found>) -> Step {
    match (condition, found) {
        (Condition::Sound, _) => Step::Nothing,
        (Condition::KeyUnknown, _) => Step::Stuck,
        (Condition::Missing, _) | (_, None) => Step::Create,
        (Condition::Disabled | Condition::Changed, Some(found)) => Step::Update(found.clone()),
        (Condition::Expiring | Condition::KeyLost, Some(found)) => Step::Replace(found.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Item {
        Item {
            key: "webhook".into(),
            events: vec!["a".into(), "b".into()],
            url: "https://hooks.example.com/webhooks/x".into(),
        }
    }

    fn found(id: &str) -> Found {
        Found {
            key: Some("webhook".into()),
            id: id.into(),
            url: item().url,
            events: item().events,
            active: true,
            ..Found::default()
        }
    }

    fn kept(id: &str) -> Kept {
        Kept { key: "webhook".into(), id: id.into(), url: item().url, ..Kept::default() }
    }

    fn condition(all: &[Found], kept: Option<&Kept>) -> (Condition, Option<String>) {
        let (condition, found) = assess(&item(), all, kept, None, |_| true, Timestamp::UNIX_EPOCH);
        (condition, found.map(|found| found.id.clone()))
    }

    #[test]
    fn what_is_there_as_wanted_is_left_alone() {
        assert_eq!(condition(&[found("1")], None), (Condition::Sound, Some("1".into())));
        let all = Found { events: vec!["*".into()], ..found("1") };
        assert_eq!(condition(&[all], None).0, Condition::Sound);
        let more = Found { events: vec!["b".into(), "c".into(), "a".into()], ..found("1") };
        assert_eq!(condition(&[more], None).0, Condition::Sound);
    }

    #[test]
    fn a_subscription_that_sends_elsewhere_is_somebody_elses_unless_it_was_kept() {
        let elsewhere = Found { url: "https://other.example.com/".into(), ..found("1") };
        assert_eq!(condition(std::slice::from_ref(&elsewhere), None).0, Condition::Missing);
        assert_eq!(condition(&[elsewhere], Some(&kept("1"))), (Condition::Changed, Some("1".into())));
        let other_kind = Found { key: Some("other".into()), ..found("1") };
        assert_eq!(condition(&[other_kind], None).0, Condition::Missing);
    }

    #[test]
    fn a_disabled_one_and_one_that_brings_less_are_noticed() {
        let disabled = Found { active: false, ..found("1") };
        assert_eq!(condition(&[disabled], None).0, Condition::Disabled);
        let less = Found { events: vec!["a".into()], ..found("1") };
        assert_eq!(condition(&[less], None).0, Condition::Changed);
    }

    #[test]
    fn of_two_to_the_same_url_the_one_that_sends_counts() {
        let disabled = Found { active: false, ..found("1") };
        assert_eq!(condition(&[disabled, found("2")], None), (Condition::Sound, Some("2".into())));
    }

    #[test]
    fn a_rotated_secret_in_the_url_is_a_change_and_not_another_subscription() {
        let old = Found { url: format!("{}?key=old", item().url), ..found("1") };
        assert_eq!(condition(&[old], None), (Condition::Changed, Some("1".into())));
    }

    #[test]
    fn a_lost_key_has_it_replaced_and_a_strangers_key_has_it_left() {
        let assessed = |marked| {
            let all = [Found { marked, ..found("1") }];
            assess(&item(), &all, None, None, |_| false, Timestamp::UNIX_EPOCH).0
        };
        assert_eq!((assessed(true), assessed(false)), (Condition::KeyLost, Condition::KeyUnknown));
        assert!(matches!(plan(Condition::KeyLost, Some(&found("1"))), Step::Replace(_)));
        assert!(matches!(plan(Condition::KeyUnknown, Some(&found("1"))), Step::Stuck));
    }

    #[test]
    fn one_that_ends_soon_is_replaced_before_it_does() {
        let day = SignedDuration::from_hours(24);
        let at = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let assessed = |now| {
            let all = [Found { expires_at: Some(at(168)), ..found("1") }];
            assess(&item(), &all, Some(&kept("1")), Some(day), |_| true, now).0
        };
        assert_eq!((assessed(at(143)), assessed(at(145))), (Condition::Sound, Condition::Expiring));
    }
}
