//! What subscriptions need of the webhooks' settings, handed out to the connections: signing keys, the URL that is signed,
//! the secret of a URL, and the channels that a connection is known by.

use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_domain::Connection;
use tillwatch_platform::connections::Kind;
use tillwatch_platform::entropy;
use tillwatch_providers::{Key, Settings};

use super::keys;
use super::mend::{Look, Trouble, sealed_for};
use super::target::Known;

impl Look<'_> {
    /// Makes the secret of the webhook URL, where there must be one and there is none. Whether it did.
    pub(super) async fn make_url_key(&self, known: &Known) -> Result<bool, Trouble> {
        let wanted = known.wanted(self.target, self.public_url, self.now);
        let Some(connection) = self.target.connection() else { return Ok(false) };
        if !self.target.subscriptions.needs_url_key(&wanted) || known.webhook.live_url_keys(self.now).is_ok()
        {
            return Ok(false);
        }
        let key = Key::new(hex::encode(entropy::bytes::<24>()));
        let put = |settings: &mut Settings| {
            settings.url_keys.insert(0, key.clone());
            true
        };
        self.keeper.change_webhook(connection, put).await?;
        Ok(true)
    }

    /// Sees to it that the keys that are kept prove what arrives, for whoever shares them and whatever stopped in between.
    pub(super) async fn hand_out(&self, known: &Known) -> Result<(), Trouble> {
        if !self.mends {
            return Ok(());
        }
        if let (Some(connection), true) = (self.target.connection(), self.target.provider.renews_accounts())
            && let Some(kept) = self.document.items.first()
        {
            let stored =
                self.keeper.configuration.connections.document(Kind::Connection, &connection.id).await?;
            let now: Option<Connection> = stored.map(|stored| stored.document);
            if now.is_some_and(|now| !now.accounts.contains(&kept.id)) {
                self.keeper.renew_accounts(connection, std::slice::from_ref(&kept.id)).await?;
            }
        }
        for kept in &self.document.items {
            if let Some(sealed) = &kept.sealed {
                let of = sealed_for(&self.target.id);
                let secret =
                    self.keeper.configuration.webhook_vault.open_sealed(&of, sealed, self.now).await?;
                self.hand_out_one(known, &secret, None).await?;
            }
        }
        if self.target.subscriptions.signs_url()
            && self.document.items.iter().all(|kept| kept.sealed.is_none())
        {
            self.hand_out_url(known).await?;
        }
        Ok(())
    }

    pub(super) async fn hand_out_one(
        &self,
        known: &Known,
        secret: &SecretString,
        replaced: Option<&str>,
    ) -> Result<(), Trouble> {
        let url = self.url_to_verify(known);
        let change = |settings: &mut Settings| {
            let put = keys::put_signing_key(settings, secret.expose_secret(), replaced, self.now);
            put | put_url(settings, url.as_deref())
        };
        self.change_settings(change).await
    }

    pub(super) async fn hand_out_url(&self, known: &Known) -> Result<(), Trouble> {
        let url = self.url_to_verify(known);
        self.change_settings(|settings| put_url(settings, url.as_deref())).await
    }

    /// Changes what webhooks are verified with: the connection's own settings, or, where all share a subscription, the
    /// provider's secret, for it must prove the webhooks of accounts that nobody has configured yet as well.
    async fn change_settings(&self, change: impl Fn(&mut Settings) -> bool) -> Result<(), Trouble> {
        if let Some(connection) = self.target.connection() {
            return self.keeper.change_webhook(connection, change).await;
        }
        self.keeper.configuration.change_provider(self.target.provider.name(), change).await?;
        Ok(())
    }

    /// The URL that the provider signs, where the provider's secret does not say.
    pub(super) fn url_to_verify(&self, known: &Known) -> Option<String> {
        if !self.target.subscriptions.signs_url() || known.provider_webhook.url().is_ok() {
            return None;
        }
        self.document.items.first().map(|kept| kept.url.clone())
    }
}

fn put_url(settings: &mut Settings, url: Option<&str>) -> bool {
    let Some(url) = url.filter(|url| settings.notification_url.as_deref() != Some(url)) else { return false };
    settings.notification_url = Some(url.to_owned());
    true
}
