//! Connections to mail servers, which send no webhooks: they are configured and checked like every other, by signing in, and
//! nothing of webhooks is to be had of them.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tillwatch_tests::mail::{MailManner, MailServer, ROOT};
use tillwatch_tests::world::{TOKEN, World};

const INTERVAL: Duration = Duration::from_mins(5);
const PASSWORD: &str = "hunter2-of-the-harbour";

/// A world that trusts the server's certificate, and the server.
async fn world() -> (World, MailServer) {
    let mut world = World::new().await;
    world.outbound.roots = ROOT;
    world.restart().await;
    (world, MailServer::start(PASSWORD).await)
}

fn said(server: &MailServer) -> Value {
    json!({"host": "localhost", "port": server.port, "username": "till@example.com", "password": PASSWORD})
}

/// Has a business's connection `mail` said.
async fn configure(world: &World, mut said: Value) {
    said["id"] = "mail".into();
    said["provider"] = "smtp".into();
    said["business"] = "cafe".into();
    world.do_with("PUT", "/config/business-connections/mail", &said).await;
}

async fn doing(world: &World, id: &str) -> Value {
    world.get(&format!("/connections/{id}/health")).await
}

/// Whether a line tells the password, in whichever form.
fn tells(line: &str) -> bool {
    let is_it = |word: &str| {
        let plain = String::from_utf8(BASE64_STANDARD.decode(word).unwrap_or_default()).unwrap_or_default();
        word.contains(PASSWORD) || plain.contains(PASSWORD)
    };
    line.split(' ').any(is_it)
}

