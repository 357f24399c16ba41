//! What people and configurations know of a provider: its name, how it signs in, and what must and may be said of a
//! connection to it. Those that send webhooks are here ([`crate::ALL`]), and those that are only signed in to.

use std::fmt;

use serde::Serialize;

use crate::{Provider, smtp};

/// A provider's entry in the catalogue.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct About {
    /// The name that people read: `PayPal Zettle`.
    pub label: &'static str,
    /// Where its API is reached, if that is the same for everyone.
    pub base_url: Option<&'static str>,
    /// How our calls to it are authenticated.
    pub authentication: Authentication,
    /// Settings whose values are ids by which a webhook finds its connection: merchant, shop, account, restaurant.
    pub accounts: &'static [&'static str],
    /// Settings whose values are ids of a place inside an account, for accounts that several locations share.
    pub places: &'static [&'static str],
    /// What may be said of a connection, beside what may be said of each to a provider that sends webhooks.
    pub settings: &'static [Setting],
}

/// How calls to a provider are authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// An access token that OAuth gives out and renews.
    Oauth,
    /// A key that is valid until it is taken away.
    Key,
    /// A name and a password.
    Basic,
}

/// One thing that may be said of a connection.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Setting {
    /// Its name in a configuration.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// What its value looks like.
    pub kind: SettingKind,
    /// Whether a connection can't do without it.
    pub required: bool,
    /// The value that it has where nothing is said.
    pub default: Option<&'static str>,
}

/// What a setting's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Any text.
    Text,
    /// Text that is sealed in the vault and never shown again.
    Secret,
    /// The secret that the connection's webhooks are signed with; sealed too, and what webhook functions may open.
    SigningKey,
    /// The secret in the connection's webhook URL, or its channel's token; as above.
    UrlKey,
    /// An `https` URL.
    Url,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A time in RFC 3339: `2027-02-28T00:00:00Z`.
    Time,
}

impl Setting {
    /// A setting that a connection can't do without.
    pub const fn required(name: &'static str, kind: SettingKind, about: &'static str) -> Self {
        Self { name, about, kind, required: true, default: None }
    }

    /// A setting that may be left out.
    pub const fn optional(name: &'static str, kind: SettingKind, about: &'static str) -> Self {
        Self { name, about, kind, required: false, default: None }
    }

    /// A setting that may be left out, with what it is then.
    #[must_use]
    pub const fn with_default(self, value: &'static str) -> Self {
        Self { default: Some(value), ..self }
    }
}

/// When a token, key or password ends that is renewed by hand.
pub const TOKEN_EXPIRES_AT: &str = "token_expires_at";

/// What may be said of a connection to any provider.
const EVERYONES: &[Setting] = &[Setting::optional(
    TOKEN_EXPIRES_AT,
    SettingKind::Time,
    "when its token, key or password ends, where nobody renews it and the provider does not tell",
)];

/// What may be said of a connection to any provider that sends webhooks.
const COMMON: &[Setting] = &[
    Setting::optional("signing_key", SettingKind::SigningKey, "signs this connection's webhooks alone"),
    Setting::optional("url_key", SettingKind::UrlKey, "the secret in this connection's webhook URL"),
    Setting::optional("base_url", SettingKind::Url, "where its API is reached, if not where everyone's is"),
    Setting::optional("events", SettingKind::Text, "the events to subscribe to, with commas between them"),
    Setting::optional(
        "auto_repair_subscriptions",
        SettingKind::Flag,
        "mend a subscription that was disabled or deleted",
    )
    .with_default("true"),
    Setting::optional("sync_menu", SettingKind::Flag, "keep the menu in step").with_default("false"),
    Setting::optional("auto_process_orders", SettingKind::Flag, "push orders without asking")
        .with_default("false"),
    Setting::optional(
        "fallback_to_whatsapp",
        SettingKind::Flag,
        "send an order by WhatsApp when it can't be pushed",
    )
    .with_default("false"),
];

/// A provider as it is configured and checked, whether or not it sends webhooks.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    about: &'static About,
    sender: Option<&'static dyn Provider>,
}

/// Every provider that can be configured: those that send webhooks, in their order, and then the others.
pub fn all() -> impl Iterator<Item = Entry> {
    let sending = |provider: &&'static dyn Provider| Entry {
        name: provider.name(),
        about: provider.about(),
        sender: Some(*provider),
    };
    let mail = Entry { name: smtp::NAME, about: &smtp::ABOUT, sender: None };
    crate::ALL.iter().map(sending).chain([mail])
}

/// The provider of that name.
pub fn of(name: &str) -> Option<Entry> {
    all().find(|entry| entry.name == name)
}

impl Entry {
    /// The name in paths, settings and figures: lower-case letters and underscores.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What people know of it.
    pub fn about(&self) -> &'static About {
        self.about
    }

    /// The same as who sends webhooks; none, if it sends none.
    pub fn sender(&self) -> Option<&'static dyn Provider> {
        self.sender
    }

    /// What may be said of a connection to it.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        let common = if self.sender.is_some() { COMMON } else { &[] };
        self.about.settings.iter().chain(common).chain(EVERYONES)
    }

    /// The setting of that name.
    pub fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings().find(|setting| setting.name == name)
    }

    /// Whether its accounts are replaced by others now and then; see [`Provider::renews_accounts`].
    pub fn renews_accounts(&self) -> bool {
        self.sender.is_some_and(Provider::renews_accounts)
    }

    /// Whether webhooks find a connection of which no account is said: by its URL, or as our own account's.
    pub fn finds_unnamed(&self) -> bool {
        self.sender.is_some() && !self.renews_accounts()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_found_by_its_name_and_no_two_have_one() {
        let names: Vec<_> = all().map(|entry| entry.name()).collect();
        for name in &names {
            assert_eq!(of(name).map(|entry| entry.name()), Some(*name));
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        assert!(of("carrier_pigeon").is_none());
    }

    #[test]
    fn nothing_of_webhooks_is_said_of_who_sends_none() {
        let (square, smtp) = (of("square").unwrap(), of("smtp").unwrap());
        assert!(square.sender().is_some() && square.setting("signing_key").is_some());
        assert!(smtp.sender().is_none() && smtp.setting("signing_key").is_none());
        assert!([square, smtp].iter().all(|entry| entry.setting(TOKEN_EXPIRES_AT).is_some()));
        assert!(smtp.setting("password").is_some_and(|setting| setting.kind == SettingKind::Secret));
        assert!(square.finds_unnamed() && !smtp.finds_unnamed());
    }
}
