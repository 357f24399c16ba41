//! A world with connections to several providers, each of which is a server on this machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tillwatch_tests::server::{Manner, Reply, Request, Server};
use tillwatch_tests::world::{FakeClock, World};

/// A provider's server: it answers well whoever has a token that is good.
pub(super) struct Provider {
    pub(super) server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The tokens that it refuses.
    refused: Vec<String>,
    /// The tokens at whose calls it breaks.
    broken: Vec<String>,
    /// How long it takes for an answer.
    takes: Duration,
    clock: FakeClock,
    /// Headers of every answer.
    headers: Vec<(String, String)>,
}

impl Provider {
    async fn start(name: &'static str, clock: &FakeClock) -> Self {
        let state = State {
            refused: Vec::new(),
            broken: Vec::new(),
            takes: Duration::from_millis(80),
            clock: clock.clone(),
            headers: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&state);
        let server = Server::start(move |request| {
            let state = answering.lock().unwrap();
            state.clock.pass(state.takes);
            let sent = token_of(request);
            let is_among = |tokens: &[String]| sent.as_ref().is_some_and(|sent| tokens.contains(sent));
            let mut reply = if is_among(&state.broken) {
                Reply::json(502, Value::Null)
            } else {
                answer(name, request, is_among(&state.refused))
            };
            reply.headers.extend(state.headers.clone());
            reply
        });
        Self { server: server.await, state }
    }

    pub(super) fn refuse(&self, token: &str) {
        self.state.lock().unwrap().refused.push(token.to_owned());
    }

    pub(super) fn break_for(&self, token: &str) {
        self.state.lock().unwrap().broken.push(token.to_owned());
    }

    pub(super) fn take(&self, span: Duration) {
        self.state.lock().unwrap().takes = span;
    }

    pub(super) fn tell(&self, headers: &[(&str, &str)]) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.state.lock().unwrap().headers = headers.iter().map(owned).collect();
    }

    pub(super) fn behave(&self, manner: Manner) {
        self.server.behave(manner);
    }
}

fn token_of(request: &Request) -> Option<String> {
    let authorization = request.header("authorization");
    let bearer = authorization.strip_prefix("Bearer ").map(str::to_owned);
    let shopify = Some(request.header("x-shopify-access-token").to_owned());
    bearer.or(shopify.filter(|token| !token.is_empty()))
}

/// What each answers to the call that its checks make, as its documentation has it.
fn answer(name: &str, request: &Request, is_refused: bool) -> Reply {
    match (name, is_refused) {
        ("square", false) if request.path == "/oauth2/token/status" => Reply::json(
            200,
            json!({"scopes": ["MERCHANT_PROFILE_READ"], "expires_at": "2026-12-20T00:00:00Z",
                "merchant_id": format!("M-{}", token_of(request).unwrap_or_default())}),
        ),
        ("square", true) => Reply::json(
            401,
            json!({"errors": [{"category": "AUTHENTICATION_ERROR", "code": "ACCESS_TOKEN_REVOKED"}]}),
        ),
        ("stripe", false) => Reply::json(200, json!({"object": "balance", "livemode": true})),
        ("stripe", true) => Reply::json(401, json!({"error": {"type": "invalid_request_error"}})),
        ("loyverse", false) => {
            let token = token_of(request).unwrap_or_default();
            let nth = token.rsplit('-').next().unwrap_or_default();
            Reply::json(200, json!({"id": format!("m{nth}"), "business_name": "Harbour"}))
        }
        ("loyverse", true) => Reply::json(401, json!({"errors": [{"code": "UNAUTHORIZED", "details": "…"}]})),
        _ => Reply::json(404, json!({"path": request.path})),
    }
}

/// The world, and its providers by name.
pub(super) struct Place {
    pub(super) world: World,
    pub(super) providers: BTreeMap<&'static str, Provider>,
}

impl Place {
    /// One with so many connections to each of these providers: `square-0`, `square-1`, …
    pub(super) async fn with(counts: &[(&'static str, usize)]) -> Self {
        Self::in_world(World::new().await, counts).await
    }

    pub(super) async fn in_world(mut world: World, counts: &[(&'static str, usize)]) -> Self {
        world.outbound.whole = Duration::from_millis(300);
        world.outbound.connect = Duration::from_millis(300);
        let mut providers = BTreeMap::new();
        for (name, _) in counts {
            providers.insert(*name, Provider::start(name, world.clock()).await);
        }
        // Somebody who always answers: the network is well.
        let reference = Server::start(|_| Reply::json(200, Value::Null)).await;
        world.references = vec![reference.base];
        world.restart().await;
        let place = Self { world, providers };
        for (name, count) in counts {
            for nth in 0..*count {
                place.configure(name, nth, &Self::token(name, nth)).await;
            }
        }
        place
    }

    pub(super) fn token(provider: &str, nth: usize) -> String {
        format!("{provider}-token-{nth}")
    }

    /// Says of a connection what there is to say.
    pub(super) async fn configure(&self, provider: &str, nth: usize, token: &str) {
        self.configure_at(provider, nth, token, &self.providers[provider].server.base).await;
    }

    /// The same, of one whose provider is reached there.
    pub(super) async fn configure_at(&self, provider: &str, nth: usize, token: &str, base: &str) {
        let said = match provider {
            "square" => {
                json!({"merchant_id": format!("M-{token}"), "access_token": token, "base_url": base})
            }
            "stripe" => {
                json!({"account": format!("acct_{nth}"), "api_key": token, "base_url": base})
            }
            _ => json!({"merchant_id": format!("m{nth}"), "access_token": token,
                "base_url": format!("{base}/v1.0")}),
        };
        let mut said = said;
        said["provider"] = provider.into();
        said["business"] = format!("business-{nth}").into();
        let id = format!("{provider}-{nth}");
        said["id"] = id.as_str().into();
        self.world.do_with("PUT", &format!("/config/business-connections/{id}"), &said).await;
    }

    /// How one does.
    pub(super) async fn doing(&self, id: &str) -> Value {
        self.world.get(&format!("/connections/{id}/health")).await
    }

    /// Its status.
    pub(super) async fn status(&self, id: &str) -> String {
        let (status, doing) = self.world.ask("GET", &format!("/connections/{id}/health")).await;
        if status == 200 { doing["status"].as_str().unwrap().to_owned() } else { "unseen".to_owned() }
    }

    /// Lets the first checks be made.
    pub(super) async fn begin(&self) {
        self.world.watch_for(Duration::from_secs(20)).await;
    }
}
