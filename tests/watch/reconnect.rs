//! Somebody signs in anew: the whole way at each provider, and whatever goes wrong on it.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tillwatch_platform::connections::Kind;
use tillwatch_tests::identity::{ACCOUNTS, APPLICATION_SECRET, Answer, Browser, Signing};
use tillwatch_tests::server::{Manner, one};
use tillwatch_tests::world::TOKEN;

/// HMAC-SHA256 (RFC 2104) in hexadecimal digits.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with).to_vec();
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    hex::encode(Sha256::digest([pad(0x5c), inner.to_vec()].concat()))
}

/// The query as Shopify signs it, at that moment and for that shop.
fn signed(query: &str, shop: &str, at: i64) -> String {
    // By name: code, shop, state, timestamp.
    let query = query.replace("&state=", &format!("&shop={shop}&state="));
    let query = format!("{query}&timestamp={at}");
    let hmac = hmac(APPLICATION_SECRET.as_bytes(), query.as_bytes());
    format!("{query}&hmac={hmac}")
}

/// The way back from the provider's page, as the provider sends it, for somebody with that account.
fn back(signing: &Signing, page: &str, account: &str) -> String {
    let (path, query) = signing.approve(page, account);
    if signing.name == "shopify" {
        return format!("{path}?{}", signed(&query, account, signing.world.now().as_second()));
    }
    format!("{path}?{query}")
}

/// Opens the link, signs in with that account and comes back.
async fn sign_in(signing: &Signing, browser: &mut Browser, link: &str, account: &str) -> Answer {
    let page = signing.open(browser, link).await;
    browser.get(&signing.world, &back(signing, &page, account)).await
}

/// That the tokens are what the provider gave last.
async fn has_the_current_tokens(signing: &Signing) {
    let (access, refresh) = signing.kept().await;
    let current = signing.provider.lock().unwrap().current.clone().unwrap();
    assert_eq!(access, current.0, "{}", signing.name);
    if signing.name != "meta" {
        assert_eq!(refresh, Some(current.1), "{}", signing.name);
    }
}

#[tokio::test]
async fn somebody_signs_in_at_each_provider_and_all_goes_on() {
    for (name, account) in ACCOUNTS {
        let signing = Signing::refused_at(name).await;
        let (mut browser, link) = (Browser::default(), signing.link().await);
        let page = signing.open(&mut browser, &link).await;
        let asked = Signing::asked(&page);
        let get = |name: &str| one(&asked, name);
        assert_eq!(get("client_id"), Some("application"), "{name}");
        let way_back = format!("https://hooks.example.com/connect/callback/{name}");
        assert_eq!(get("redirect_uri"), Some(way_back.as_str()), "{name}");
        assert_eq!(get("code_challenge").is_some(), name == "google_calendar", "{name}");
        assert!(!page.contains(APPLICATION_SECRET) && !page.contains(&link["/connect/".len()..]), "{name}");

        let answer = browser.get(&signing.world, &back(&signing, &page, account)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.html);
        assert!(answer.html.contains("is connected again"), "{name}: {}", answer.html);
        assert!(browser.cookies.is_empty(), "{name}");
        has_the_current_tokens(&signing).await;
        // It is checked at once, with the new token.
        signing.provider.lock().unwrap().seen.clear();
        signing.world.watch().await;
        let current = signing.provider.lock().unwrap().current.clone().unwrap().0;
        assert!(signing.provider.lock().unwrap().seen.contains(&current), "{name}");
        let token = signing.token().await;
        assert_eq!((&token["state"], &token["needs_a_person"]), (&"active".into(), &false.into()), "{name}");
        assert!(token["next_at"].is_string() && token["code"].is_null(), "{name}: {token}");
        // What was said at the very first puts nothing back.
        signing.configure().await;
        has_the_current_tokens(&signing).await;
        // And what is refreshed from now on is what was signed in for.
        signing.world.do_with("POST", "/tokens/refresh", &json!({"connections": [signing.id]})).await;
        signing.world.watch().await;
        assert_ne!(signing.provider.lock().unwrap().current.clone().unwrap().0, current, "{name}");
        has_the_current_tokens(&signing).await;
    }
}

#[tokio::test]
async fn a_link_is_good_for_one_sign_in() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    let back = back(&signing, &page, "m1");
    let cookies = browser.clone();
    assert_eq!(browser.get(&signing.world, &back).await.status, 200);
    // The same once more, as a browser does that is told to load a page anew.
    let again = cookies.clone().get(&signing.world, &back).await;
    assert_eq!(again.status, 404, "{}", again.html);
    let again = browser.get(&signing.world, &link).await;
    assert_eq!(again.status, 410);
    assert!(again.html.contains("signed in already"));
    assert_eq!(signing.provider.lock().unwrap().exchanges, 1);
}