#[tokio::test]
async fn a_mail_server_is_signed_in_to_on_the_schedule_and_no_mail_is_begun() {
    let (world, server) = world().await;
    // A location's and its business's, of the same server and the same user.
    let location = json!({"id": "harbour", "business": "cafe", "providers": {"smtp": said(&server)}});
    world.do_with("PUT", "/config/locations/harbour", &location).await;
    configure(&world, said(&server)).await;
    world.watch_for(Duration::from_secs(20)).await;
    let page = world.get("/pos/health/smtp/connections").await;
    let rows = page["connections"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{page}");
    assert!(rows.iter().all(|row| row["status"] == "up"), "{page}");
    assert_eq!(world.get("/pos/health/smtp").await["status"], "up");
    assert_eq!(world.get("/health/locations/harbour/smtp").await["status"], "up");
    let name = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let conversation = ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"];
    let heard = server.heard();
    assert_eq!(heard.iter().map(name).collect::<Vec<_>>(), conversation.repeat(2), "{heard:?}");
    assert!(heard.iter().filter(|line| tells(line)).all(|line| line.ends_with(" (secured)")), "{heard:?}");
    // Each has a moment of its own in every interval.
    world.watch_for(INTERVAL * 2).await;
    for id in ["harbour-smtp", "mail"] {
        let calls = world.get(&format!("/connections/{id}/calls")).await;
        let calls = calls["calls"].as_array().unwrap();
        assert!(calls.len() >= 2, "{calls:?}");
        let is_good = |call: &Value| call["endpoint"] == "SMTP AUTH" && call["ok"] == true;
        assert!(calls.iter().all(is_good), "{calls:?}");
    }
}

#[tokio::test]
async fn a_password_that_is_refused_is_the_tenants_and_a_new_one_mends_it() {
    let (world, server) = world().await;
    configure(&world, said(&server)).await;
    world.watch_for(Duration::from_secs(20)).await;
    server.take("another");
    world.watch_for(INTERVAL * 2).await;
    let down = doing(&world, "mail").await;
    assert_eq!((&down["status"], &down["blame"]["whose"]), (&"down".into(), &"tenant".into()), "{down}");
    let trouble = &down["trouble"];
    assert_eq!(
        (&trouble["kind"], &trouble["code"], &trouble["endpoint"]),
        (&"token_refused".into(), &"535.5.7.8".into(), &"SMTP AUTH".into())
    );
    assert!(trouble["detail"].as_str().unwrap().contains("`password`"), "{trouble}");
    assert!(!down.to_string().contains(PASSWORD));
    let mut new = said(&server);
    new["password"] = "another".into();
    configure(&world, new).await;
    world.watch_for(INTERVAL * 2).await;
    assert_eq!(doing(&world, "mail").await["status"], "up");
    for (path, bytes) in world.on_disk() {
        let is_there = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
        assert!(!is_there, "{}", path.display());
    }
}

#[tokio::test]
async fn a_password_that_somebody_renews_by_hand_is_told_of_as_tokens_are() {
    let (world, server) = world().await;
    let mut ending = said(&server);
    ending["token_expires_at"] = "2026-11-25T12:00:00Z".into();
    configure(&world, ending).await;
    let token = world.get("/connections/mail/token").await;
    assert_eq!(
        (&token["state"], &token["expires_at"], &token["needs_a_person"], &token["next_at"]),
        (&"static".into(), &"2026-11-25T12:00:00Z".into(), &false.into(), &Value::Null),
        "{token}"
    );
    world.watch_for(Duration::from_mins(1)).await;
    server.take("another");
    world.watch_for(INTERVAL * 2).await;
    let page = world.get("/tokens?provider=smtp").await;
    let token = &page["tokens"][0];
    assert_eq!(
        (&page["total"], &token["connection"], &token["needs_a_person"], &token["failure"], &token["code"]),
        (&1.into(), &"mail".into(), &true.into(), &"refused".into(), &"535.5.7.8".into()),
        "{page}"
    );
    assert!(token["advice"].is_string() && token["tried_at"].is_string(), "{page}");
    // There is nothing that could be refreshed.
    let (status, _) =
        world.ask_with("POST", "/tokens/refresh", Some(TOKEN), Some(&json!({"provider": "smtp"}))).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn the_older_way_to_sign_in_does_as_well() {
    let (world, server) = world().await;
    server.behave(MailManner::Older);
    configure(&world, said(&server)).await;
    world.watch_for(Duration::from_secs(20)).await;
    assert_eq!(doing(&world, "mail").await["status"], "up");
}

#[tokio::test]
async fn whatever_a_mail_server_does_instead_is_told_for_what_it_is_and_it_hears_no_password() {
    for (manner, kind, code) in [
        (MailManner::Open, "refused", Some("no_starttls")),
        (MailManner::NoSignIn, "refused", Some("no_auth")),
        (MailManner::Busy, "provider_error", Some("421.4.3.2")),
        (MailManner::Silent, "timed_out", None),
        (MailManner::Floods, "unreadable", None),
        (MailManner::Meddles, "refused", None),
        (MailManner::Web, "unreadable", Some("no_smtp")),
    ] {
        let (mut world, server) = world().await;
        if manner == MailManner::Silent {
            world.outbound.whole = Duration::from_millis(300);
            world.restart().await;
        }
        server.behave(manner);
        configure(&world, said(&server)).await;
        world.watch_for(INTERVAL * 2).await;
        let doing = doing(&world, "mail").await;
        let trouble = &doing["trouble"];
        assert_eq!(
            (&doing["status"], &trouble["kind"], trouble["code"].as_str()),
            (&"down".into(), &kind.into(), code),
            "{manner:?}: {doing}"
        );
        let heard = server.heard();
        assert!(!heard.iter().any(|line| tells(line)), "{manner:?}: {heard:?}");
    }
}

#[tokio::test]
async fn who_is_not_there_near_or_shows_anothers_certificate_is_not_told_the_password() {
    let (mut world, server) = world().await;
    let mut elsewhere = said(&server);
    elsewhere["host"] = "127.0.0.1".into();
    configure(&world, elsewhere).await;
    world.watch_for(INTERVAL * 2).await;
    assert_eq!(doing(&world, "mail").await["trouble"]["kind"], "certificate");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut nobody = said(&server);
    nobody["port"] = closed.into();
    configure(&world, nobody).await;
    world.watch_for(INTERVAL * 2).await;
    assert_eq!(doing(&world, "mail").await["trouble"]["kind"], "unreachable");
    world.outbound.allow_private = false;
    world.restart().await;
    configure(&world, said(&server)).await;
    world.watch_for(INTERVAL * 2).await;
    assert_eq!(doing(&world, "mail").await["trouble"]["kind"], "address_not_public");
    assert!(!server.heard().iter().any(|line| tells(line)));
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_named_and_nobody_is_asked() {
    let (world, server) = world().await;
    for (name, value) in [("port", "25"), ("tls", "none"), ("host", "https://localhost")] {
        let mut wrong = said(&server);
        wrong[name] = value.into();
        configure(&world, wrong).await;
        world.do_with("POST", "/connections/mail/check", &json!({})).await;
        let doing = doing(&world, "mail").await;
        assert_eq!(doing["status"], "unknown", "{doing}");
        let detail = doing["trouble"]["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("`{name}`")), "{detail}");
    }
    assert_eq!(server.heard(), Vec::<String>::new());
    let mut unsaid = said(&server);
    unsaid["signing_key"] = "of webhooks that there are none of".into();
    unsaid["provider"] = "smtp".into();
    unsaid["business"] = "cafe".into();
    unsaid["id"] = "mail".into();
    let token = Some(tillwatch_tests::world::TOKEN);
    let (status, answer) =
        world.ask_with("PUT", "/config/business-connections/mail", token, Some(&unsaid)).await;
    assert_eq!(status, 422, "{answer}");
}

#[tokio::test]
async fn what_is_of_webhooks_alone_is_refused_with_the_reason() {
    let (world, server) = world().await;
    configure(&world, said(&server)).await;
    for (method, path) in [
        ("POST", "/webhooks/smtp"),
        ("GET", "/webhooks/deliveries/smtp"),
        ("GET", "/pos/health/smtp/webhooks"),
        ("GET", "/subscriptions?provider=smtp"),
        ("GET", "/subscriptions?connection=mail"),
        ("POST", "/providers/smtp/rotate-secret"),
        ("POST", "/providers/smtp/pause"),
        ("POST", "/connections/mail/rotate-secret"),
    ] {
        let (status, answer) = world.ask(method, path).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains("sends no webhooks"), "{path}: {answer}");
    }
    let connection = world.get("/connections/mail").await;
    assert_eq!((&connection["webhook_path"], &connection["accounts"]), (&Value::Null, &json!([])));
    assert_eq!(connection["sealed"], json!(["password"]));
    let tested = world.do_with("POST", "/connections/mail/test", &json!({})).await;
    assert_eq!(tested["ok"], true, "{tested}");
}

#[tokio::test]
async fn a_mail_servers_connection_is_listed_exported_and_sealed_anew_like_others() {
    let (world, server) = world().await;
    configure(&world, said(&server)).await;
    let listed = world.get("/connections?provider=smtp").await;
    assert_eq!(listed["connections"][0]["settings"]["host"], "localhost", "{listed}");
    let exported = world.get("/config").await;
    assert_eq!(exported["connections"][0]["provider"], "smtp", "{exported}");
    assert!(world.get("/providers").await["smtp"]["settings"].is_array());
    world.do_with("POST", "/vault/tokens/rotate", &json!({})).await;
    let resealed = world.do_with("POST", "/vault/tokens/reseal", &json!({})).await;
    assert_eq!(resealed["resealed"], 1, "{resealed}");
    world.watch_for(Duration::from_secs(20)).await;
    assert_eq!(doing(&world, "mail").await["status"], "up");
}
