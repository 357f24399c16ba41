//! A world with one connection, whose provider is a server that lists what was sold; webhooks are sent, or lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tillwatch_providers::Headers;
use tillwatch_tests::sender::{Sent, signed};
use tillwatch_tests::server::{Reply, Request, Server};
use tillwatch_tests::world::{World, settings};

/// How many a page lists.
const PAGE: usize = 3;

/// What was sold, by its id: when it changed, and the provider's own object.
type Sold = Arc<Mutex<BTreeMap<String, (Timestamp, Value)>>>;

pub(super) struct Till {
    pub(super) world: World,
    pub(super) server: Server,
    pub(super) provider: &'static str,
    sold: Sold,
    /// The status of every answer but those of what comes first; 0: as it should be.
    pub(super) refuses: Arc<AtomicUsize>,
}

impl Till {
    /// One of Square's or of Stripe's, seen for the first time now.
    pub(super) async fn of(provider: &'static str) -> Self {
        let till = Self::unseen(provider).await;
        till.configure(json!({})).await;
        till
    }

    /// One that is not configured yet.
    pub(super) async fn unseen(provider: &'static str) -> Self {
        let mut world = World::new().await;
        world.outbound.whole = Duration::from_millis(300);
        world.outbound.connect = Duration::from_millis(300);
        world.restart().await;
        let (sold, refuses) = (Sold::default(), Arc::new(AtomicUsize::new(0)));
        let (listed, refusing) = (Arc::clone(&sold), Arc::clone(&refuses));
        let server = Server::start(move |request| {
            let status = refusing.load(Ordering::SeqCst);
            if status != 0 && request.path.starts_with("/v2/") && request.path != "/v2/locations" {
                let error = json!({"errors": [{"category": "A", "code": "INSUFFICIENT_SCOPES"}]});
                return Reply::json(u16::try_from(status).unwrap(), error);
            }
            answer(provider, request, &listed.lock().unwrap())
        });
        Self { world, server: server.await, provider, sold, refuses }
    }

    /// Says of the connection what there is to say, and this.
    pub(super) async fn configure(&self, more: Value) {
        let mut said = match self.provider {
            "square" => json!({"merchant_id": "M1", "access_token": "token"}),
            _ => json!({"account": "acct_1", "api_key": "rk_1"}),
        };
        said["provider"] = self.provider.into();
        (said["business"], said["id"]) = ("harbour".into(), "till".into());
        said["base_url"] = self.server.base.as_str().into();
        for (name, value) in more.as_object().unwrap() {
            said[name] = value.clone();
        }
        self.world.do_with("PUT", "/config/business-connections/till", &said).await;
    }

    /// Sells something; its webhook, which is yet to be sent.
    pub(super) fn sell(&self, id: &str) -> Sent {
        let (at, second) = (self.world.now(), self.world.now().as_second());
        let (object, body) = if self.provider == "square" {
            let payment = json!({
                "id": id, "status": "COMPLETED", "created_at": "2026-11-23T22:00:00Z", "updated_at": at.to_string(),
                "total_money": {"amount": 100, "currency": "USD"}, "location_id": "L1",
            });
            let body = json!({
                "merchant_id": "M1", "type": "payment.updated", "event_id": format!("event of {id}"),
                "created_at": at.to_string(), "data": {"type": "payment", "id": id, "object": {"payment": payment}},
            });
            (payment, body)
        } else {
            let event = json!({
                "id": format!("evt_{id}"), "object": "event", "created": second, "type": "payment_intent.succeeded",
                "livemode": true, "data": {"object": {
                    "id": id, "object": "payment_intent", "status": "succeeded", "amount": 100,
                    "amount_received": 100, "currency": "usd",
                }},
            });
            let mut body = event.clone();
            body["account"] = "acct_1".into();
            (event, body)
        };
        self.sold.lock().unwrap().insert(id.to_owned(), (at, object));
        let (body, settings) = (body.to_string().into_bytes(), settings(self.provider));
        signed(self.provider, Headers::new(), body, at, &settings)
    }

    /// The same webhook, sent only now: Stripe signs when.
    pub(super) fn signed_now(&self, sent: Sent) -> Sent {
        signed(self.provider, Headers::new(), sent.body, self.world.now(), &settings(self.provider))
    }

