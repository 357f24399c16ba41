//! What a check makes of answers that no provider should give, and what is kept of all of them.

use std::time::Duration;

use tillwatch_tests::server::Manner;

use super::place::Place;

const INTERVAL: Duration = Duration::from_mins(5);

#[tokio::test]
async fn whatever_comes_in_the_place_of_an_answer_is_told_for_what_it_is() {
    for (manner, kind) in [
        (Manner::Silent, "timed_out"),
        (Manner::Html, "unreadable"),
        (Manner::Huge, "unreadable"),
        (Manner::Broken, "provider_error"),
        (Manner::Elsewhere, "refused"),
    ] {
        let place = Place::with(&[("square", 1)]).await;
        place.begin().await;
        place.providers["square"].behave(manner.clone());
        place.world.watch_for(INTERVAL * 2).await;
        let doing = place.doing("square-0").await;
        assert_eq!(
            (&doing["status"], &doing["trouble"]["kind"]),
            (&"down".into(), &kind.into()),
            "{manner:?}"
        );
        assert!(!doing.to_string().contains("square-token"), "{doing}");
    }
}

#[tokio::test]
async fn every_call_is_kept_with_how_it_went() {
    let place = Place::with(&[("square", 1)]).await;
    place.begin().await;
    place.providers["square"].refuse("square-token-0");
    place.world.do_with("POST", "/connections/square-0/check", &serde_json::json!({})).await;
    let calls = place.world.get("/connections/square-0/calls").await;
    let calls = calls["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["endpoint"], "/oauth2/token/status");
    assert_eq!((&calls[0]["status"], &calls[0]["ok"]), (&401.into(), &false.into()));
    assert_eq!(
        (&calls[0]["trouble"], &calls[0]["code"]),
        (&"token_refused".into(), &"ACCESS_TOKEN_REVOKED".into())
    );
    assert_eq!((&calls[1]["ok"], &calls[1]["took_ms"]), (&true.into(), &80.into()));
}

#[tokio::test]
async fn quotas_are_kept_and_their_end_forecast() {
    let place = Place::with(&[("loyverse", 1)]).await;
    let provider = &place.providers["loyverse"];
    provider.tell(&[("x-ratelimit-limit", "300"), ("x-ratelimit-remaining", "300")]);
    place.begin().await;
    provider.tell(&[("x-ratelimit-limit", "300"), ("x-ratelimit-remaining", "200")]);
    place.world.pass(Duration::from_mins(10));
    place.world.do_with("POST", "/connections/loyverse-0/check", &serde_json::json!({})).await;
    let doing = place.doing("loyverse-0").await;
    let quota = &doing["quotas"][0];
    assert_eq!((&quota["remaining"], &quota["limit"]), (&200.into(), &300.into()));
    assert_eq!(doing["quota_used_percent"], 33);
    let ends: jiff::Timestamp = quota["exhausted_at"].as_str().unwrap().parse().unwrap();
    let left = ends.duration_since(place.world.now()).as_mins();
    assert!((18..=21).contains(&left), "{quota}");
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is() {
    let place = Place::with(&[("square", 1)]).await;
    place.begin().await;
    let provider = &place.providers["square"];
    provider.behave(Manner::Limited(1_200));
    place.world.do_with("POST", "/connections/square-0/check", &serde_json::json!({})).await;
    provider.server.calls();
    place.world.watch_for(Duration::from_secs(1_190)).await;
    assert_eq!(provider.server.calls(), Vec::<String>::new());
    place.world.watch_for(Duration::from_secs(20)).await;
    assert_eq!(provider.server.calls().len(), 1);
}

#[tokio::test]
async fn a_tenants_url_that_leads_inside_is_not_called() {
    let mut world = tillwatch_tests::world::World::new().await;
    world.outbound.allow_private = false;
    world.restart().await;
    for (nth, url) in ["https://169.254.169.254/latest/meta-data", "https://127.0.0.1:1", "https://localhost"]
        .iter()
        .enumerate()
    {
        let id = format!("odoo-{nth}");
        let said = serde_json::json!({
            "id": id, "provider": "odoo", "business": "b", "url": url, "database": "d", "user_id": "2",
            "api_key": "odoo-key", "company_id": "1",
        });
        let (status, answer) = world
            .ask_with(
                "PUT",
                &format!("/config/business-connections/{id}"),
                Some(tillwatch_tests::world::TOKEN),
                Some(&said),
            )
            .await;
        // Refused where it is said, or else where it is used.
        if status >= 400 {
            assert!(answer["detail"].as_str().unwrap().contains("url"), "{answer}");
            continue;
        }
        world.watch_for(Duration::from_secs(60)).await;
        let doing = world.get(&format!("/connections/{id}/health")).await;
        assert_eq!(doing["trouble"]["kind"], "address_not_public", "{doing}");
    }
}
