//! What comes back from the provider's page: proved, exchanged once, and kept.

use std::sync::Arc;

use secrecy::ExposeSecret;
use tillwatch_domain::Connection;
use tillwatch_providers::checks::Subject;
use tillwatch_providers::oauth::{self, Callback, Given, Unproved};

use super::attempt::Returned;
use super::{Ending, Reconnect, ReconnectError};
use crate::tokens::SignedIn;

impl Reconnect {
    /// Takes what came back, from the browser that it was begun in. By itself: a browser that does not wait for the answer must
    /// not take new tokens with it when it goes.
    pub async fn finish(self: Arc<Self>, returned: Returned, callback: Callback) -> Ending {
        let id = returned.found.connection.id.clone();
        let finishing = tokio::spawn(async move { self.finished(&returned, &callback).await });
        match finishing.await {
            Ok(Ok(ending)) => ending,
            Ok(Err(error)) => {
                tracing::error!(connection = id, %error, "somebody who signed in was told to do it again");
                Ending::Ours
            }
            // What and where, the panic hook has said.
            Err(_) => Ending::Ours,
        }
    }

    async fn finished(&self, returned: &Returned, callback: &Callback) -> Result<Ending, ReconnectError> {
        let (connection, link) = (&returned.found.connection, &returned.found.link);
        let Connection { id, provider, business, .. } = connection;
        let Some(module) = oauth::of(provider) else { return Ok(Ending::Ended) };
        if link.used_ms.is_some() {
            return Ok(Ending::Used);
        }
        // What a provider signs, it signs of a refusal too.
        if let Err(unproved) = self.proved(connection, module, callback).await? {
            tracing::warn!(connection = id, provider, error = %unproved, "what came back from a sign-in was not believed");
            return Ok(match unproved {
                Unproved::OtherAccount => Ending::OtherAccount,
                Unproved::WrongSignature | Unproved::Stale => Ending::Unproved,
            });
        }
        let Some(attempt) = self.take(id, link, returned.state()).await? else { return Ok(Ending::Ended) };
        if let Some(word) = callback.get("error") {
            let code = Some(word).filter(|word| is_word(word)).map(str::to_owned);
            tracing::info!(connection = id, provider, code, "somebody did not sign in");
            let is_denied = word == "access_denied";
            return Ok(if is_denied { Ending::Denied } else { Ending::Failed(code) });
        }
        let Some(code) = callback.get("code") else { return Ok(Ending::Failed(None)) };
        let redirect_uri = link.redirect_uri();
        let verifier = attempt.verifier.as_ref().map(ExposeSecret::expose_secret);
        let given = Given { code, redirect_uri: &redirect_uri, verifier };
        let signed_in = self.refresher.sign_in(connection, module, &given).await?;
        let (by, mark) = (link.by.name(), &link.by.mark);
        let ending = match signed_in {
            SignedIn::Done { fingerprint: token } => {
                tracing::info!(
                    connection = id,
                    provider,
                    business,
                    by,
                    mark,
                    token,
                    "somebody signed in anew"
                );
                self.follow_up(connection, returned).await;
                return Ok(Ending::Done);
            }
            SignedIn::Others => Ending::OtherAccount,
            SignedIn::Barred => Ending::Barred,
            SignedIn::Busy => Ending::Busy,
            SignedIn::Failed { ref code, .. } => Ending::Failed(code.clone()),
            SignedIn::Untold | SignedIn::Overtaken => Ending::Failed(None),
            SignedIn::Unset(ref error) => {
                tracing::error!(connection = id, provider, error, "nobody can sign in any more");
                Ending::Ours
            }
        };
        tracing::warn!(connection = id, provider, business, by, mark, came = ?signed_in, "nothing came of a sign-in");
        Ok(ending)
    }

    /// What comes after new tokens, which are kept whatever becomes of this.
    async fn follow_up(&self, connection: &Connection, returned: &Returned) {
        let Connection { id, provider, .. } = connection;
        if let Err(error) = self.used(id, &returned.found.link).await {
            tracing::error!(connection = id, %error, "a link that was used could not be ended, and holds until its end");
        }
        if let Err(error) = self.roster.agenda.send(provider, std::slice::from_ref(id)).await {
            tracing::error!(connection = id, %error, "a connection with new tokens could not be checked at once");
        }
    }

    async fn proved(
        &self,
        connection: &Connection,
        module: &dyn oauth::SignIn,
        callback: &Callback,
    ) -> Result<Result<(), Unproved>, ReconnectError> {
        let now = self.refresher.clock.now();
        let shared = self.refresher.credentials.shared(&connection.provider, now).await?;
        let own = self.refresher.credentials.own(connection, now).await?;
        Ok(module.proved(&Subject { own: &own, shared: &shared }, callback, now))
    }
}

/// Whether a provider's word may be shown and logged: no sentence, which might quote anything.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
