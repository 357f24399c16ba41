//! `tillwatch verify`: captured requests put through the check that webhooks go through, a file of them or a single one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tillwatch_domain::Cause;
use tillwatch_platform::clock::{Clock as _, SystemClock};
use tillwatch_providers::vectors::{Vector, Verdict, judge};
use tillwatch_providers::{Failure, Headers, Key, Provider, Request, Settings, SettingsError};

use super::error::Error;
use super::hints::{Captured, hint};
use super::known::{self, Known};
use super::output::{self, counted, printable};
use super::secrets::{self, Entry, SecretsFile};

/// What to check, and with which secrets.
#[derive(Debug, Args)]
#[command(override_usage = "tillwatch verify --vectors <FILE>\n       \
                            tillwatch verify <PROVIDER> [--secret <S>]… [--header <NAME: VALUE>]… --body <FILE>")]
#[command(after_help = "Examples:\n  tillwatch verify --vectors signatures.json\n  \
                        tillwatch verify stripe --secret whsec_… --header 'Stripe-Signature: t=…,v1=…' --body body.json")]
pub struct VerifyArgs {
    /// Whose request it is
    #[arg(value_parser = known::parser(), required_unless_present = "vectors")]
    provider: Option<Known>,
    /// A JSON list of requests with the verdict that each must get
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["provider", "secret", "url", "header", "body", "now"]
    )]
    vectors: Option<PathBuf>,
    /// A signing key; may be given more than once. Without any, those of the secrets file
    #[arg(long, value_name = "S")]
    secret: Vec<SecretString>,
    /// The URL as the provider knows it, if the provider signs it. Without it, that of the secrets file
    #[arg(long)]
    url: Option<String>,
    /// A header as it came; may be given more than once
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The body's exact bytes, or - for stdin
    #[arg(long, value_name = "FILE", required_unless_present = "vectors")]
    body: Option<PathBuf>,
    /// The clock to check under. Without it, now
    #[arg(long, value_name = "UNIX_SECONDS", allow_negative_numbers = true)]
    now: Option<i64>,
    /// Where a stack's signing keys are
    #[arg(long, env = "TILLWATCH_SECRETS", value_name = "FILE", default_value = secrets::DEFAULT)]
    secrets: PathBuf,
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    // What HTTP allows around a value is not part of it.
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, Error> {
    match (&args.vectors, args.provider, &args.body) {
        (Some(path), ..) => vectors(path),
        (None, Some(provider), Some(body)) => captured(provider.0, body, args),
        // clap asked for one or the other.
        (None, ..) => Ok(ExitCode::FAILURE),
    }
}

/// What was judged.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    accepted: u64,
    rejected: u64,
    unknown: u64,
    differing: u64,
}

fn vectors(path: &Path) -> Result<ExitCode, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File { path: path.into(), source })?;
    let vectors = read_vectors(&text).map_err(|Malformed { line, column, problem }| Error::Vectors {
        path: path.to_owned(),
        line,
        column,
        problem,
    })?;
    let mut counts = Counts::default();
    for vector in &vectors {
        output::line(counts.line(vector, judge(vector)))?;
    }
    let Counts { accepted, rejected, unknown, differing } = counts;
    let known = counted(accepted + rejected, "request");
    output::note(format_args!(
        "{known} judged: {accepted} accepted, {rejected} rejected, {differing} not as expected. {unknown} unknown."
    ));
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Counts {
    /// What is said of a vector, counting it.
    fn line(&mut self, vector: &Vector, verdict: Verdict) -> String {
        let mut line = format!("{} {verdict}", printable(&vector.id));
        match verdict {
            Verdict::Unknown(what) => {
                self.unknown += 1;
                let name = if what == "provider" { &vector.provider } else { &vector.scheme };
                return format!("{line} {}", printable(name));
            }
            Verdict::Accepted { .. } => self.accepted += 1,
            Verdict::Rejected(_) | Verdict::Misconfigured(_) => self.rejected += 1,
        }
        if verdict.is_accepted() != vector.valid {
            self.differing += 1;
            line.push_str(if vector.valid { " — expected accepted" } else { " — expected rejected" });
        }
        line
    }
}

