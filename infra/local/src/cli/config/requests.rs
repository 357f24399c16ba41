//! A configuration as the requests that bring it into force, and sending them.

use std::sync::Arc;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tillwatch_domain::location::{Configuration, Location};
use tokio::task::JoinSet;

use super::super::client::{Api, ApiError};

/// How many requests are under way at once.
pub(super) const AT_ONCE: usize = 16;

/// One thing to put in its place.
#[derive(Clone)]
pub(super) struct Request {
    /// What it is, for people: `location harbour`.
    pub(super) name: String,
    path: [String; 2],
    /// JSON, with secrets in it.
    body: Arc<Vec<u8>>,
    /// What others stand on comes before them.
    first: bool,
}

/// A change that a request makes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Change {
    /// Of what: `connection harbour-square`.
    pub(super) what: String,
    #[serde(rename = "change")]
    pub(super) kind: Kind,
    /// The names of what differs.
    #[serde(default)]
    pub(super) fields: Vec<String>,
    /// The part of a webhook URL after the stack's address, with a secret in it that was made and is told this once.
    #[serde(default)]
    pub(super) webhook_url: Option<String>,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Created,
    Changed,
    Disabled,
    Unchanged,
}

#[derive(Deserialize)]
struct Answer {
    changes: Vec<Change>,
}

/// What became of each request, in their order; none, if it was not sent.
pub(super) type Answers = Vec<Option<Result<Vec<Change>, ApiError>>>;

/// The requests for a configuration, or for those of its locations and the businesses that they belong to. What holds
/// for all locations is not sent for some of them.
pub(super) fn requests(configuration: &Configuration, only: &[String]) -> Vec<Request> {
    let is_chosen = |location: &&Location| only.is_empty() || only.contains(&location.id);
    let chosen: Vec<_> = configuration.locations.iter().filter(is_chosen).collect();
    let has_chosen = |business: &String| chosen.iter().any(|location| location.business == *business);
    let mut requests = Vec::new();
    for (id, business) in &configuration.businesses {
        if only.is_empty() || has_chosen(id) {
            requests.extend(request("business", "businesses", id, business, true));
        }
    }
    if only.is_empty() {
        for (name, settings) in &configuration.providers {
            requests.extend(request("defaults of", "providers", name, settings, true));
        }
    }
    for location in chosen {
        requests.extend(request("location", "locations", &location.id, location, false));
    }
    if only.is_empty() {
        for connection in &configuration.connections {
            let made = || Location::connection_id(&connection.business, &connection.provider);
            let id = connection.connection.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(made);
            requests.extend(request("connection", "business-connections", &id, connection, false));
        }
    }
    requests
}

fn request(what: &str, list: &str, id: &str, body: &impl Serialize, first: bool) -> Option<Request> {
    // Maps of texts can always be written.
    let body = Arc::new(serde_json::to_vec(body).ok()?);
    Some(Request { name: format!("{what} {id}"), path: [list.to_owned(), id.to_owned()], body, first })
}

/// Sends requests, several at once, those first that others stand on. What is wrong with one doesn't keep the others;
/// a stack that can't answer does.
pub(super) async fn send(api: &Arc<Api>, requests: &[Request], dry_run: bool, bar: &ProgressBar) -> Answers {
    let mut answers: Answers = requests.iter().map(|_| None).collect();
    for first in [true, false] {
        let wave = requests.iter().enumerate().filter(|(_, request)| request.first == first);
        let mut under_way = JoinSet::new();
        let mut goes_on = true;
        for (index, request) in wave {
            if under_way.len() >= AT_ONCE {
                goes_on &= collect(&mut under_way, &mut answers, bar).await;
            }
            if !goes_on {
                break;
            }
            let (api, request) = (Arc::clone(api), request.clone());
            under_way.spawn(async move { (index, request.send(&api, dry_run).await) });
        }
        while !under_way.is_empty() {
            goes_on &= collect(&mut under_way, &mut answers, bar).await;
        }
        if !goes_on {
            break;
        }
    }
    answers
}

type Done = (usize, Result<Vec<Change>, ApiError>);

/// Waits for one answer. False, if it means that there is no use in asking more.
async fn collect(under_way: &mut JoinSet<Done>, answers: &mut Answers, bar: &ProgressBar) -> bool {
    bar.inc(1);
    let Some(Ok((index, answer))) = under_way.join_next().await else { return false };
    let goes_on = match &answer {
        Ok(_) => true,
        Err(error) => is_of_one(error),
    };
    if let Some(place) = answers.get_mut(index) {
        *place = Some(answer);
    }
    goes_on
}

/// Whether an error is about what was sent, and not about the stack.
pub(super) fn is_of_one(error: &ApiError) -> bool {
    matches!(error, ApiError::Problem { status, .. } if !status.is_server_error())
}

impl Request {
    async fn send(&self, api: &Api, dry_run: bool) -> Result<Vec<Change>, ApiError> {
        let [list, id] = &self.path;
        let query: &[_] = if dry_run { &[("dry_run", "true")] } else { &[] };
        let answer: Answer = api.put(&["config", list, id], query, self.body.to_vec()).await?;
        Ok(answer.changes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration() -> Configuration {
        serde_json::from_value(json!({
            "businesses": {"cafe": {}, "bakery": {"name": "The Bakery"}},
            "providers": {"square": {"environment": "sandbox"}},
            "locations": [{"id": "a", "business": "cafe"}, {"id": "b", "business": "bakery"}],
            "connections": [{"business": "cafe", "provider": "stripe"}],
        }))
        .unwrap()
    }

    fn names(only: &[&str]) -> Vec<String> {
        let only: Vec<_> = only.iter().map(|&id| id.to_owned()).collect();
        requests(&configuration(), &only).into_iter().map(|request| request.name).collect()
    }

    #[test]
    fn everything_is_sent_and_what_others_stand_on_first() {
        assert_eq!(
            names(&[]),
            [
                "business bakery",
                "business cafe",
                "defaults of square",
                "location a",
                "location b",
                "connection cafe-stripe"
            ]
        );
        let first: Vec<_> = requests(&configuration(), &[]).iter().map(|request| request.first).collect();
        assert_eq!(first, [true, true, true, false, false, false]);
    }

    #[test]
    fn for_some_locations_only_they_and_their_businesses_are_sent() {
        assert_eq!(names(&["b"]), ["business bakery", "location b"]);
    }
}
