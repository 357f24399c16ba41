//! `tillwatch send`: webhooks of a provider's real shape, really signed, sent as fast or as steadily as asked for.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Url};
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_platform::entropy;
use tillwatch_providers::request::Outgoing;
use tillwatch_providers::{Headers, Provider, Request, Settings};
use tokio::task::JoinSet;

use super::client::{Problem, failed, http_client};
use super::error::Error;
use super::known::{self, Known};
use super::mix::{Dice, Mix, Planned};
use super::output;
use super::secrets::{self, SecretsFile};
use super::stack::{DEFAULT_URL, web_address};
use super::summary::{Answer, Tally};

/// When events with a `--seed` happened, so that they are the same in every run. 2026-01-01, in Unix seconds.
const SEEDED_SINCE: i64 = 1_767_225_600;
/// Numbers have 48 bits: room enough that two runs hardly ever meet, and the length of what providers' ids are made of.
const NUMBERS: u64 = (1 << 48) - 1;

/// What is sent as an open secret that is to be wrong.
const WRONG_SECRET: &str = "a-secret-that-is-nobody's";

/// What to send, and where to.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of a command")]
#[command(after_help = "Examples:\n  tillwatch send square --count 1000 --duplicate --shuffle\n  \
                        tillwatch send stripe charge.refunded --rate 50 --count 600")]
