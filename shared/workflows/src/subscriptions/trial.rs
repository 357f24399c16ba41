//! Tests of subscriptions: the provider's own where it has one, else as near to it as can be seen from here.

use tillwatch_providers::call::{Call, Method};
use tillwatch_providers::subscriptions::{Condition, Found, Item, Trial, Wanted};

use super::document::TestView;
use super::mend::{Look, Trouble, words};

impl Look<'_> {
    /// Tries one.
    pub(super) async fn tested(
        &self,
        wanted: &Wanted<'_>,
        item: &Item,
        found: &Found,
        condition: Condition,
    ) -> TestView {
        let key = &item.key;
        if condition != Condition::Sound && condition != Condition::Expiring {
            return TestView { passed: false, detail: format!("{key} {}", words(condition)) };
        }
        match self.trial(wanted, item, found).await {
            Ok((passed, detail)) => TestView { passed, detail: format!("{key}: {detail}") },
            Err(trouble) => TestView { passed: false, detail: format!("{key}: {trouble}") },
        }
    }

    pub(super) async fn trial(
        &self,
        wanted: &Wanted<'_>,
        item: &Item,
        found: &Found,
    ) -> Result<(bool, String), Trouble> {
        let provider = self.target.provider.name();
        match self.target.subscriptions.trial(wanted, item, found)? {
            Trial::Asked(call) => {
                let response = self.keeper.ask(provider, &call).await?;
                let status = self.target.subscriptions.tried(&response)?;
                let detail = format!("the provider sent a test and was answered {status}");
                Ok(((200..300).contains(&status), detail))
            }
            Trial::Handshake(call, expected) => {
                let response = self.keeper.ask("ourselves", &call).await?;
                let passed = response.status == 200 && response.body == expected.as_bytes();
                let how = if passed { "as it must be" } else { "otherwise than it must be" };
                Ok((passed, format!("our URL answered the provider's question {how} ({})", response.status)))
            }
            Trial::Reach => {
                let url = format!("{}/openapi.json", self.public_url);
                let response =
                    self.keeper.ask("ourselves", &Call::new(Method::Get, url, "/openapi.json")).await?;
                let title =
                    response.json().and_then(|body| Some(body["info"]["title"].as_str()? == "Tillwatch"));
                let passed = response.status == 200 && title == Some(true);
                let what = if passed { "is this program" } else { "is not this program" };
                let detail = format!(
                    "the provider has no test; it is subscribed, and what answers at our address {what} ({})",
                    response.status
                );
                Ok((passed, detail))
            }
        }
    }
}
