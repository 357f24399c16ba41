//! A server on this machine that stands for a provider's API of subscriptions.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tillwatch_tests::server::{Reply, Server};

pub(super) use tillwatch_tests::server::{Manner, Request, one};

/// Status and JSON.
pub(super) type Answer = (u16, Value);

/// One provider's API, and what a test does to it.
pub(super) trait Api: Send {
    /// Answers a request.
    fn answer(&mut self, request: &Request) -> Answer;

    /// What sends webhooks: what it is of, and where to. Sorted.
    fn sending(&self) -> Vec<(String, String)>;

    /// Stops all of them, without deleting them. Whether the provider knows such a state.
    fn disable(&mut self) -> bool;

    /// Takes all of them away. Whether the provider does that.
    fn delete(&mut self) -> bool;

    /// Has all of them send elsewhere. Whether that can be.
    fn redirect(&mut self) -> bool;

    /// The key that it signs with, if each subscription has its own.
    fn key(&self) -> Option<String> {
        None
    }

    /// What time it is.
    fn tick(&mut self, _now: jiff::Timestamp) {}
}

/// The running server.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) base: String,
    api: Arc<Mutex<Box<dyn Api>>>,
    server: Server,
}

impl Fake {
    pub(super) async fn start(api: Box<dyn Api>) -> Self {
        let api = Arc::new(Mutex::new(api));
        let answering = Arc::clone(&api);
        let server = Server::start(move |request| {
            let (status, body) = answering.lock().unwrap().answer(request);
            Reply::json(status, body)
        });
        let server = server.await;
        Self { base: server.base.clone(), api, server }
    }

    /// Looks into it, or damages it.
    pub(super) fn api<T>(&self, look: impl FnOnce(&mut dyn Api) -> T) -> T {
        look(&mut **self.api.lock().unwrap())
    }

    pub(super) fn behave(&self, manner: Manner) {
        self.server.behave(manner);
    }

    /// The calls that change something, since this was asked last.
    pub(super) fn changes(&self) -> Vec<String> {
        // A query of GraphQL is a POST that changes nothing.
        let is_change = |call: &String| !call.starts_with("GET ") && !call.ends_with(" query");
        self.server.calls().into_iter().filter(is_change).collect()
    }
}
