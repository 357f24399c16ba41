//! What is watched beside connections: the providers' status pages, and our own addresses as they reach them. They stand on
//! the same agenda under ids that no connection can have, and only while the provider has a connection.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use tillwatch_platform::connections::Kind;
use tillwatch_platform::watched::{Kept, spread};
use tillwatch_providers::checks;
use tillwatch_providers::checks::Form;

use super::{Doing, Endpoint, FIRST_WITHIN, Page, Roster, Survey, WatchError};

/// What an id stands for. No connection's has a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A connection.
    Connection,
    /// The status page of the provider of this name.
    Page(&'a str),
    /// Our own address for the webhooks of the provider of this name.
    Endpoint(&'a str),
}

const PAGE: &str = "provider:";
const ENDPOINT: &str = "endpoint:";

impl<'a> Subject<'a> {
    /// What an id stands for.
    pub fn of(id: &'a str) -> Self {
        match (id.strip_prefix(PAGE), id.strip_prefix(ENDPOINT)) {
            (Some(provider), _) => Self::Page(provider),
            (_, Some(provider)) => Self::Endpoint(provider),
            _ => Self::Connection,
        }
    }

    /// The id; none of a connection, which has its own.
    fn id(self) -> Option<String> {
        match self {
            Self::Connection => None,
            Self::Page(provider) => Some(format!("{PAGE}{provider}")),
            Self::Endpoint(provider) => Some(format!("{ENDPOINT}{provider}")),
        }
    }
}

/// What there is to be watched beside connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The URLs of the status pages, by provider.
    pub pages: BTreeMap<String, String>,
    /// The address at which providers reach us, without a slash at its end; none, if it is not known.
    pub public_url: Option<String>,
}

impl Beside {
    /// Where a provider's status page is, and what is to be read there.
    pub(super) fn page(&self, provider: &str) -> Option<(&str, Form)> {
        Some((self.pages.get(provider)?, checks::of(provider)?.status_page()?.form))
    }

    /// Where a provider sends its webhooks.
    pub(super) fn endpoint(&self, provider: &str) -> Option<String> {
        Some(format!("{}/webhooks/{provider}", self.public_url.as_ref()?))
    }
}

/// All that is watched.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) connections: Vec<Kept<Doing>>,
    /// By provider, as the next.
    pub(super) pages: BTreeMap<String, Page>,
    /// And when each is due, Unix milliseconds.
    pub(super) endpoints: BTreeMap<String, (Endpoint, i64)>,
}

enum Document {
    Connection(Doing),
    Page(Page),
    Endpoint(Box<Endpoint>),
}

impl Document {
    fn read(id: &str, json: &str) -> serde_json::Result<Self> {
        Ok(match Subject::of(id) {
            Subject::Connection => Self::Connection(serde_json::from_str(json)?),
            Subject::Page(_) => Self::Page(serde_json::from_str(json)?),
            Subject::Endpoint(_) => Self::Endpoint(serde_json::from_str(json)?),
        })
    }
}

impl Roster {
    /// All that is watched, as it is kept. May be a moment old.
    pub(super) async fn everything(&self) -> Result<All, WatchError> {
        let mut all = All::default();
        for kept in self.agenda.watched.all_by(Document::read).await? {
            let Kept { id, provider, document, due_ms, revision } = kept;
            match document {
                Document::Connection(document) => {
                    all.connections.push(Kept { id, provider, document, due_ms, revision });
                }
                Document::Page(page) => {
                    all.pages.insert(provider, page);
                }
                Document::Endpoint(endpoint) => {
                    all.endpoints.insert(provider, (*endpoint, due_ms));
                }
            }
        }
        Ok(all)
    }

    /// Has watched what is to be and is not: of the providers that have connections. What is to be no more goes with its next
    /// check.
    pub(super) async fn watch_beside(&self, survey: &Survey) -> Result<(), WatchError> {
        for provider in survey.providers() {
            if self.beside.page(provider).is_some() && !survey.pages.contains_key(provider) {
                self.enrol_beside(Subject::Page(provider), false).await?;
            }
            if self.beside.endpoint(provider).is_some() && !survey.endpoints.contains_key(provider) {
                self.enrol_beside(Subject::Endpoint(provider), false).await?;
            }
        }
        Ok(())
    }

    /// Has one of these watched soon: if it is not yet, or `anew`, because what is known of when it is due makes no sense.
    pub(super) async fn enrol_beside(&self, subject: Subject<'_>, anew: bool) -> Result<(), WatchError> {
        let Some(id) = subject.id() else { return Ok(()) };
        if !anew && self.agenda.watched.get::<IgnoredAny>(&id).await?.is_some() {
            return Ok(());
        }
        let due_ms = self.clock.now().as_millisecond() + 1 + i64::from(spread(&id) % FIRST_WITHIN);
        match subject {
            Subject::Connection => {}
            Subject::Page(provider) => {
                let kept = self.agenda.watched.get_or_new::<Page>(&id).await?;
                self.agenda.change((&id, provider), kept, |_| due_ms).await?;
            }
            Subject::Endpoint(provider) => {
                let kept = self.agenda.watched.get_or_new::<Endpoint>(&id).await?;
                self.agenda.change((&id, provider), kept, |_| due_ms).await?;
            }
        }
        Ok(())
    }

    /// Whether the provider has a connection.
    pub(crate) async fn is_used(&self, provider: &str) -> Result<bool, WatchError> {
        let (ids, _) = self.connections.ids(Kind::Connection, provider, "", 1).await?;
        Ok(!ids.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::connection::is_id;

    use super::*;

    #[test]
    fn no_connection_can_have_the_id_of_anything_else() {
        for subject in [Subject::Page("square"), Subject::Endpoint("square")] {
            let id = subject.id().unwrap();
            assert_eq!(Subject::of(&id), subject);
            assert!(!is_id(&id), "{id}");
        }
        assert_eq!(Subject::of("provider-square"), Subject::Connection);
    }
}
