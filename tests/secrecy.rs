//! Secrets are nowhere in clear: not in an answer, a log line, a message, an item of a table, a payload or a metric,
//! whatever is sent and whatever goes wrong. Its own suite, because it listens to all that a process logs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;
use serde_json::{Value, json};
use tillwatch_platform::connections::SealedTokens;
use tillwatch_platform::table::PayloadAt;
use tillwatch_providers::request::{METHOD, QUERY, SUFFIX};
use tillwatch_providers::{ALL, Headers, OpenSecret, Provider, Settings};
use tillwatch_tests::connected::connection;
use tillwatch_tests::identity::{APPLICATION_SECRET, Browser, Signing};
use tillwatch_tests::sender::{Sent, provider, signed};
use tillwatch_tests::server::one;
use tillwatch_tests::world::{TOKEN, World};
use tillwatch_workflows::envelope::Message;
use tillwatch_workflows::payload;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What bodies and headers hold that is meant to be kept: whoever looks for secrets must find this.
const KEPT: &str = "marked-agent-of-the-sender";
/// How many hexadecimal digits of a ring's key are looked for.
const RING: &str = "d1ce5ec2e7d1ce5ec2e7d1ce5ec2e7d1ce5ec2e7d1ce5ec2e7d1ce5ec2e70001";

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// More than any deployment logs, which is at most what `debug` says.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_ansi(false);
    lines.with_writer(log.clone()).init();
    log
});

/// The secret of that name. It is as long as real ones, and like no other text.
fn secret(of: &str) -> String {
    format!("hush-{of}-5ec2e7-of-nobody-else")
}

/// What is looked for: secrets as they are, and as they would be encoded.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn new() -> Self {
        let mut plain: Vec<String> = ALL
            .iter()
            .flat_map(|provider| {
                ["signing", "old", "url", "word", "own", "own-url", "own-word"].map(|of| (provider, of))
            })
            .map(|(provider, of)| secret(&format!("{}-{of}", provider.name())))
            .collect();
        plain.extend([RING.to_owned(), TOKEN.to_owned(), secret("token")]);
        Self::of(plain)
    }

    fn of(plain: Vec<String>) -> Self {
        // Any of its alignments in base64 holds two thirds of it.
        let all = plain.into_iter().flat_map(|secret| {
            let at = |skip: usize| BASE64_STANDARD.encode(&secret[skip..secret.len() - 3]);
            let mut forms = vec![secret.clone(), hex::encode(&secret)];
            forms.extend((0..3).map(at).map(|text| text[..text.len() - 4].to_owned()));
            forms.into_iter().map(move |form| (secret.clone(), form))
        });
        Self(all.collect())
    }

    fn assert_not_in(&self, bytes: &[u8], place: &str) {
        let text = searchable(bytes);
        for (secret, form) in &self.0 {
            assert!(!text.contains(form), "{secret} is in {place}: {form}");
        }
    }
}

