use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// A stack that keeps what it is sent, and notices how.
#[derive(Default)]
struct Stack {
    kept: Mutex<BTreeMap<String, Value>>,
    under_way: AtomicUsize,
    at_once: AtomicUsize,
    puts: AtomicUsize,
    /// After so many real changes nothing is answered but 503.
    fails_after: Option<usize>,
    /// The path that is refused.
    refuses: Option<&'static str>,
}

impl Stack {
    /// Starts answering; gives the address.
    async fn start(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stack = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stack = Arc::clone(&stack);
                let service = service_fn(move |request| {
                    let stack = Arc::clone(&stack);
                    async move { Ok::<_, Infallible>(stack.answer(request).await) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(served);
            }
        });
        format!("http://{address}")
    }

    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Full<Bytes>> {
        self.at_once.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Long enough for others to come meanwhile.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let path = request.uri().path().to_owned();
        let is_trial = request.uri().query() == Some("dry_run=true");
        let is_put = request.method() == http::Method::PUT;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let (status, answer) = if is_put {
            self.put(&path, is_trial, &serde_json::from_slice(&body).unwrap())
        } else {
            let kept = self.kept.lock().unwrap();
            let location = |(path, document): (&String, &Value)| {
                path.starts_with("/config/locations/").then(|| document.clone())
            };
            (200, json!({"locations": kept.iter().filter_map(location).collect::<Vec<_>>(), "next": null}))
        };
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let body = Full::new(Bytes::from(answer.to_string()));
        http::Response::builder().status(status).body(body).unwrap()
    }

    fn put(&self, path: &str, is_trial: bool, document: &Value) -> (u16, Value) {
        if self.refuses == Some(path) {
            return (422, json!({"title": "Not right", "detail": "locations[0].id: taken"}));
        }
        if path == "/config/mode" {
            self.kept.lock().unwrap().insert(path.to_owned(), document.clone());
            return (200, json!({}));
        }
        if !is_trial && self.fails_after.is_some_and(|after| self.puts.load(Ordering::SeqCst) >= after) {
            return (503, json!({"title": "Busy", "detail": "Come again"}));
        }
        let mut kept = self.kept.lock().unwrap();
        let change = match kept.get(path) {
            None => "created",
            Some(before) if before == document => "unchanged",
            Some(_) => "changed",
        };
        if !is_trial {
            self.puts.fetch_add(1, Ordering::SeqCst);
            kept.insert(path.to_owned(), document.clone());
        }
        (200, json!({"changes": [{"what": path, "change": change, "fields": ["name"]}]}))
    }

    fn paths(&self) -> Vec<String> {
        self.kept.lock().unwrap().keys().cloned().collect()
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArgs,
}

/// A file in a folder of its own, and a stack.
struct Scene {
    folder: tempfile::TempDir,
    url: String,
    stack: Arc<Stack>,
}

impl Scene {
    async fn new(stack: Stack, source: &str) -> Self {
        let stack = Arc::new(stack);
        let (folder, url) = (tempfile::tempdir().unwrap(), stack.start().await);
        std::fs::write(folder.path().join("locations.yaml"), source).unwrap();
        Self { folder, url, stack }
    }

    fn file(&self) -> String {
        self.folder.path().join("locations.yaml").to_str().unwrap().to_owned()
    }

    async fn run(&self, arguments: &[&str]) -> Result<bool, Error> {
        let fixed = ["config", arguments[0], "--url", &self.url];
        let arguments = fixed.into_iter().chain(arguments[1..].iter().copied());
        let code = run(&Arguments::try_parse_from(arguments).unwrap().config).await?;
        Ok(code == ExitCode::SUCCESS)
    }