/// What is wrong with a file of vectors, and where. Lines and columns are counted from 1.
#[derive(Debug, PartialEq, Eq)]
struct Malformed {
    line: usize,
    column: usize,
    problem: String,
}

/// Reads a list of vectors. One of an unknown provider or scheme may be of another shape: nothing of it is needed but
/// what it is.
fn read_vectors(text: &str) -> Result<Vec<Vector>, Malformed> {
    let entries: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(text, 0, &error))?;
    entries
        .into_iter()
        .map(|entry| {
            read_vector(entry.get()).map_err(|error| {
                let before = entry.get().as_ptr().addr() - text.as_ptr().addr();
                malformed(text, before, &error)
            })
        })
        .collect()
}

fn read_vector(text: &str) -> Result<Vector, serde_json::Error> {
    #[derive(Deserialize)]
    struct Head<'a> {
        id: &'a str,
        provider: &'a str,
        scheme: &'a str,
    }
    serde_json::from_str(text).or_else(|error| {
        let Ok(Head { id, provider, scheme }) = serde_json::from_str(text) else { return Err(error) };
        let bare = serde_json::json!({
            "id": id, "provider": provider, "scheme": scheme, "secret": "", "body": "", "valid": false,
        });
        match serde_json::from_value(bare) {
            Ok(vector) if matches!(judge(&vector), Verdict::Unknown(_)) => Ok(vector),
            _ => Err(error),
        }
    })
}

/// An error in the part of the text that begins after `before` bytes, by its place in the whole.
fn malformed(text: &str, before: usize, error: &serde_json::Error) -> Malformed {
    let lines_before = text[..before].matches('\n').count();
    let column_before = text[..before].rfind('\n').map_or(before, |newline| before - newline - 1);
    let said = error.to_string();
    Malformed {
        line: lines_before + error.line(),
        // An error about the whole of a part is said to be in column 0.
        column: error.column().max(1) + if error.line() == 1 { column_before } else { 0 },
        // Without the place, which is of the part.
        problem: said.rsplit_once(" at line ").map_or(said.as_str(), |(problem, _)| problem).to_owned(),
    }
}

fn captured(provider: &dyn Provider, body: &Path, args: &VerifyArgs) -> Result<ExitCode, Error> {
    let now = match args.now {
        Some(seconds) => Timestamp::from_second(seconds).unwrap_or_default(),
        None => SystemClock.now(),
    };
    let captured = capture(provider, read_body(body)?, args)?;
    match captured.check(provider, now) {
        Ok(key) => {
            output::line(format_args!("accepted: signed with {}", which(key, captured.secrets.len())))?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(Failure::Misconfigured(SettingsError::NoUrl)) => {
            output::line("not judged: the provider signs its notification URL. Pass it with --url")?;
        }
        Err(Failure::Misconfigured(error)) => output::line(format_args!("not judged: {error}"))?,
        Err(Failure::Rejected(cause)) => {
            output::line(format_args!("rejected {}", cause.name()))?;
            output::line(cause.explanation())?;
            if let Some(hint) = hint(provider, &captured, now) {
                output::line(format_args!("Hint: it is accepted if {hint}."))?;
            } else if cause == Cause::MissingSignature
                && let Some(names) = signature_headers(provider)
            {
                output::line(format_args!("Hint: the signature is in {names}; pass it with --header."))?;
            }
        }
    }
    Ok(ExitCode::FAILURE)
}

/// The request, and the secrets and URL that were given with it, else those of the secrets file.
fn capture(provider: &dyn Provider, body: Vec<u8>, args: &VerifyArgs) -> Result<Captured, Error> {
    let name = provider.name();
    let file =
        SecretsFile::read(&args.secrets).and_then(|file| Ok((file.entry(name)?, file.settings(name)?)));
    let (entry, stored) = match file {
        Ok((entry, stored)) => (entry, Some(stored)),
        // Where secrets are given, the file would only have been good for hints.
        Err(_) if !args.secret.is_empty() => (Entry::default(), None),
        Err(error) => return Err(error.into()),
    };
    let (settings, secrets, file) = match stored {
        Some(stored) if args.secret.is_empty() => (stored, secrets_of(&entry.signing_keys), None),
        stored => {
            let keys: Vec<_> = args.secret.iter().map(|secret| Key::new(secret.expose_secret())).collect();
            // Whatever the provider proves its requests by.
            let settings = Settings {
                signing_keys: keys.clone(),
                url_keys: keys.clone(),
                verify_tokens: keys,
                ..Settings::default()
            };
            (settings, args.secret.clone(), stored)
        }
    };
    let url = args.url.clone().or(entry.notification_url);
    let settings = match &url {
        Some(url) => settings.with_url(url),
        None => settings,
    };
    let headers = args.header.iter().map(|(name, value)| (name, value.as_str())).collect();
    Ok(Captured { headers, body, settings, secrets, url, file })
}

fn secrets_of(keys: &[Key]) -> Vec<SecretString> {
    keys.iter().map(|key| key.expose().to_owned().into()).collect()
}

fn read_body(path: &Path) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut body).map(|_| ())
    } else {
        std::fs::read(path).map(|bytes| body = bytes)
    };
    read.map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(body)
}

