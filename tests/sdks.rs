//! The providers' own libraries as judges: what they believe is believed here, and what they refuse is refused; and what
//! they sign is taken by a running server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tillwatch_providers::{Headers, Request, Settings, Unverified};
use tillwatch_tests::process::{Connection, Server};
use tillwatch_tests::sender::{Sent, provider, sample};

/// The providers whose libraries judge; `sdks/judge.mjs` has one of each.
const JUDGED: [&str; 4] = ["square", "shopify", "stripe", "twilio"];
const KEY: &str = "key-of-the-sdk-tests";
const URL: &str = "https://hooks.example.com/webhooks/square";
const NOW: i64 = 1_795_474_980;

/// A Node process with the libraries, which `.ci/tools` installs.
struct Judge {
    node: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Judge {
    fn start() -> Self {
        static INSTALLED: Once = Once::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        INSTALLED.call_once(|| {
            let tools = Command::new(root.join(".ci/tools")).arg("sdks").status().unwrap();
            assert!(tools.success(), ".ci/tools installs the providers' libraries");
        });
        let mut node = Command::new("node")
            .arg("judge.mjs")
            .current_dir(root.join("tests/sdks"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let (to, from) = (node.stdin.take().unwrap(), BufReader::new(node.stdout.take().unwrap()));
        Self { node, to, from }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.to, "{question}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("an answer to {question}, and not {line:?}"))
    }

    fn believes(&mut self, sent: &Sent) -> bool {
        let headers: serde_json::Map<_, _> =
            sent.headers.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let body = BASE64_STANDARD.encode(&sent.body);
        let question = json!({"provider": sent.provider, "headers": headers, "body": body, "key": KEY, "now": NOW, "url": URL});
        self.ask(&question)["valid"].as_bool().unwrap()
    }

    /// The body, signed by the provider's library.
    fn sign(&mut self, name: &str, key: &str, now: i64, body: &[u8]) -> Headers {
        let question = json!({"provider": name, "sign": true, "body": BASE64_STANDARD.encode(body), "key": key, "now": now, "url": URL});
        let answer = self.ask(&question);
        let headers = answer["headers"].as_object().unwrap();
        headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap())).collect()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn settings() -> Settings {
    Settings::with_keys([KEY]).with_url(URL)
}

fn is_believed(sent: &Sent) -> bool {
    let request = Request::new(sent.headers.clone(), sent.body.clone());
    request.check(provider(&sent.provider), &settings(), now()).is_ok()
}

fn unsigned(sent: &Sent) -> Request<Unverified> {
    Request::new(sent.headers.clone(), sent.body.clone())
}

/// The request with its signature, or whatever else proves it, changed in one place.
fn tampered(sent: &Sent) -> Vec<(String, Sent)> {
    let mut all = Vec::new();
    let mut altered = sent.clone();
    altered.body.push(b' ');
    all.push(("a longer body".to_owned(), altered));
    let mut altered = sent.clone();
    altered.body.pop();
    all.push(("a shorter body".to_owned(), altered));
    let mut altered = sent.clone();
    altered.body[0] = b'[';
    all.push(("another body".to_owned(), altered));
    let signature = provider(&sent.provider).sign(&settings(), &unsigned(sent), now()).unwrap();
    for (name, value) in signature.iter() {
        let (first, last) = (&value[..1], &value[value.len() - 6..]);
        for (what, value) in [
            ("no signature", String::new()),
            ("half a signature", value[..value.len() / 2].to_owned()),
            ("another signature", value.replace(last, "abcdef")),
            ("a signature's beginning", first.to_owned()),
        ] {
            let headers = sent.headers.iter().filter(|(known, _)| *known != name);
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let headers = headers.chain([(name.to_owned(), value)]).collect();
            all.push((what.to_owned(), Sent { headers, ..sent.clone() }));
        }
    }
    let other = Settings::with_keys(["another key"]).with_url(URL);
    let signature = provider(&sent.provider).sign(&other, &unsigned(sent), now()).unwrap();
    let names: Vec<_> = signature.iter().map(|(name, _)| name.to_owned()).collect();
    let headers = sent.headers.iter().filter(|(name, _)| !names.contains(&(*name).to_owned()));
    let headers = headers.chain(signature.iter()).collect();
    all.push(("another key".to_owned(), Sent { headers, ..sent.clone() }));
    all
}

#[test]
fn the_providers_libraries_believe_what_is_believed_here_and_nothing_else() {
    let mut judge = Judge::start();
    for one in JUDGED.map(provider) {
        for (number, kind) in (0..).zip(one.sample_kinds()) {
            let sent = sample(one.name(), kind, number, now(), &settings());
            assert!(judge.believes(&sent), "{} believes {kind}", one.name());
            assert!(is_believed(&sent), "{kind}");
            for (what, altered) in tampered(&sent) {
                assert!(!judge.believes(&altered), "{}'s library refuses {what} of {kind}", one.name());
                assert!(!is_believed(&altered), "{}: {what} of {kind} is refused here", one.name());
            }
        }
    }
}

#[test]
fn a_form_that_twilios_library_signs_is_believed_whatever_it_holds() {
    let mut judge = Judge::start();
    for body in [
        "MessageSid=SM1&MessageStatus=sent&To=%2B15551234567",
        "Body=++h%C3%A9llo+%2B1+%26+50%25+%E2%98%95+&From=whatsapp%3A%2B15551234567&NumMedia=0",
        "b=&a=1&a=0&a=1&B=2&Empty=&Equals=a%3Db",
    ] {
        let headers = judge.sign("twilio", KEY, NOW, body.as_bytes());
        let sent = Sent { provider: "twilio".to_owned(), headers, body: body.into() };
        assert!(is_believed(&sent), "{body}");
    }
}

#[test]
fn a_webhook_that_stripes_library_signs_is_taken_and_one_altered_or_stale_is_refused_with_the_cause() {
    let mut judge = Judge::start();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let secrets: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("secrets.json")).unwrap()).unwrap();
    let key = secrets["stripe"]["signing_keys"][0].as_str().unwrap();
    let mut connection = Connection::open(&server.address).unwrap();
    let mut post = |headers: &Headers, body: &[u8]| {
        let headers: Vec<_> = headers.iter().collect();
        let (status, answer) = connection.send("POST", "/webhooks/stripe", &headers, body).unwrap();
        (status, serde_json::from_slice::<Value>(&answer).unwrap())
    };
    let time = tillwatch_platform::clock::Clock::now(&tillwatch_platform::clock::SystemClock);
    let body = provider("stripe").sample("charge.succeeded", 7, time).unwrap().1;
    let signed = judge.sign("stripe", key, time.as_second(), &body);
    let (status, answer) = post(&signed, &body);
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = post(&signed, &[&body[..], b"\n"].concat());
    assert_eq!((status, &answer["type"]), (401, &json!("urn:tillwatch:problem:wrong_signature")));
    let stale = judge.sign("stripe", key, time.as_second() - 301, &body);
    let (status, answer) = post(&stale, &body);
    assert_eq!((status, &answer["type"]), (401, &json!("urn:tillwatch:problem:stale_timestamp")));
    let health = server.health_when(|health| health["providers"]["stripe"]["received"] == 3);
    assert_eq!(health["providers"]["stripe"]["applied"], 1, "{health}");
}
