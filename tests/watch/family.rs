//! A provider that takes a whole family of tokens back when one of its refresh tokens is used twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tillwatch_tests::server::{Reply, Request, Server, one};
use tillwatch_tests::world::{World, settings};

/// One family of tokens: each refresh token may be used once.
#[derive(Default)]
pub(super) struct Family {
    pub(super) generation: u32,
    used: BTreeSet<String>,
    /// Whether it was taken back, because one was used twice.
    pub(super) revoked: bool,
    pub(super) refreshes: u32,
    /// Whether its access tokens have ended.
    pub(super) ended: bool,
    pub(super) lives: Option<u64>,
}

/// A Loyverse with one family, whose access tokens live for an hour.
pub(super) async fn loyverse() -> (Server, Arc<Mutex<Family>>) {
    let family = Arc::new(Mutex::new(Family { lives: Some(3_600), ..Family::default() }));
    let answering = Arc::clone(&family);
    let server = Server::start(move |request| match request.path.as_str() {
        "/oauth/token" => answering.lock().unwrap().answer(request),
        _ if answering.lock().unwrap().ended => Reply::json(401, json!({"errors": []})),
        _ => Reply::json(200, json!({"id": "m1"})),
    });
    (server.await, family)
}

/// Says that our application at Loyverse has this secret, and that its tokens are asked for there.
pub(super) fn application(world: &World, secret: &str, base: &str) {
    let mut all = serde_json::to_value(settings("loyverse")).unwrap();
    all["api"] = json!({"client_id": "application", "client_secret": secret,
        "token_url": format!("{base}/oauth/token")});
    world.secrets.put("loyverse", Some(all));
}

/// Says of the connection that these are its tokens.
pub(super) async fn configure(world: &World, id: &str, access: &str, refresh: &str, base: &str) {
    let said = json!({"id": id, "provider": "loyverse", "business": "harbour-group", "merchant_id": "m1",
        "access_token": access, "refresh_token": refresh, "base_url": base});
    world.do_with("PUT", &format!("/config/business-connections/{id}"), &said).await;
}

impl Family {
    pub(super) fn token(&self, kind: &str) -> String {
        format!("{kind}-{}", self.generation)
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let form = request.form().unwrap_or_default();
        let given = one(&form, "refresh_token").unwrap_or_default().to_owned();
        if one(&form, "client_secret") != Some("application-secret") {
            return Reply::json(401, json!({"error": "invalid_client"}));
        }
        if self.used.contains(&given) {
            self.revoked = true;
        }
        if self.revoked || given != self.token("refresh") {
            return Reply::json(400, json!({"error": "invalid_grant"}));
        }
        self.used.insert(given);
        self.generation += 1;
        self.refreshes += 1;
        let mut answer = json!({"access_token": self.token("access"), "refresh_token": self.token("refresh"),
            "token_type": "Bearer"});
        if let Some(lives) = self.lives {
            answer["expires_in"] = lives.into();
        }
        Reply::json(200, answer)
    }
}