fn which(key: usize, count: usize) -> String {
    if count == 1 { "the secret".to_owned() } else { format!("secret {} of {count}", key + 1) }
}

/// The headers that the provider signs with, as its own module writes them.
fn signature_headers(provider: &dyn Provider) -> Option<String> {
    let settings = Settings::with_keys(["any"]).with_url("https://example.com/");
    let trial = Request::new(Headers::new(), b"{}".to_vec());
    let headers = provider.sign(&settings, &trial, Timestamp::UNIX_EPOCH).ok()?;
    let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
    Some(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGE: &str = r#"[{"id": "s", "provider": "pigeon", "scheme": "ring", "query": "a=b"}]"#;

    #[test]
    fn a_vector_of_an_unknown_provider_may_have_any_shape_and_is_never_accepted() {
        let vectors = read_vectors(STRANGE).unwrap();
        let mut counts = Counts::default();
        assert_eq!(counts.line(&vectors[0], judge(&vectors[0])), "s unknown provider pigeon");
        assert_eq!(counts, Counts { unknown: 1, ..Counts::default() });
    }

    #[test]
    fn a_verdict_that_is_not_the_expected_one_is_marked_and_counted() {
        let text = r#"[{"id": "a", "provider": "shopify", "scheme": "shopify-webhook", "secret": "k",
                        "body": "{}", "valid": true}]"#;
        let vectors = read_vectors(text).unwrap();
        let mut counts = Counts::default();
        let line = counts.line(&vectors[0], judge(&vectors[0]));
        assert_eq!(line, "a rejected missing_signature — expected accepted");
        assert_eq!(counts, Counts { rejected: 1, differing: 1, ..Counts::default() });
    }

    #[test]
    fn a_malformed_file_is_told_by_line_and_column() {
        let place = |text: &str| read_vectors(text).map(|_| ()).map_err(|error| (error.line, error.column));
        assert_eq!(place("[\n{"), Err((2, 1)));
        assert_eq!(place("{}"), Err((1, 1)));
        let known = STRANGE.replace("pigeon", "square").replace("ring", "square-hmac-sha256");
        let error = read_vectors(&format!("[\n  {}", &known[1..])).err().unwrap();
        assert_eq!((error.line, error.column), (2, 3 + known.len() - 3));
        assert_eq!(error.problem, "missing field `secret`");
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        assert_eq!(header("X-A: b: c "), Ok(("X-A".to_owned(), "b: c".to_owned())));
        assert!(header("X-A").is_err());
    }

    #[test]
    fn the_headers_that_carry_signatures_are_the_providers_own() {
        for provider in tillwatch_providers::ALL {
            // Who signs nothing has none.
            let Some(names) = signature_headers(*provider) else {
                assert!(provider.open_secret().is_some(), "{}", provider.name());
                continue;
            };
            assert!(names.split(", ").all(|name| provider.kept_headers().contains(&name)), "{names}");
        }
    }
}