pub struct SendArgs {
    /// Whose webhooks
    #[arg(value_parser = known::parser())]
    provider: Known,
    /// Only events of this type, in the provider's words. Without it, a mix of what happens to sales
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
    /// How many distinct events
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// At most this many requests a second. Without it, as fast as they are answered
    #[arg(long, value_name = "R", value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Send each event twice
    #[arg(long)]
    duplicate: bool,
    /// Send in any order, so that older states come after newer ones
    #[arg(long)]
    shuffle: bool,
    /// Sign wrongly; each request is expected to be rejected
    #[arg(long)]
    bad_signature: bool,
    /// The stack's address, or the whole URL of a webhook
    #[arg(long, env = "TILLWATCH_URL", default_value = DEFAULT_URL, value_parser = web_address)]
    url: Url,
    /// Where the signing keys are
    #[arg(long, env = "TILLWATCH_SECRETS", value_name = "FILE", default_value = secrets::DEFAULT)]
    secrets: PathBuf,
    /// The same events in every run with the same number. Without it, new ones each time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many requests may be under way at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..=1_024))]
    concurrency: u16,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What each request is made with.
struct Sender {
    provider: &'static dyn Provider,
    settings: Settings,
    client: Client,
    url: Url,
    bad_signature: bool,
}

pub(super) async fn run(args: &SendArgs) -> Result<ExitCode, Error> {
    let provider = args.provider.0;
    let mix = match &args.kind {
        None => Mix::of(provider),
        Some(kind) => Mix::only(sample_kind(provider, kind)?),
    };
    let at_once = usize::from(args.concurrency);
    let sender = Arc::new(Sender {
        provider,
        settings: SecretsFile::read(&args.secrets)?.settings(provider.name())?,
        client: http_client(&args.url, at_once)?,
        url: webhook_url(&args.url, provider.name()),
        bad_signature: args.bad_signature,
    });
    // Settings that can't sign are found out before the first request.
    let trial = Request::new(Headers::new(), b"{}".to_vec());
    sender.provider.sign(&sender.settings, &trial, SystemClock.now()).map_err(|source| Error::Sign {
        provider: provider.name(),
        path: args.secrets.clone(),
        source,
    })?;

    let requests = plan(args, &mix);
    let planned = u64::try_from(requests.len()).unwrap_or(u64::MAX);
    let bar = bar(planned);
    let started = Instant::now();
    let tally = send_all(&sender, requests, at_once, args.rate, &bar).await;
    bar.finish_and_clear();
    let summary = tally.summary(sender.url.as_str(), args.count.into(), planned, started.elapsed());
    if args.json {
        output::line(serde_json::to_string(&summary).map_err(std::io::Error::from)?)?;
    } else {
        output::line(&summary)?;
    }
    let good = summary.is_good() && !summary.is_cut_short();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The kind as the provider's module spells it.
fn sample_kind(provider: &dyn Provider, kind: &str) -> Result<&'static str, Error> {
    let known = provider.sample_kinds();
    known.iter().copied().find(|known| *known == kind).ok_or_else(|| Error::NoSample {
        provider: provider.name(),
        kind: kind.to_owned(),
        known: known.join(", "),
    })
}

/// Where a provider's webhooks go at the stack of this address; the address itself, if it says so already.
fn webhook_url(url: &Url, provider: &str) -> Url {
    let mut whole = url.clone();
    if !url.path().contains("/webhooks/")
        && let Ok(mut segments) = whole.path_segments_mut()
    {
        segments.pop_if_empty().extend(["webhooks", provider]);
    }
    whole
}

/// The requests in the order in which they are sent.
fn plan(args: &SendArgs, mix: &Mix) -> Vec<Planned> {
    let count = usize::try_from(args.count).unwrap_or(usize::MAX);
    let mut dice = Dice::new(args.seed.unwrap_or_else(|| u64::from_be_bytes(entropy::bytes())));
    let since = match args.seed {
        Some(_) => Timestamp::from_second(SEEDED_SINCE).unwrap_or_default(),
        // The last event has just happened.
        None => SystemClock.now() - SignedDuration::from_millis(args.count.into()),
    };
    let mut requests = mix.events(dice.next() & NUMBERS, count, since);
    if args.duplicate {
        requests = requests.into_iter().flat_map(|event| [event, event]).collect();
    }
    if args.shuffle {
        dice.shuffle(&mut requests);
    }
    requests
}

/// A bar on a terminal, and nothing elsewhere.
fn bar(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len}  {elapsed} gone, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Sends until everything is answered, or until Ctrl-C.
async fn send_all(
    sender: &Arc<Sender>,
    requests: Vec<Planned>,
    at_once: usize,
    rate: Option<u32>,
    bar: &ProgressBar,
) -> Tally {
    let started = tokio::time::Instant::now();
    let mut tally = Tally::default();
    let mut under_way = JoinSet::new();
    let sending = async {
        for (event, index) in requests.into_iter().zip(0_u64..) {
            if let Some(rate) = rate {
                let due = Duration::from_nanos(index * 1_000_000_000 / u64::from(rate));
                tokio::time::sleep_until(started + due).await;
            }
            while under_way.len() >= at_once {
                collect(&mut under_way, &mut tally, bar).await;
            }
            let sender = Arc::clone(sender);
            under_way.spawn(async move { sender.send(event).await });
        }
        while !under_way.is_empty() {
            collect(&mut under_way, &mut tally, bar).await;
        }
    };
    tokio::select! {
        () = sending => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tally
}

async fn collect(under_way: &mut JoinSet<Answer>, tally: &mut Tally, bar: &ProgressBar) {
    match under_way.join_next().await {
        Some(Ok(answer)) => tally.add(answer),
        Some(Err(error)) => tally.add(Answer::None { reason: error.to_string() }),
        None => {}
    }
    bar.inc(1);
}

impl Sender {
    async fn send(&self, event: Planned) -> Answer {
        let Some((headers, body)) = self.provider.sample(event.kind, event.number, event.at) else {
            return Answer::None { reason: format!("there is no sample of {}", event.kind) };
        };
        // A signature of the right form, over something else.
        let signed = if self.bad_signature { b"{}".to_vec() } else { body.clone() };
        let signed = Request::new(headers.clone(), signed);
        let signature = match self.provider.sign(&self.settings, &signed, SystemClock.now()) {
            Ok(signature) => signature,
            Err(error) => return Answer::None { reason: error.to_string() },
        };
        let wrong = self.bad_signature && self.provider.open_secret().is_some();
        let signature =
            signature.iter().map(|(name, value)| (name, if wrong { WRONG_SECRET } else { value }));
        let outgoing = Outgoing::of(&headers.iter().chain(signature).collect(), !body.is_empty());
        let url = format!("{}{}", self.url, outgoing.path_and_query);
        let method = outgoing.method.parse().unwrap_or_default();
        let mut request = self.client.request(method, url);
        for (name, value) in outgoing.headers.iter() {
            request = request.header(name, value);
        }
        let started = Instant::now();
        match self.exchange(request.body(body)).await {
            Ok((status, body)) => {
                let took = started.elapsed();
                let reason = (!self.is_expected(status)).then(|| self.reason(status, &body));
                Answer::Status { status, took, reason }
            }
            Err(error) => Answer::None { reason: failed(&self.url, error).to_string() },
        }
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        // Read to its end, or its connection can't be used again.
        Ok((status, answer.bytes().await?.into()))
    }

    fn is_expected(&self, status: u16) -> bool {
        // Not every 4xx is a rejection: a throttled client says nothing of the signature. 404 is the answer to a wrong one at
        // the URL of a connection that is not known.
        if self.bad_signature {
            matches!(status, 400 | 401 | 403 | 404 | 503)
        } else {
            (200..300).contains(&status)
        }
    }

    /// Why an answer is not the expected one.
    fn reason(&self, status: u16, body: &[u8]) -> String {
        if self.bad_signature && (200..300).contains(&status) {
            return format!("{status}: it was accepted although its signature is wrong");
        }
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => format!("{status}: {}: {}", problem.title, problem.detail),
            Err(_) => format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(200)])),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tillwatch_providers::named;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        send: SendArgs,
    }

    fn args(text: &str) -> SendArgs {
        Arguments::try_parse_from(["send"].into_iter().chain(text.split(' '))).unwrap().send
    }

    fn planned(text: &str) -> Vec<Planned> {
        let args = args(text);
        plan(&args, &Mix::of(args.provider.0))
    }

    #[test]
    fn runs_differ_unless_they_have_one_seed() {
        assert_ne!(planned("square --count 3"), planned("square --count 3"));
        assert_eq!(planned("square --count 3 --seed 7"), planned("square --count 3 --seed 7"));
        assert_ne!(planned("square --count 3 --seed 7"), planned("square --count 3 --seed 8"));
    }

    #[test]
    fn shuffling_changes_the_order_and_not_the_events() {
        let (mut shuffled, plain) = (
            planned("stripe --count 50 --seed 1 --duplicate --shuffle"),
            planned("stripe --count 50 --seed 1"),
        );
        assert_eq!(shuffled.len(), 100);
        assert!(!shuffled.is_sorted_by_key(|event| event.at));
        shuffled.sort_by_key(|event| event.at);
        shuffled.dedup();
        assert_eq!(shuffled, plain);
    }

    #[test]
    fn a_webhook_url_is_made_of_the_stacks_address_or_taken_as_it_is() {
        for (given, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/webhooks/square"),
            ("https://x.example.com/prod/", "https://x.example.com/prod/webhooks/square"),
            ("https://x.example.com/webhooks/square", "https://x.example.com/webhooks/square"),
        ] {
            assert_eq!(webhook_url(&given.parse().unwrap(), "square").as_str(), expected);
        }
    }

    #[test]
    fn a_type_that_has_no_sample_is_refused_with_those_there_are() {
        let error = sample_kind(named("square").unwrap(), "payment.exploded").unwrap_err().to_string();
        assert!(error.contains("`payment.exploded`") && error.contains("payment.updated"), "{error}");
    }
}