/// Each byte as one character: texts are found in texts, and far faster than bytes in bytes.
fn searchable(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// A provider's settings in which every secret is one that is looked for.
fn all_secrets(name: &str) -> Value {
    let of = |what: &str| secret(&format!("{name}-{what}"));
    json!({
        "signing_keys": [of("signing"), {"key": of("old"), "until": "2030-01-01T00:00:00Z"}],
        "url_keys": [of("url")],
        "verify_tokens": [of("word")],
        "notification_url": format!("https://hooks.example.com/webhooks/{name}"),
    })
}

fn own_secrets(name: &str) -> Value {
    let of = |what: &str| secret(&format!("{name}-{what}"));
    json!({"signing_keys": [of("own")], "url_keys": [of("own-url")], "verify_tokens": [of("own-word")]})
}

async fn world() -> World {
    let mut world = World::new().await;
    for provider in ALL {
        world.secrets.put(provider.name(), Some(all_secrets(provider.name())));
    }
    for ring in ["vault_webhooks", "vault_tokens"] {
        world.secrets.put(ring, Some(json!({"current": "k1", "k1": RING})));
    }
    world.restart().await;
    for provider in ALL {
        let sent = marked(*provider, &world);
        let account = provider.claimed_account(&sent.headers, &sent.body);
        let accounts: Vec<_> = account.iter().map(String::as_str).collect();
        let own = own_secrets(provider.name());
        world.declare_with(&connection(&id(*provider), provider.name(), &accounts), &own).await;
    }
    let ring = world.stack().ports().token_vault.ring();
    let tokens = SecretString::from(json!({"access_token": secret("token")}).to_string());
    let sealed = ring.seal("tokens of harbour", &tokens);
    world
        .connections()
        .put_sealed_tokens("harbour", (Some(&sealed), None), &SealedTokens::default())
        .await
        .unwrap();
    world
}

fn id(provider: &dyn Provider) -> String {
    format!("harbour-{}", provider.name().replace('_', "-"))
}

/// The commonest sample, from a sender that is marked.
fn marked(provider: &'static dyn Provider, world: &World) -> Sent {
    let (mut headers, body) = provider.sample(provider.sample_kinds()[0], 1, world.now()).unwrap();
    headers.remove("user-agent");
    headers.push("user-agent", KEPT);
    // What some sender may add, and what nobody keeps.
    headers.push("authorization", format!("Bearer {TOKEN}"));
    headers.push("cookie", secret("square-signing"));
    Sent { provider: provider.name().to_owned(), headers, body }
}

/// All that a sender may do right or wrong with a provider's secrets.
fn requests(provider: &'static dyn Provider, world: &World) -> Vec<Sent> {
    let (name, plain) = (provider.name(), marked(provider, world));
    let at = |suffix: &str, query: String| {
        let mut sent = plain.clone();
        let suffix = format!("{suffix}{}", plain.headers.route(provider.paths()).rest);
        sent.headers.remove(SUFFIX);
        sent.headers.push(SUFFIX, suffix);
        sent.headers.push(QUERY, query);
        sent
    };
    let settings = |what: &Value| -> Settings { serde_json::from_value(what.clone()).unwrap() };
    let mut all = vec![plain.clone()];
    for settings in [settings(&all_secrets(name)), settings(&own_secrets(name))] {
        let settings =
            Settings { notification_url: Some("https://hooks.example.com/webhooks/x".into()), ..settings };
        for key in [settings.clone(), Settings { signing_keys: vec![], ..settings }] {
            let (headers, body) = (plain.headers.clone(), plain.body.clone());
            if provider
                .sign(&key, &tillwatch_providers::Request::new(headers.clone(), body.clone()), world.now())
                .is_ok()
            {
                all.push(signed(name, headers, body, world.now(), &key));
            }
        }
    }
    for own in ["url", "own-url", "word", "own-word"] {
        let of = secret(&format!("{name}-{own}"));
        match provider.open_secret() {
            Some(OpenSecret::Query) => {
                for query in [
                    format!("key={of}"),
                    format!("key={of}x"),
                    format!("key={of}&key={of}"),
                    format!("a=b&Key={of}"),
                    format!("%6bey={of}"),
                ] {
                    all.extend([at("/", query.clone()), at(&format!("/{}/", id(provider)), query)]);
                }
            }
            Some(OpenSecret::Header(header)) => {
                for value in [of.clone(), format!("{of}x"), format!("{of},{of}")] {
                    let mut sent = plain.clone();
                    sent.headers.push(header, value);
                    all.push(sent);
                }
            }
            None => {}
        }
        if provider.takes_get() {
            for word in [of.clone(), format!("{of}x")] {
                let query = format!("hub.mode=subscribe&hub.challenge=7&hub.verify_token={word}");
                for suffix in ["/".to_owned(), format!("/{}", id(provider))] {
                    let headers = [(METHOD, "GET".to_owned()), (QUERY, query.clone()), (SUFFIX, suffix)];
                    // Twilio has no such word, and keeps the queries that it signs.
                    if name == "meta" {
                        let headers = headers.into_iter().collect::<Headers>();
                        all.push(Sent { provider: name.to_owned(), headers, body: Vec::new() });
                    }
                }
            }
        }
    }
    all
}

/// What has become visible, all in all.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), bytes.into()));
    }

    fn holds(&self, place: &str, text: &str) -> bool {
        self.0.iter().any(|(of, bytes)| of.starts_with(place) && searchable(bytes).contains(text))
    }

    /// The messages that wait, with what is packed in them; they go on waiting.
    async fn add_messages(&mut self, world: &World) {
        let ports = world.stack().ports();
        let mut receipts = Vec::new();
        loop {
            let messages = ports.events.receive(10, Duration::from_secs(60)).await.unwrap();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                self.add("a message", message.body.as_bytes());
                if let Ok(Message::Request(envelope)) = Message::from_text(&message.body)
                    && let Ok(PayloadAt::Here(packed)) = envelope.payload.for_table()
                {
                    let of = provider(&envelope.provider);
                    let (headers, body) = payload::unpack(Some(of), &packed).unwrap();
                    self.add("a payload", format!("{headers:?} {}", String::from_utf8_lossy(&body)));
                }
                receipts.push(message.receipt);
            }
        }
        for receipt in receipts {
            ports.events.change_visibility(&receipt, Duration::ZERO).await.unwrap();
        }
    }

    fn add_files(&mut self, world: &World) {
        for (path, bytes) in world.on_disk() {
            self.add(&format!("the file {}", path.display()), bytes);
        }
    }

    async fn add_console(&mut self, world: &World) {
        let mut paths =
            vec!["/webhooks/health".to_owned(), "/openapi.json".to_owned(), "/nothing".to_owned()];
        for provider in ALL {
            let name = provider.name();
            for one in world.deliveries(name).await {
                paths.push(format!("/webhooks/deliveries/{name}/{}", one["id"].as_str().unwrap()));
                self.add("a list", one.to_string());
            }
        }
        for path in paths {
            let (_, body) = world.ask("GET", &path).await;
            self.add(&format!("the answer to {path}"), body.to_string());
            let (_, body) = world.ask_as("GET", &path, Some(&format!("{TOKEN}x"))).await;
            self.add(&format!("the answer to {path} for a wrong token"), body.to_string());
        }
    }
}

