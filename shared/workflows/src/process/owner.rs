//! Whose the records are that an event changes.

use std::borrow::Cow;

use tillwatch_domain::{Change, Event};
use tillwatch_providers::Provider;

/// The account, which no other account's events may change; where accounts replace each other, the connection.
pub(super) fn owner<'a>(event: &'a Event, connection: Option<&'a str>) -> &'a str {
    connection.filter(|_| renews_accounts(event)).unwrap_or(&event.dedupe.account)
}

/// The change as it is made: where accounts replace each other its record is known by its owner too. What such a provider
/// sends is not signed, and whoever may speak for one connection could name what is another's.
pub(crate) fn owned<'a>(event: &Event, change: &'a Change, connection: Option<&str>) -> Cow<'a, Change> {
    if !renews_accounts(event) {
        return Cow::Borrowed(change);
    }
    let mut change = change.clone();
    owner(event, connection).clone_into(&mut change.record.scope);
    Cow::Owned(change)
}

fn renews_accounts(event: &Event) -> bool {
    tillwatch_providers::named(&event.dedupe.provider).is_some_and(Provider::renews_accounts)
}