#[tokio::test]
async fn what_comes_back_twice_at_the_same_time_is_exchanged_once() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    let back = back(&signing, &page, "m1");
    let (mut one, mut two) = (browser.clone(), browser);
    let (one, two) = tokio::join!(one.get(&signing.world, &back), two.get(&signing.world, &back));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!((statuses, signing.provider.lock().unwrap().exchanges), ([200, 404], 1));
    has_the_current_tokens(&signing).await;
}

#[tokio::test]
async fn a_link_that_holds_no_more_says_so_and_not_why() {
    let signing = Signing::at("square").await;
    let mut browser = Browser::default();
    let path = format!("/connections/{}/reconnect", signing.id);
    let mut pages = Vec::new();
    // There never was one.
    for link in ["/connect/callback", "/connect/x", &format!("/connect/{}", "A".repeat(43))] {
        pages.push(browser.get(&signing.world, link).await);
    }
    // It has ended.
    let link = signing.link().await;
    let back_late = back(&signing, &signing.open(&mut browser, &link).await, "M1");
    signing.world.pass(Duration::from_hours(24));
    pages.push(browser.get(&signing.world, &link).await);
    pages.push(browser.get(&signing.world, &back_late).await);
    // It was taken back, and there is another in its place.
    let (link, newer) = (signing.link().await, signing.link().await);
    pages.push(browser.get(&signing.world, &link).await);
    assert_eq!(signing.world.do_with("DELETE", &path, &json!({})).await, json!({"revoked": true}));
    assert_eq!(signing.world.do_with("DELETE", &path, &json!({})).await, json!({"revoked": false}));
    pages.push(browser.get(&signing.world, &newer).await);
    // Its connection is disabled, and then gone, while somebody is at the provider's page.
    let link = signing.link().await;
    let back_to_nothing = back(&signing, &signing.open(&mut browser, &link).await, "M1");
    signing.world.do_with("POST", &format!("/connections/{}/disable", signing.id), &json!({})).await;
    pages.push(browser.get(&signing.world, &link).await);
    signing.world.connections().delete_document(Kind::Connection, &signing.id).await.unwrap();
    pages.push(browser.get(&signing.world, &link).await);
    pages.push(browser.get(&signing.world, &back_to_nothing).await);
    for page in &pages {
        assert_eq!((page.status, &page.html), (404, &pages[0].html));
        assert!(page.html.contains("This link holds no more"));
    }
    assert_eq!(signing.provider.lock().unwrap().exchanges, 0);
}

#[tokio::test]
async fn a_link_holds_no_longer_than_the_token_of_whoever_had_it_made() {
    let signing = Signing::at("square").await;
    let business = "token-of-the-harbour-group";
    let with = json!({"tokens": [TOKEN], "businesses": {"harbour-group": [business], "hill": ["token-of-the-hill-group"]}});
    signing.world.secrets.put("console", Some(with));
    signing.world.pass(Duration::from_secs(61));
    let path = format!("/connections/{}/reconnect", signing.id);
    let ask = async |token: Option<&'static str>, body: serde_json::Value| {
        signing.world.ask_with("POST", &path, token, Some(&body)).await
    };
    // Only who may see the connection has one made, and only within measure.
    assert_eq!(ask(Some("token-of-the-hill-group"), json!({})).await.0, 404);
    assert_eq!(ask(None, json!({})).await.0, 401);
    for senseless in [json!({"hours": 0}), json!({"hours": 169})] {
        assert_eq!(ask(Some(business), senseless).await.0, 422);
    }
    let (status, made) = ask(Some(business), json!({"hours": 168})).await;
    assert_eq!((status, made["expires_at"].as_str()), (201, Some("2026-11-30T23:01:01Z")));
    let link = made["url"].as_str().unwrap().replace("https://hooks.example.com", "");
    let mut browser = Browser::default();
    signing.open(&mut browser, &link).await;
    signing.world.secrets.put("console", Some(json!({"tokens": [TOKEN]})));
    signing.world.pass(Duration::from_secs(61));
    assert_eq!(browser.get(&signing.world, &link).await.status, 404);
}