#[tokio::test]
async fn no_secret_is_found_in_any_answer_log_line_message_item_payload_or_metric() {
    LazyLock::force(&LOG);
    let (world, secrets, mut seen) = (world().await, Secrets::new(), Seen::default());
    let mut statuses = std::collections::BTreeMap::<i64, usize>::new();
    for &provider in ALL {
        for sent in requests(provider, &world) {
            let answer = world.send(&sent).await;
            *statuses.entry(answer.status_code).or_default() += 1;
            seen.add(&format!("an answer to {}", provider.name()), format!("{answer:?}"));
        }
        world.pass(Duration::from_secs(1));
    }
    seen.add_messages(&world).await;
    seen.add_files(&world);
    world.work().await;
    // Whatever fails says so, and says no more.
    for down in ["queue.send", "table.Query", "secrets.read", "payloads.put"] {
        world.faults.down(move |step| step.starts_with(down));
        world.pass(Duration::from_secs(61));
        for &provider in ALL {
            for sent in requests(provider, &world) {
                seen.add(&format!("an answer without {down}"), format!("{:?}", world.send(&sent).await));
            }
        }
        world.work().await;
        world.faults.up();
    }
    // Settings that make no sense, of a provider and of a connection.
    world.secrets.put("square", Some(json!({"signing_keys": secret("square-signing")})));
    let senseless = json!({"signing_keys": secret("odoo-own"), "url_keys": 7});
    world.declare_with(&connection("harbour-odoo", "odoo", &[]), &senseless).await;
    world.pass(Duration::from_secs(61));
    for name in ["square", "odoo"] {
        for sent in requests(provider(name), &world) {
            let answer = world.send(&sent).await;
            *statuses.entry(answer.status_code).or_default() += 1;
            seen.add(&format!("an answer under senseless settings of {name}"), format!("{answer:?}"));
        }
    }
    world.settle().await;
    seen.add_console(&world).await;
    seen.add_files(&world);
    seen.add("the log", LOG.0.lock().unwrap().clone());
    seen.add("the metrics", world.metrics.lines().join("\n"));

    for (place, bytes) in &seen.0 {
        secrets.assert_not_in(bytes, place);
    }
    // It has looked where there is something, and the requests did what they were for.
    for status in [200, 401, 403, 503] {
        assert!(statuses.contains_key(&status), "{status}: {statuses:?}");
    }
    assert!(seen.holds("a message", "\"kind\":\"request\"") && seen.holds("a payload", KEPT));
    assert!(seen.holds("the answer to", KEPT) && seen.holds("a payload", ":fingerprint"));
    assert!(seen.holds("the file", "harbour-odoo") && seen.holds("the file", "k1:"));
    assert!(seen.holds("the log", "could not be taken"), "the log is listened to");
    assert!(seen.holds("the metrics", "\"rejected\"") && seen.holds("the metrics", "google_calendar"));
}