    async fn apply(&self, only: &[&str]) -> Result<bool, Error> {
        let file = self.file();
        let mut arguments = vec!["apply", &file, "--yes"];
        if !only.is_empty() {
            arguments.push("--only");
        }
        arguments.extend(only);
        self.run(&arguments).await
    }
}

fn file_of(locations: usize) -> String {
    let location = |index| {
        format!("  - {{id: l{index}, business: cafe, providers: {{square: {{merchant_id: M{index}}}}}}}\n")
    };
    let locations: String = (0..locations).map(location).collect();
    format!(
        "businesses:\n  cafe: {{name: Café}}\nproviders:\n  square: {{environment: sandbox}}\nlocations:\n{locations}"
    )
}

#[tokio::test]
async fn a_file_is_applied_as_a_whole_and_applying_it_again_changes_nothing() {
    let scene = Scene::new(Stack::default(), &file_of(2)).await;
    assert!(scene.apply(&[]).await.unwrap());
    assert_eq!(
        scene.stack.paths(),
        [
            "/config/businesses/cafe",
            "/config/locations/l0",
            "/config/locations/l1",
            "/config/mode",
            "/config/providers/square"
        ]
    );
    let puts = scene.stack.puts.load(Ordering::SeqCst);
    assert!(scene.apply(&[]).await.unwrap());
    assert_eq!(scene.stack.puts.load(Ordering::SeqCst), puts);
}

#[tokio::test]
async fn a_plan_changes_nothing() {
    let scene = Scene::new(Stack::default(), &file_of(2)).await;
    assert!(scene.run(&["plan", &scene.file()]).await.unwrap());
    assert_eq!(scene.stack.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn for_some_locations_nothing_else_is_touched() {
    let scene = Scene::new(Stack::default(), &file_of(3)).await;
    assert!(scene.apply(&["l1", "l2"]).await.unwrap());
    let expected = ["/config/businesses/cafe", "/config/locations/l1", "/config/locations/l2"];
    assert_eq!(scene.stack.paths(), expected);
    assert!(!scene.apply(&["l9"]).await.unwrap());
}

#[tokio::test]
async fn many_locations_go_several_at_once_and_not_all_at_once() {
    let scene = Scene::new(Stack::default(), &file_of(60)).await;
    assert!(scene.apply(&[]).await.unwrap());
    assert_eq!(scene.stack.paths().len(), 63);
    let at_once = scene.stack.at_once.load(Ordering::SeqCst);
    assert!((2..=requests::AT_ONCE).contains(&at_once), "{at_once}");
}

#[tokio::test]
async fn a_stack_that_fails_stops_it_and_what_was_applied_is_said() {
    let stack = Stack { fails_after: Some(20), ..Stack::default() };
    let scene = Scene::new(stack, &file_of(60)).await;
    let error = scene.apply(&[]).await.unwrap_err();
    let text = error.to_string();
    let Error::Stopped(stopped) = error else { panic!("{text}") };
    assert_eq!((stopped.applied, stopped.left.len()), (Some(20), 42));
    assert!(text.contains("Busy: Come again") && text.contains("20 applied; 42 not"), "{text}");
    assert!(!scene.stack.paths().contains(&"/config/mode".to_owned()));
    assert!(scene.stack.under_way.load(Ordering::SeqCst) == 0);
}

#[tokio::test]
async fn a_stack_that_refuses_a_part_gets_nothing_of_it() {
    let stack = Stack { refuses: Some("/config/locations/l1"), ..Stack::default() };
    let scene = Scene::new(stack, &file_of(3)).await;
    assert!(!scene.run(&["plan", &scene.file()]).await.unwrap());
    assert!(!scene.apply(&[]).await.unwrap());
    assert_eq!(scene.stack.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_file_is_not_sent() {
    let scene = Scene::new(Stack::default(), "locations: [{id: a}]\n").await;
    assert!(!scene.apply(&[]).await.unwrap());
    assert_eq!(scene.stack.at_once.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_exported_is_a_file_that_changes_nothing_and_writes_over_none() {
    let scene = Scene::new(Stack::default(), &file_of(2)).await;
    assert!(scene.apply(&["l0", "l1"]).await.unwrap());
    let output = scene.folder.path().join("exported.yaml");
    let arguments = ["export", "--output", output.to_str().unwrap()];
    assert!(scene.run(&arguments).await.unwrap());
    let puts = scene.stack.puts.load(Ordering::SeqCst);
    assert!(scene.run(&["apply", output.to_str().unwrap(), "--yes"]).await.unwrap());
    assert_eq!(scene.stack.puts.load(Ordering::SeqCst), puts);
    assert!(matches!(scene.run(&arguments).await, Err(Error::NotWritten { .. })));
}

#[test]
fn the_example_is_right_without_its_variables_and_with_them() {
    let example = include_bytes!("../../../../../docs/locations.yaml");
    let any = |name: &str| Some(format!("the value of {name}"));
    for environment in [None, Some(&any as &dyn Fn(&str) -> Option<String>)] {
        let loaded = load(example, environment);
        assert_eq!(loaded.findings, []);
        assert_eq!(loaded.configuration.locations.len(), 4);
    }
}