#[tokio::test]
async fn what_would_be_missing_is_told_when_the_link_is_made() {
    let signing = Signing::at("zettle").await;
    let path = format!("/connections/{}/reconnect", signing.id);
    signing.world.secrets.put("zettle", Some(json!({"api": {"client_id": "application"}})));
    signing.world.pass(Duration::from_secs(61));
    let (status, problem) = signing.world.ask_with("POST", &path, Some(TOKEN), None).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 422 && detail.contains("`client_secret` is missing"), "{problem}");
    let (status, _) = signing.world.ask("PUT", &path).await;
    assert_eq!(status, 405);
    let (status, _) =
        signing.world.ask_with("POST", "/connections/nothing/reconnect", Some(TOKEN), None).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn only_the_browser_that_began_it_can_end_it() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut mine, link) = (Browser::default(), signing.link().await);
    let my_page = signing.open(&mut mine, &link).await;
    let my_back = back(&signing, &my_page, "m1");
    let mut anothers = Browser::default();
    signing.open(&mut anothers, &link).await;
    // Without a cookie, with another browser's, and with another browser's under the right name.
    let mut renamed = Browser::default();
    let name = mine.cookies.keys().next().unwrap().clone();
    renamed.cookies.insert(name, anothers.cookies.values().next().unwrap().clone());
    for browser in [&mut Browser::default(), &mut anothers, &mut renamed] {
        let answer = browser.get(&signing.world, &my_back).await;
        assert_eq!(answer.status, 403);
        assert!(answer.html.contains("begin again in this browser"));
    }
    assert_eq!(signing.provider.lock().unwrap().exchanges, 0);
    assert_eq!(mine.get(&signing.world, &my_back).await.status, 200);
}

#[tokio::test]
async fn a_state_that_is_not_ours_or_comes_from_elsewhere_opens_nothing() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    let good = back(&signing, &page, "m1");
    let state = one(&Signing::asked(&page), "state").unwrap().to_owned();
    let (digest, secret) = state.split_once('.').unwrap();
    let forged = [
        good.replace(secret, &"A".repeat(43)),
        good.replace(digest, &"0".repeat(64)),
        good.replace(&state, secret),
        good.replace(&state, ""),
        good.replace("/loyverse", "/square"),
        good.replace("/loyverse", "/nobody"),
    ];
    for path in &forged {
        assert_eq!(browser.get(&signing.world, path).await.status, 404, "{path}");
    }
    for path in
        [&format!("{good}&state={state}"), &format!("{good}&x=%"), &format!("{good}&x={}", "a".repeat(9_000))]
    {
        assert_eq!(browser.get(&signing.world, path).await.status, 400, "{path}");
    }
    assert_eq!(signing.provider.lock().unwrap().exchanges, 0);
    assert_eq!(browser.get(&signing.world, &good).await.status, 200);
}

#[tokio::test]
async fn whoever_takes_longer_than_an_hour_begins_again() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    signing.world.pass(Duration::from_hours(1));
    assert_eq!(browser.get(&signing.world, &back(&signing, &page, "m1")).await.status, 404);
    assert_eq!(sign_in(&signing, &mut browser, &link, "m1").await.status, 200);
}

#[tokio::test]
async fn of_what_shopify_sends_back_only_what_it_signed_now_for_this_shop_counts() {
    let shop = "harbour.myshopify.com";
    let signing = Signing::refused_at("shopify").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    let (path, query) = signing.approve(&page, shop);
    let now = signing.world.now().as_second();
    let good = format!("{path}?{}", signed(&query, shop, now));
    let stale = format!("{path}?{}", signed(&query, shop, now - 91));
    let early = format!("{path}?{}", signed(&query, shop, now + 91));
    let unsigned = format!("{path}?{query}&shop={shop}&timestamp={now}");
    let mut wrong = good.clone();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    let others = format!("{path}?{}", signed(&query, "hill.myshopify.com", now));
    for (back, status) in [
        (stale, 400),
        (early, 400),
        (unsigned, 400),
        (wrong, 400),
        (format!("{good}&code=x"), 400),
        (others, 409),
    ] {
        assert_eq!(browser.clone().get(&signing.world, &back).await.status, status, "{back}");
    }
    assert_eq!(signing.provider.lock().unwrap().exchanges, 0);
    assert_eq!(browser.get(&signing.world, &good).await.status, 200);
}

#[tokio::test]
async fn with_another_account_nothing_is_kept() {
    for (name, others) in [
        ("square", "M2"),
        ("zettle", "other-org"),
        ("loyverse", "m2"),
        ("meta", "9"),
        ("google_calendar", "hill"),
    ] {
        let signing = Signing::refused_at(name).await;
        let (mut browser, link) = (Browser::default(), signing.link().await);
        let before = (signing.kept().await, signing.token().await);
        let answer = sign_in(&signing, &mut browser, &link, others).await;
        assert_eq!(answer.status, 409, "{name}: {}", answer.html);
        assert!(answer.html.contains("another account"), "{name}: {}", answer.html);
        assert_eq!((signing.kept().await, signing.token().await), before, "{name}");
        // With the right one it is well, by the same link.
        let account = signing.account();
        assert_eq!(sign_in(&signing, &mut browser, &link, account).await.status, 200, "{name}");
        has_the_current_tokens(&signing).await;
    }
}

