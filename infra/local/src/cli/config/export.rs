//! What a stack's configuration is, as a file that says the same. Secrets never leave a stack: where one is sealed the file
//! names an environment variable.

#![expect(
    clippy::disallowed_types,
    reason = "what serde derives for flattened structures names floats; none is held here"
)]

use std::collections::BTreeMap;

use serde::Deserialize;
use tillwatch_domain::location::{
    Business, BusinessConnection, Configuration, ConnectionSettings, Location, Scalar,
};

use super::super::client::{Api, ApiError};

/// A part of what a stack has.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    businesses: BTreeMap<String, Business>,
    #[serde(default)]
    providers: BTreeMap<String, BTreeMap<String, Scalar>>,
    #[serde(default)]
    locations: Vec<SealedLocation>,
    #[serde(default)]
    connections: Vec<SealedConnection>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct SealedLocation {
    /// The names of sealed settings, by provider.
    #[serde(default)]
    sealed: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    location: Location,
}

#[derive(Deserialize)]
struct SealedConnection {
    #[serde(default)]
    sealed: Sealed,
    #[serde(flatten)]
    connection: BusinessConnection,
}

/// The names of sealed settings: those of the connection, or by its provider as locations have them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sealed {
    Names(Vec<String>),
    ByProvider(BTreeMap<String, Vec<String>>),
}

impl Default for Sealed {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

/// A configuration with placeholders for what is sealed, and the variables that they name.
#[derive(Default)]
pub(super) struct Exported {
    pub(super) configuration: Configuration,
    pub(super) variables: Vec<String>,
}

/// Asks a stack for all of its configuration.
pub(super) async fn export(api: &Api) -> Result<Exported, ApiError> {
    let mut exported = Exported::default();
    let mut cursor: Option<String> = None;
    loop {
        let query: Vec<_> = cursor.iter().map(|cursor| ("cursor", cursor.as_str())).collect();
        let page: Page = api.get(&["config"], &query).await?;
        let next = page.next.clone().filter(|next| !next.is_empty());
        exported.add(page);
        match next {
            // One that leads back to itself would never end.
            Some(next) if Some(&next) != cursor.as_ref() => cursor = Some(next),
            _ => return Ok(exported),
        }
    }
}

impl Exported {
    fn add(&mut self, page: Page) {
        self.configuration.businesses.extend(page.businesses);
        self.configuration.providers.extend(page.providers);
        for SealedLocation { sealed, mut location } in page.locations {
            for (provider, names) in sealed {
                let connection = location.providers.entry(provider.clone()).or_default();
                self.fill(connection, &provider, &names, &location.id);
            }
            self.configuration.locations.push(location);
        }
        for SealedConnection { sealed, mut connection } in page.connections {
            let provider = connection.provider.clone();
            let names = match sealed {
                Sealed::Names(names) => names,
                Sealed::ByProvider(mut by_provider) => by_provider.remove(&provider).unwrap_or_default(),
            };
            self.fill(&mut connection.connection, &provider, &names, &connection.business);
            self.configuration.connections.push(connection);
        }
    }

    fn fill(&mut self, connection: &mut ConnectionSettings, provider: &str, names: &[String], owner: &str) {
        for name in names {
            let value = self.placeholder(&[provider, name, owner]);
            connection.settings.insert(name.clone(), value);
        }
    }

    fn placeholder(&mut self, parts: &[&str]) -> Scalar {
        let name = parts.join("_");
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = name.chars().map(plain).collect();
        let placeholder = format!("{{{{ env \"{name}\" }}}}");
        self.variables.push(name);
        Scalar(placeholder)
    }

    /// The file.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        let mut text =
            String::from("# A stack's configuration. `tillwatch config apply` brings it into force.\n");
        if !self.variables.is_empty() {
            text.push_str("#\n# Secrets are not given out. These environment variables must hold them:\n");
        }
        for name in &self.variables {
            text.push_str(&format!("#   {name}\n"));
        }
        Ok(text + &super::write::yaml(&self.configuration)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::load::load;
    use super::*;

    #[test]
    fn what_is_exported_is_a_right_file_that_says_the_same() {
        let page = json!({
            "businesses": {"cafe": {"name": "The Café"}},
            "providers": {"square": {"environment": "sandbox"}},
            "locations": [{
                "id": "harbour", "business": "cafe", "phone": "+30 22890 12345", "revision": 7,
                "opening_hours": {"mode": "weekly", "monday": [{"open": "09:00", "close": "24:00"}], "sunday": []},
                "providers": {"square": {"id": "one", "state": "paused", "merchant_id": "007"}},
                "sealed": {"square": ["access_token"], "shopify": ["access_token"]},
            }],
            "connections": [
                {"business": "cafe", "provider": "stripe", "sealed": ["api_key"]},
                {"business": "cafe", "provider": "twilio", "account_sid": "AC1", "sealed": {"twilio": ["api_secret"]}},
            ],
            "next": null,
        });
        let mut exported = Exported::default();
        exported.add(serde_json::from_value(page).unwrap());
        assert_eq!(
            exported.variables,
            [
                "SHOPIFY_ACCESS_TOKEN_HARBOUR",
                "SQUARE_ACCESS_TOKEN_HARBOUR",
                "STRIPE_API_KEY_CAFE",
                "TWILIO_API_SECRET_CAFE"
            ]
        );
        let text = exported.text().unwrap();
        let loaded = load(text.as_bytes(), None);
        // The connection to Shopify is known only by what is sealed of it.
        let said: Vec<_> = loaded.findings.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            said,
            ["\"shop\" of shopify is missing. It is the shop's domain: `example.myshopify.com`"]
        );
        assert_eq!(loaded.configuration, exported.configuration);
        assert!(text.contains("access_token: '{{ env \"SQUARE_ACCESS_TOKEN_HARBOUR\" }}'\n"), "{text}");
    }
}
