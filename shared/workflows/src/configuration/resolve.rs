//! What is said of a connection, merged with its provider's defaults and sorted into what is shown and what is sealed.

use std::collections::{BTreeMap, BTreeSet};

use tillwatch_domain::Connection;
use tillwatch_domain::location::{ConnectionSettings, Location, Scalar};
use tillwatch_providers::catalogue::{Entry, SettingKind};

use super::keys::KeyKind;

/// A connection as it is to be, and its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The connection, without secrets.
    pub connection: Connection,
    /// What is sealed for our calls to the provider, by the setting's name.
    pub tokens: BTreeMap<String, String>,
    /// What its webhooks are proved with.
    pub keys: Vec<(KeySecret, String)>,
}

/// A kind of webhook secret, in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySecret(pub KeyKind);

/// What is said of `settings`' connection of `owner`, a location or a business of that id. Values that are left empty are
/// the provider's defaults, those of `defaults` first, those of its module else.
pub fn resolve(
    provider: Entry,
    owner: (&str, Option<&str>),
    settings: &ConnectionSettings,
    defaults: &BTreeMap<String, Scalar>,
) -> Resolved {
    let (business, location) = owner;
    let about = provider.about();
    let own_id = || Location::connection_id(location.unwrap_or(business), provider.name());
    let id = settings.id.clone().unwrap_or_else(own_id);
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in defaults.iter().chain(&settings.settings) {
        let value = value.0.trim();
        if !value.is_empty() {
            said.insert(name, value);
        }
    }
    let (mut shown, mut tokens, mut keys, mut sealed) =
        (BTreeMap::new(), BTreeMap::new(), Vec::new(), BTreeSet::new());
    for (name, value) in said {
        let kind = provider.setting(name).map_or(SettingKind::Text, |setting| setting.kind);
        let key = match kind {
            SettingKind::SigningKey => Some(KeyKind::Signing),
            SettingKind::UrlKey => Some(KeyKind::Url),
            _ => None,
        };
        match (kind, key) {
            (_, Some(key)) => {
                keys.push((KeySecret(key), value.to_owned()));
                sealed.insert(name.to_owned());
            }
            (SettingKind::Secret, None) => {
                tokens.insert(name.to_owned(), value.to_owned());
                sealed.insert(name.to_owned());
            }
            _ => {
                shown.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    let of = |names: &[&str]| names.iter().filter_map(|name| shown.get(*name).cloned()).collect::<Vec<_>>();
    let mut accounts = of(about.accounts);
    accounts.dedup();
    if accounts.is_empty() && provider.finds_unnamed() {
        // Found by its URL alone, or, where the account may be left out, our own.
        accounts.push(if about.accounts.is_empty() { id.clone() } else { String::new() });
    }
    let connection = Connection {
        provider: provider.name().to_owned(),
        business: business.to_owned(),
        location: location.map(str::to_owned),
        accounts,
        place: of(about.places).into_iter().next(),
        state: settings.state,
        configured: Some(settings.state),
        role: settings.role,
        settings: shown,
        sealed,
        automatic: false,
        id,
    };
    Resolved { connection, tokens, keys }
}

/// The settings of a connection with the defaults of its provider's module: what is in force.
pub fn in_force(provider: Entry, connection: &Connection) -> BTreeMap<String, String> {
    let defaults = provider
        .settings()
        .filter_map(|setting| Some((setting.name.to_owned(), setting.default?.to_owned())));
    let mut merged: BTreeMap<_, _> = defaults.collect();
    merged.extend(connection.settings.clone());
    merged
}

#[cfg(test)]
mod tests {
    use tillwatch_providers::catalogue;

    use super::*;

    fn settings(json: &str) -> ConnectionSettings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_said_is_merged_sorted_and_named_after_its_location() {
        let defaults = BTreeMap::from([
            ("environment".to_owned(), Scalar("sandbox".to_owned())),
            ("access_token".to_owned(), Scalar("shared".to_owned())),
        ]);
        let said = settings(r#"{"merchant_id":"M","location_id":" L ","access_token":"","signing_key":"k"}"#);
        let square = catalogue::of("square").unwrap();
        let Resolved { connection, tokens, keys } =
            resolve(square, ("group", Some("harbour")), &said, &defaults);
        assert_eq!(
            (connection.id.as_str(), connection.location.as_deref()),
            ("harbour-square", Some("harbour"))
        );
        assert_eq!((connection.accounts, connection.place.as_deref()), (vec!["M".to_owned()], Some("L")));
        assert_eq!(connection.settings["environment"], "sandbox");
        assert_eq!(tokens["access_token"], "shared");
        assert_eq!(keys, [(KeySecret(KeyKind::Signing), "k".to_owned())]);
        assert!(!connection.settings.values().any(|value| value == "shared" || value == "k"));
    }

    #[test]
    fn a_connection_without_an_account_is_found_by_its_url_or_is_our_own_or_by_no_webhook() {
        let of = |provider: &str, json: &str| {
            let provider = catalogue::of(provider).unwrap();
            resolve(provider, ("group", Some("harbour")), &settings(json), &BTreeMap::new())
                .connection
                .accounts
        };
        assert_eq!(of("odoo", "{}"), ["harbour-odoo"]);
        assert_eq!(of("stripe", "{}"), [""]);
        assert_eq!(of("google_calendar", "{}"), [""; 0]);
        assert_eq!(of("smtp", r#"{"host":"smtp.example.com","username":"us"}"#), [""; 0]);
    }
}
