//! A server that stands for a provider at which people sign in, and browsers in which they do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tillwatch_providers::oauth::challenge;

use crate::described::assert_described;
use crate::sender::{content_type, text};
use crate::server::{Reply, Request, Server, one, pairs};
use crate::world::World;

/// What a code is good for, once.
struct Code {
    account: String,
    challenge: Option<String>,
    redirect_uri: String,
}

/// The provider, as it is at the moment.
#[derive(Default)]
pub struct Provider {
    name: &'static str,
    codes: BTreeMap<String, Code>,
    /// The access and the refresh token that it gave last; none other is good.
    pub current: Option<(String, String)>,
    issued: u32,
    /// How often a code was exchanged.
    pub exchanges: u32,
    /// The access tokens that calls came with.
    pub seen: Vec<String>,
    /// Whether it answers nothing but exchanges and refreshes.
    pub is_deaf: bool,
    /// What comes before the names of new codes and tokens.
    pub prefix: String,
    /// What the last exchange came with.
    pub verifier: Option<String>,
}

/// The secret of the application.
pub const APPLICATION_SECRET: &str = "application-secret";

fn parameters(request: &Request) -> Vec<(String, String)> {
    let json = || {
        let body = request.json()?;
        let pairs = body.as_object()?.iter();
        Some(pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
    };
    request.form().or_else(json).unwrap_or_default()
}

impl Provider {
    fn refused(&self) -> Reply {
        if self.name == "meta" {
            return Reply::json(400, json!({"error": {"code": 190, "type": "OAuthException"}}));
        }
        Reply::json(400, json!({"error": "invalid_grant"}))
    }

    fn issue(&mut self, account: &str) -> Reply {
        self.issued += 1;
        let token = |kind: &str| format!("{}{account}-{kind}-{}", self.prefix, self.issued);
        let (access, refresh) = (token("access"), token("refresh"));
        let mut answer = json!({"access_token": access, "token_type": "bearer"});
        match self.name {
            "square" => {
                answer["expires_at"] = "2026-12-23T23:00:00Z".into();
                answer["merchant_id"] = account.into();
            }
            "meta" => answer["expires_in"] = 5_183_944.into(),
            _ => answer["expires_in"] = 3_600.into(),
        }
        if self.name != "meta" {
            answer["refresh_token"] = refresh.as_str().into();
        }
        self.current = Some((access, refresh));
        Reply::json(200, answer)
    }

    fn token(&mut self, request: &Request) -> Reply {
        let given = parameters(request);
        let get = |name: &str| one(&given, name);
        if get("client_secret") != Some(APPLICATION_SECRET) || get("client_id") != Some("application") {
            return Reply::json(401, json!({"error": "invalid_client"}));
        }
        if let Some(token) = get("refresh_token").or(get("fb_exchange_token")) {
            let is_good =
                self.current.as_ref().is_some_and(|(access, refresh)| token == refresh || token == access);
            let account = account_of(token.strip_prefix(self.prefix.as_str()).unwrap_or(token));
            return if is_good { self.issue(&account) } else { self.refused() };
        }
        let code = get("code").and_then(|code| self.codes.remove(code));
        let is_good = |code: &Code| {
            let fits = match (&code.challenge, get("code_verifier")) {
                (Some(wanted), Some(verifier)) => challenge(verifier) == *wanted,
                (wanted, verifier) => wanted.is_none() && verifier.is_none(),
            };
            fits && (self.name == "shopify" || get("redirect_uri") == Some(code.redirect_uri.as_str()))
        };
        let Some(code) = code.filter(is_good) else { return self.refused() };
        self.exchanges += 1;
        self.verifier = get("code_verifier").map(str::to_owned);
        self.issue(&code.account)
    }

    fn answer(&mut self, request: &Request) -> Reply {
        if request.path == "/token" {
            return self.token(request);
        }
        let bearer = request.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let shop = request.header("x-shopify-access-token");
        let token = if bearer.is_empty() { shop } else { bearer }.to_owned();
        self.seen.push(token.clone());
        if self.is_deaf {
            return Reply::json(503, json!({}));
        }
        let is_app = token.contains('|');
        let is_good = is_app || self.current.as_ref().is_some_and(|(access, _)| *access == token);
        if !is_good {
            return Reply::json(401, json!({"errors": [{"code": "UNAUTHORIZED"}], "error": {"code": 190}}));
        }
        let account = account_of(token.strip_prefix(self.prefix.as_str()).unwrap_or(&token));
        let is_there = request.path.ends_with(&account);
        match self.name {
            "square" => Reply::json(200, json!({"merchant_id": account, "scopes": []})),
            "shopify" => Reply::json(200, json!({"data": {"shop": {"myshopifyDomain": account}}})),
            "zettle" => Reply::json(200, json!({"uuid": "u", "organizationUuid": account})),
            "loyverse" => Reply::json(200, json!({"id": account})),
            "meta" if is_app => Reply::json(200, json!({"data": {"is_valid": true}})),
            "meta" if is_there => Reply::json(200, json!({"id": account})),
            "meta" => Reply::json(400, json!({"error": {"code": 100, "error_subcode": 33}})),
            _ if is_there => Reply::json(200, json!({"kind": "calendar#calendarListEntry", "id": account})),
            _ if request.path.ends_with("/calendarList") => {
                Reply::json(200, json!({"kind": "calendar#calendarList", "items": []}))
            }
            _ => Reply::json(404, json!({"error": {"errors": [{"reason": "notFound"}]}})),
        }
    }
}

/// The account that a token is of.
fn account_of(token: &str) -> String {
    let end = token.find("-access").or_else(|| token.find("-refresh")).unwrap_or(token.len());
    token[..end].to_owned()
}

/// A world with a connection to a provider at which people sign in.
pub struct Signing {
    /// The world.
    pub world: World,
    /// The provider's server.
    pub server: Server,
    /// What it knows.
    pub provider: Arc<Mutex<Provider>>,
    /// The provider's name.
    pub name: &'static str,
    /// The connection's id.
    pub id: String,
}

/// The providers at which people sign in, and the accounts of the connections here.
pub const ACCOUNTS: [(&str, &str); 6] = [
    ("square", "M1"),
    ("shopify", "harbour.myshopify.com"),
    ("zettle", "3f7a-org"),
    ("loyverse", "m1"),
    ("meta", "106540352242922"),
    ("google_calendar", "harbour"),
];

impl Signing {
    /// One whose tokens are good.
    pub async fn at(name: &'static str) -> Self {
        let provider = Arc::new(Mutex::new(Provider { name, ..Provider::default() }));
        let answering = Arc::clone(&provider);
        let server = Server::start(move |request| answering.lock().unwrap().answer(request)).await;
        let mut world = World::new().await;
        world.outbound.whole = Duration::from_millis(400);
        world.restart().await;
        let mut all = serde_json::to_value(crate::world::settings(name)).unwrap();
        all["api"] = json!({"client_id": "application", "client_secret": APPLICATION_SECRET,
            "app_id": "application", "app_secret": APPLICATION_SECRET,
            "token_url": format!("{}/token", server.base), "base_url": server.base});
        world.secrets.put(name, Some(all));
        let id = format!("harbour-{}", name.replace('_', "-"));
        let signing = Self { world, server, provider, name, id };
        let account = signing.account();
        signing.provider.lock().unwrap().current =
            Some((format!("{account}-access-0"), format!("{account}-refresh-0")));
        signing.configure().await;
        signing
    }

    /// One whose tokens were taken back, of which is known that somebody must sign in anew.
    pub async fn refused_at(name: &'static str) -> Self {
        let signing = Self::at(name).await;
        signing.provider.lock().unwrap().current = None;
        signing.minutes(40).await;
        assert_eq!(signing.token().await["state"], "refused", "{name}");
        signing
    }

    /// The connection's account.
    pub fn account(&self) -> &'static str {
        ACCOUNTS.iter().find(|(name, _)| *name == self.name).expect("it is there").1
    }

    /// Says of the connection what was said of it at the very first.
    pub async fn configure(&self) {
        let account = self.account();
        let mut said = json!({"id": self.id, "provider": self.name, "business": "harbour-group",
            "access_token": format!("{account}-access-0"), "base_url": self.server.base});
        if self.name != "meta" {
            said["refresh_token"] = format!("{account}-refresh-0").into();
        }
        let setting = match self.name {
            "square" | "loyverse" => "merchant_id",
            "shopify" => "shop",
            "zettle" => "organization_uuid",
            "meta" => "phone_number_id",
            _ => "calendar_id",
        };
        said[setting] = account.into();
        if self.name == "meta" {
            said["business_account_id"] = "b1".into();
        }
        let path = format!("/config/business-connections/{}", self.id);
        self.world.do_with("PUT", &path, &said).await;
    }

    /// How the token stands.
    pub async fn token(&self) -> Value {
        self.world.get(&format!("/connections/{}/token", self.id)).await
    }

    /// The access and the refresh token that are kept.
    pub async fn kept(&self) -> (String, Option<String>) {
        let configuration = &self.world.stack().refresher().configuration;
        let tokens = configuration.tokens(&self.id, self.world.now()).await.unwrap().tokens;
        let text = |name: &str| tokens.get(name).map(|token| token.expose_secret().to_owned());
        (text("access_token").unwrap_or_default(), text("refresh_token"))
    }

    /// Lets so much time pass, minute by minute.
    pub async fn minutes(&self, count: u32) {
        for _ in 0..count {
            self.world.pass(Duration::from_mins(1));
            self.world.watch().await;
        }
    }

    /// Has a link made; its path.
    pub async fn link(&self) -> String {
        let path = format!("/connections/{}/reconnect", self.id);
        let made = self.world.do_with("POST", &path, &json!({})).await;
        let url = made["url"].as_str().unwrap();
        url.strip_prefix("https://hooks.example.com").expect("it is our own").to_owned()
    }

    /// Opens a link; the provider's page that it leads to.
    pub async fn open(&self, browser: &mut Browser, link: &str) -> String {
        let answer = browser.get(&self.world, link).await;
        assert_eq!(answer.status, 302, "{}", answer.html);
        answer.location.expect("it leads somewhere")
    }

    /// What is asked of the provider's page.
    pub fn asked(page: &str) -> Vec<(String, String)> {
        pairs(page.split_once('?').expect("it has a query").1)
    }

    /// Signs in on the provider's page with an account of its; the way back, by path, and the query without any signature.
    pub fn approve(&self, page: &str, account: &str) -> (String, String) {
        let asked = Self::asked(page);
        let get = |name: &str| one(&asked, name).map(str::to_owned);
        let redirect_uri = get("redirect_uri").expect("there is a way back");
        let code = {
            let provider = self.provider.lock().unwrap();
            format!("{}code-{}", provider.prefix, provider.codes.len())
        };
        let (account, challenge) = (account.to_owned(), get("code_challenge"));
        let given = Code { account, challenge, redirect_uri: redirect_uri.clone() };
        self.provider.lock().unwrap().codes.insert(code.clone(), given);
        let path = redirect_uri.strip_prefix("https://hooks.example.com").expect("it is our own").to_owned();
        (path, format!("code={code}&state={}", get("state").expect("there is a state")))
    }
}

/// What a browser was answered.
pub struct Answer {
    /// The HTTP status.
    pub status: i64,
    /// Where it is sent.
    pub location: Option<String>,
    /// The page.
    pub html: String,
}

/// A browser, which keeps cookies.
#[derive(Default, Clone)]
pub struct Browser {
    /// The cookies, by name.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Opens a page, which is one as they all must be.
    pub async fn get(&mut self, world: &World, path_and_query: &str) -> Answer {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mut event = ApiGatewayV2httpRequest::default();
        event.raw_path = Some(path.to_owned());
        event.raw_query_string = Some(query.to_owned());
        event.request_context.http.method = http::Method::GET;
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        event.cookies = Some(cookies.collect());
        let answer = world.stack().http(event).await;
        assert_described("GET", path, answer.status_code, content_type(&answer), &Value::Null);
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert!(header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert!(answer.headers.get("set-cookie").is_none(), "cookies go beside the headers");
        for cookie in &answer.cookies {
            assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure; HttpOnly; SameSite=Lax"));
            let (pair, rest) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Answer { status: answer.status_code, location: header("location"), html: text(&answer).to_owned() }
    }
}
