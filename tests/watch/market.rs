//! A world with shops that have sent in a weekly rhythm.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::signed;
use tillwatch_tests::server::{Reply, Request, Server};
use tillwatch_tests::world::{World, settings};

pub(super) const HOUR: Duration = Duration::from_hours(1);
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Each of the shops sells so often in an hour between ten and two on Wednesdays.
pub(super) const AN_HOUR: u32 = 4;

/// A world with shops that have sent for five Wednesdays, and whose sixth is this one.
pub(super) struct Market {
    pub(super) world: World,
    /// This Wednesday's midnight, UTC.
    midnight: Timestamp,
    /// Where the provider is, that says of each shop that its token is good. None: the shops have no token, and what is
    /// known of them is what they send.
    provider: Option<String>,
    sold: std::cell::Cell<u64>,
}

impl Market {
    pub(super) async fn with(shops: &[(&str, Option<Value>)]) -> Self {
        Self::at_provider(None, shops).await
    }

    /// The same, with shops that are asked whether they work, and do.
    pub(super) async fn answering(shops: &[(&str, Option<Value>)]) -> Self {
        let answer = |request: &Request| {
            let merchant = request.header("authorization").trim_start_matches("Bearer ");
            Reply::json(200, json!({"scopes": ["MERCHANT_PROFILE_READ"], "merchant_id": merchant}))
        };
        let provider = Server::start(answer).await;
        Self::at_provider(Some(provider.base), shops).await
    }

    async fn at_provider(provider: Option<String>, shops: &[(&str, Option<Value>)]) -> Self {
        let mut world = World::new().await;
        let reference = Server::start(|_| Reply::json(200, Value::Null)).await;
        world.references = vec![reference.base];
        world.restart().await;
        let midnight = "2026-11-25T00:00:00Z".parse().unwrap();
        let market = Self { world, midnight, provider, sold: std::cell::Cell::new(0) };
        for (shop, hours) in shops {
            market.open(shop, hours.as_ref()).await;
        }
        for _ in 0..5 {
            for hour in 10..14 {
                for (shop, _) in shops {
                    market.sell(shop, hour, AN_HOUR).await;
                }
            }
            market.world.pass(HOUR * 4);
            market.world.tally().await;
            market.next_week();
        }
        market
    }

    /// Says where a shop is, and when it is open.
    pub(super) async fn open(&self, shop: &str, hours: Option<&Value>) {
        let mut location = json!({"id": shop, "business": "market", "timezone": "UTC",
            "providers": {"square": {"merchant_id": shop}}});
        if let Some(base) = &self.provider {
            let square = &mut location["providers"]["square"];
            (square["access_token"], square["base_url"]) = (shop.into(), base.as_str().into());
        }
        if let Some(hours) = hours {
            location["opening_hours"] = hours.clone();
        }
        self.world.do_with("PUT", &format!("/config/locations/{shop}"), &location).await;
    }

    pub(super) fn next_week(&self) {
        self.go_to(self.midnight_of_now() + WEEK);
    }

    /// The midnight before now, or now itself.
    pub(super) fn midnight_of_now(&self) -> Timestamp {
        let day_ms = 86_400_000;
        let now_ms = self.world.now().as_millisecond().max(self.midnight.as_millisecond());
        Timestamp::from_millisecond(now_ms.div_euclid(day_ms) * day_ms).unwrap()
    }

    pub(super) fn go_to(&self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.world.now())).unwrap_or_default();
        self.world.pass(left);
    }

    /// Sells once, now. What is sent of it waits on the queue.
    pub(super) async fn send(&self, shop: &str) {
        let number = self.sold.replace(self.sold.get() + 1);
        let now = self.world.now();
        let body = json!({
            "merchant_id": shop, "type": "payment.updated", "event_id": format!("e{number}"),
            "created_at": now.to_string(),
            "data": {"type": "payment", "id": format!("p{number}"), "object": {"payment": {
                "id": format!("p{number}"), "status": "COMPLETED", "created_at": now.to_string(),
                "updated_at": now.to_string(), "total_money": {"amount": 700, "currency": "USD"},
            }}},
        });
        let body = body.to_string().into_bytes();
        let sent = signed("square", Headers::new(), body, now, &settings("square"));
        assert_eq!(self.world.post(&sent).await, 200);
    }

    /// Sells so often in that hour of the day, and lets what was sent be processed.
    pub(super) async fn sell(&self, shop: &str, hour: i64, count: u32) {
        self.go_to(self.midnight_of_now() + SignedDuration::from_hours(hour));
        for _ in 0..count {
            self.send(shop).await;
        }
        self.world.work().await;
    }

    /// Goes to that minute of that hour, and has what came tallied.
    pub(super) async fn at(&self, hour: i64, minute: i64) {
        let into_the_day = SignedDuration::from_mins(hour * 60 + minute);
        self.go_to(self.midnight_of_now() + into_the_day);
        self.world.tally().await;
        self.world.pass(Duration::from_secs(20));
        self.world.watch().await;
    }

    pub(super) async fn health(&self, shop: &str) -> Value {
        self.world.get(&format!("/connections/{shop}-square/health")).await
    }
}