#[tokio::test]
async fn when_nobody_can_tell_whose_the_account_is_nothing_is_kept() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let before = signing.kept().await;
    signing.provider.lock().unwrap().is_deaf = true;
    assert_eq!(sign_in(&signing, &mut browser, &link, "m1").await.status, 502);
    assert_eq!(signing.kept().await, before);
    signing.provider.lock().unwrap().is_deaf = false;
    assert_eq!(sign_in(&signing, &mut browser, &link, "m1").await.status, 200);
    has_the_current_tokens(&signing).await;
}

#[tokio::test]
async fn whoever_does_not_agree_is_told_so_and_may_think_again() {
    let signing = Signing::at("square").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    for (error, status, said) in
        [("access_denied", 200, "You did not agree"), ("%3Cb%3E", 502, "did not come to its end")]
    {
        let page = signing.open(&mut browser, &link).await;
        let state = one(&Signing::asked(&page), "state").unwrap().to_owned();
        let back = format!("/connect/callback/square?error={error}&error_description=%3Cb%3E&state={state}");
        let answer = browser.get(&signing.world, &back).await;
        assert_eq!(answer.status, status);
        assert!(answer.html.contains(said) && !answer.html.contains("<b>"), "{}", answer.html);
    }
    assert_eq!(sign_in(&signing, &mut browser, &link, "M1").await.status, 200);
}

#[tokio::test]
async fn an_exchange_of_which_nothing_comes_leaves_everything_as_it_was() {
    let signing = Signing::at("loyverse").await;
    // It was refreshed, and stands well.
    signing.minutes(3).await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let before = (signing.kept().await, signing.token().await);
    assert_eq!(before.1["state"], "active");
    for manner in [Manner::Broken, Manner::Silent, Manner::Html, Manner::Limited(60), Manner::Elsewhere] {
        let page = signing.open(&mut browser, &link).await;
        signing.server.behave(manner.clone());
        let answer = browser.get(&signing.world, &back(&signing, &page, "m1")).await;
        assert_eq!(answer.status, 502, "{manner:?}: {}", answer.html);
        assert!(answer.html.contains("Nothing was changed"), "{manner:?}");
        signing.server.behave(Manner::Well);
        assert_eq!((signing.kept().await, signing.token().await), before, "{manner:?}");
    }
    // The old tokens are refreshed as ever, and the link still opens.
    signing.minutes(60).await;
    has_the_current_tokens(&signing).await;
    assert_eq!(signing.token().await["state"], "active");
    assert_eq!(sign_in(&signing, &mut browser, &link, "m1").await.status, 200);
    has_the_current_tokens(&signing).await;
}

#[tokio::test]
async fn a_refresh_at_the_same_time_takes_nothing_away() {
    for _ in 0..4 {
        let signing = Signing::at("loyverse").await;
        signing.minutes(3).await;
        let (mut browser, link) = (Browser::default(), signing.link().await);
        let page = signing.open(&mut browser, &link).await;
        let back = back(&signing, &page, "m1");
        signing.world.do_with("POST", "/tokens/refresh", &json!({"connections": [signing.id]})).await;
        let (answer, _) = tokio::join!(browser.get(&signing.world, &back), signing.world.watch());
        assert_eq!(answer.status, 200, "{}", answer.html);
        has_the_current_tokens(&signing).await;
        signing.minutes(60).await;
        has_the_current_tokens(&signing).await;
        assert_eq!(signing.token().await["state"], "active");
    }
}

#[tokio::test]
async fn new_tokens_that_the_table_does_not_take_are_kept_when_it_does() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    let before = signing.kept().await;
    let provider = std::sync::Arc::clone(&signing.provider);
    let is_away =
        move |step: &str| step.starts_with("table.PutItem") && provider.lock().unwrap().exchanges > 0;
    signing.world.faults.down(is_away);
    let answer = browser.get(&signing.world, &back(&signing, &page, "m1")).await;
    assert_eq!((answer.status, signing.kept().await), (200, before));
    signing.world.faults.up();
    signing.minutes(10).await;
    has_the_current_tokens(&signing).await;
    assert_eq!(signing.token().await["state"], "active");
}

#[tokio::test]
async fn programs_that_look_through_mail_take_no_attempt_from_a_person() {
    let signing = Signing::refused_at("loyverse").await;
    let (mut browser, link) = (Browser::default(), signing.link().await);
    let page = signing.open(&mut browser, &link).await;
    for _ in 0..4 {
        signing.open(&mut Browser::default(), &link).await;
    }
    assert_eq!(browser.get(&signing.world, &back(&signing, &page, "m1")).await.status, 200);
}
