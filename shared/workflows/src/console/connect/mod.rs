//! What people come to who have no token: the link by which somebody signs in anew, and the way back from the provider's
//! page. They are answered in pages (`pages.rs`), and told nothing that they don't know.

mod pages;

use tillwatch_providers::oauth::Callback;

use super::{ApiAnswer, ApiRequest, Console, Problem};
use crate::reconnect::{Ending, ReconnectError};

/// The longest `Cookie` header that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// Whether a path is one of these.
pub(super) fn is_route(segments: &[&str]) -> bool {
    matches!(segments, ["connect", _] | ["connect", "callback", _])
}

impl Console {
    pub(super) async fn connect_route(&self, request: &ApiRequest, segments: &[&str]) -> ApiAnswer {
        let answer = match segments {
            [_, token] => self.open_link(token).await,
            [_, _, provider] => self.take_back(provider, request).await,
            _ => Ok(pages::of(&Ending::Ended, None)),
        };
        answer.unwrap_or_else(|problem| {
            tracing::error!(problem = problem.kind, "somebody could not sign in");
            pages::of(&Ending::Ours, None)
        })
    }

    /// Sends whoever opens a link to the provider's page.
    async fn open_link(&self, token: &str) -> Result<ApiAnswer, Problem> {
        let now = self.clock.now();
        let Some(found) = self.reconnect.opened(token).await? else {
            return Ok(pages::of(&Ending::Ended, None));
        };
        if !self.operators.stands(&found.link.by, now).await? {
            return Ok(pages::of(&Ending::Ended, None));
        }
        let provider = found.connection.provider.clone();
        Ok(match self.reconnect.begin(found).await? {
            Ok(begun) => pages::onward(&begun),
            Err(ending) => pages::of(&ending, Some(&provider)),
        })
    }

    /// Takes whoever comes back from there.
    async fn take_back(&self, provider: &str, request: &ApiRequest) -> Result<ApiAnswer, Problem> {
        let now = self.clock.now();
        let Some(callback) = Callback::read(&request.query) else {
            return Ok(pages::of(&Ending::Unproved, None));
        };
        let Some(returned) = self.reconnect.returned(provider, &callback).await? else {
            return Ok(pages::of(&Ending::Ended, None));
        };
        if !self.operators.stands(&returned.found.link.by, now).await? {
            return Ok(pages::of(&Ending::Ended, None));
        }
        let name = returned.cookie();
        let browser = cookie(request.cookies.as_deref(), &name).unwrap_or_default();
        match returned.is_of(&browser, now.as_millisecond()) {
            None => return Ok(pages::of(&Ending::Ended, None)),
            Some(false) => return Ok(pages::of(&Ending::OtherBrowser, None)),
            Some(true) => {}
        }
        let ending = self.reconnect.clone().finish(returned, callback).await;
        Ok(pages::forgetting(pages::of(&ending, Some(provider)), &name))
    }
}

/// The cookie of that name; none, if there is none or more than one.
fn cookie(header: Option<&str>, name: &str) -> Option<String> {
    let pairs = header.filter(|header| header.len() <= LONGEST)?.split(';');
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(known, _)| *known == name);
    let (_, value) = found.next()?;
    found.next().is_none().then(|| value.to_owned())
}

impl From<ReconnectError> for Problem {
    fn from(error: ReconnectError) -> Self {
        match error {
            ReconnectError::Refused(detail) => Self::new(422, "refused", "There is no link for that", detail),
            ReconnectError::Tokens(error) => error.into(),
            ReconnectError::Unconfigured(error) => error.into(),
            error => Self::ours(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_name_and_must_be_there_once() {
        let of = |header: &str| cookie(Some(header), "__Host-a");
        assert_eq!(of("x=1; __Host-a=v=w; y=2").as_deref(), Some("v=w"));
        assert_eq!((of("x=1"), of("__Host-a=1; __Host-a=1"), of("a=1"), of("")), (None, None, None, None));
        assert_eq!(cookie(None, "__Host-a"), None);
    }
}