    /// Sells something, and its webhook comes.
    pub(super) async fn sell_and_tell(&self, id: &str) {
        let sent = self.sell(id);
        assert_eq!(self.world.post(&sent).await, 200);
        self.world.work().await;
    }

    /// Lets time pass, with a look at what is due every ten minutes.
    pub(super) async fn pass(&self, hours: u64) {
        for _ in 0..hours {
            for _ in 0..6 {
                self.world.pass(Duration::from_mins(10));
                self.world.reconcile().await;
            }
            // What failed and is due is sent again.
            self.world.turn(Duration::ZERO).await;
        }
    }

    /// How far it is reconciled.
    pub(super) async fn told(&self) -> Value {
        self.world.get("/connections/till/reconciliation").await
    }

    /// How far, how much was missing in a day and ever, as one line.
    pub(super) async fn gap(&self) -> (String, u64, u64) {
        let told = self.told().await;
        let state = told["state"].as_str().unwrap().to_owned();
        (state, told["missing_24h"].as_u64().unwrap(), told["missing_ever"].as_u64().unwrap())
    }

    /// The record of something that was sold, if there is one.
    pub(super) async fn record(&self, id: &str) -> Option<Value> {
        let path = format!("/records/payments/{}/{id}", self.provider);
        let (status, record) = self.world.ask("GET", &path).await;
        (status == 200).then_some(record)
    }

    /// What the lists were asked for since this was asked last.
    pub(super) fn lists(&self) -> usize {
        let is_list = |call: &&String| call.contains("/v2/payments") || call.contains("/v1/events");
        self.server.calls().iter().filter(is_list).count()
    }
}

/// What each answers, as its documentation has it.
fn answer(provider: &str, request: &Request, sold: &BTreeMap<String, (Timestamp, Value)>) -> Reply {
    let moment = |name: &str| request.query(name).and_then(|text| text.parse::<Timestamp>().ok());
    let second = |name: &str| {
        let seconds = request.query(name).and_then(|text| text.parse().ok());
        seconds.map(|seconds| Timestamp::from_second(seconds).unwrap())
    };
    let within = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let mut found: Vec<_> =
            sold.values().filter(|(at, _)| Some(*at) >= from && to.is_none_or(|to| *at < to)).collect();
        found.sort_by_key(|(at, object)| (*at, object["id"].to_string()));
        found.into_iter().map(|(_, object)| object.clone()).collect::<Vec<_>>()
    };
    match (provider, request.path.as_str()) {
        ("square", "/oauth2/token/status") => {
            Reply::json(200, json!({"expires_at": "2027-12-20T00:00:00Z", "merchant_id": "M1"}))
        }
        ("square", "/v2/locations") => {
            Reply::json(200, json!({"locations": [{"id": "L1", "merchant_id": "M1"}]}))
        }
        ("square", "/v2/payments") => {
            let found = within(moment("updated_at_begin_time"), moment("updated_at_end_time"));
            let begins: usize = request.query("cursor").map_or(0, |cursor| cursor.parse().unwrap());
            let page: Vec<_> = found.iter().skip(begins).take(PAGE).collect();
            // What is empty is left out.
            let mut answer = if page.is_empty() { json!({}) } else { json!({"payments": page}) };
            if found.len() > begins + PAGE {
                answer["cursor"] = (begins + PAGE).to_string().into();
            }
            Reply::json(200, answer)
        }
        ("square", "/v2/refunds" | "/v2/orders/search") => Reply::json(200, json!({})),
        ("stripe", "/v1/events") => {
            let mut found = within(second("created[gte]"), second("created[lt]"));
            found.reverse();
            let after = request.query("starting_after");
            let begins = after.map_or(0, |last| 1 + found.iter().position(|one| one["id"] == last).unwrap());
            let page: Vec<_> = found.iter().skip(begins).take(PAGE).collect();
            let more = found.len() > begins + PAGE;
            Reply::json(200, json!({"object": "list", "data": page, "has_more": more}))
        }
        _ => Reply::json(404, json!({"path": request.path})),
    }
}