#[tokio::test]
async fn no_secret_of_a_sign_in_is_found_in_any_page_log_line_item_or_metric() {
    LazyLock::force(&LOG);
    let signing = Signing::refused_at("google_calendar").await;
    signing.provider.lock().unwrap().prefix = secret("given");
    let (mut browser, mut seen) = (Browser::default(), Seen::default());
    let link = signing.link().await;
    let mut secrets = vec![link.trim_start_matches("/connect/").to_owned(), TOKEN.to_owned()];
    secrets.extend([secret("given"), APPLICATION_SECRET.to_owned()]);
    // With another account, then with the right one; and then once more, with what is good no more.
    let mut back = String::new();
    for account in ["hill", signing.account()] {
        let page = signing.open(&mut browser, &link).await;
        secrets.extend(browser.cookies.values().cloned());
        let state = one(&Signing::asked(&page), "state").unwrap().to_owned();
        secrets.push(state.split_once('.').unwrap().1.to_owned());
        let (path, query) = signing.approve(&page, account);
        back = format!("{path}?{query}");
        seen.add("a page", browser.get(&signing.world, &back).await.html);
        secrets.extend(signing.provider.lock().unwrap().verifier.clone());
    }
    for path in [&back, &link, "/connect/x"] {
        seen.add("a page", browser.get(&signing.world, path).await.html);
    }
    signing.minutes(3).await;
    for path in ["token", "health", "calls"] {
        let (_, body) = signing.world.ask("GET", &format!("/connections/{}/{path}", signing.id)).await;
        seen.add("an answer", body.to_string());
    }
    seen.add_files(&signing.world);
    seen.add("the log", LOG.0.lock().unwrap().clone());
    seen.add("the metrics", signing.world.metrics.lines().join("\n"));
    assert!(secrets.len() >= 10, "{}", secrets.len());
    let secrets = Secrets::of(secrets);
    for (place, bytes) in &seen.0 {
        secrets.assert_not_in(bytes, place);
    }
    // It has looked where there is something, and it went as it was to go.
    assert!(seen.holds("a page", "is connected again") && seen.holds("a page", "another account"));
    assert!(seen.holds("the log", "a link to sign in was made"));
    assert!(seen.holds("the log", "somebody signed in anew"));
    assert!(seen.holds("the file", "N#harbour-google-calendar"));
}

#[test]
fn a_secret_that_shows_is_found_as_it_is_in_hexadecimal_digits_and_in_base64() {
    let (secrets, shown) = (Secrets::new(), secret("odoo-url"));
    let finds = |bytes: &[u8]| std::panic::catch_unwind(|| secrets.assert_not_in(bytes, "here")).is_err();
    assert!(finds(format!("?key={shown}&").as_bytes()) && finds(hex::encode(&shown).as_bytes()));
    for before in ["", "a", "ab", "abc"] {
        assert!(finds(BASE64_STANDARD.encode(format!("{before}{shown}&")).as_bytes()), "{before}");
    }
    assert!(!finds(b"hush-odoo-url") && !finds(KEPT.as_bytes()));
}
