//! What the operator is told when everything runs: where it is, and commands to try that work as they are printed.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::secrets::Token;
use crate::cli::secrets::{DEFAULT, DEFAULT_DATA};
use crate::cli::shell::{program, quoted};
use crate::cli::stack::{DEFAULT_URL, is_this_machine};

/// What runs where.
pub(super) struct Introduction {
    /// Where it is reached from this machine.
    pub(super) url: String,
    /// The data folder.
    pub(super) data: PathBuf,
    /// The secrets file.
    pub(super) secrets: PathBuf,
    /// The operator's token.
    pub(super) token: Token,
}

/// The URL at which this machine reaches what listens on `address`.
pub(super) fn url(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

impl Introduction {
    /// Prints it. Nobody listening is no reason to stop.
    pub(super) fn print(&self) {
        let _ = std::io::stdout().write_all(self.text(&program()).as_bytes());
    }

    fn text(&self, program: &str) -> String {
        let url = &self.url;
        let mut text = format!("Tillwatch is running at {url}. Ctrl-C stops it.\n\nWebhook URLs\n");
        for provider in tillwatch_providers::ALL {
            text.push_str(&format!("  {url}/webhooks/{}\n", provider.name()));
        }
        text.push_str(&format!(
            "
Signing keys      {}
Data              {}
Operator's token  {}
API               {url}/openapi.json

Try, in another terminal:
  {}
  {}
",
            self.secrets.display(),
            self.data.display(),
            self.token.text(),
            self.send(program),
            self.events(program),
        ));
        text
    }

    /// Signs with the secrets file's keys, and needs no token.
    fn send(&self, program: &str) -> String {
        format!("{program} send square --count 10{}{}", self.url_option(), self.secrets_option())
    }

    /// Needs the token, which the command finds in the files it looks into, or has to be told.
    fn events(&self, program: &str) -> String {
        let is_found = match self.token {
            Token::Environment(_) => false,
            Token::File(_) => true,
            Token::Kept(_) => self.data == Path::new(DEFAULT_DATA),
        };
        // It looks into files for a stack on this machine alone.
        if is_found && self.url.parse().is_ok_and(|url| is_this_machine(&url)) {
            return format!("{program} events{}{}", self.url_option(), self.secrets_option());
        }
        format!("TILLWATCH_TOKEN={} {program} events{}", quoted(self.token.text()), self.url_option())
    }

    fn url_option(&self) -> String {
        if self.url == DEFAULT_URL { String::new() } else { format!(" --url {}", quoted(&self.url)) }
    }

    fn secrets_option(&self) -> String {
        if self.secrets == Path::new(DEFAULT) {
            return String::new();
        }
        format!(" --secrets {}", quoted(&self.secrets.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(url: &str, data: &str, secrets: &str, token: Token) -> [String; 2] {
        let introduction =
            Introduction { url: url.to_owned(), data: data.into(), secrets: secrets.into(), token };
        let text = introduction.text("tillwatch");
        let tried: Vec<_> = text.lines().rev().take(2).map(|line| line.trim().to_owned()).collect();
        [tried[1].clone(), tried[0].clone()]
    }

    fn file() -> Token {
        Token::File("tw_1".to_owned())
    }

    #[test]
    fn commands_are_short_where_everything_is_as_they_expect() {
        let expected = ["tillwatch send square --count 10", "tillwatch events"];
        assert_eq!(commands(DEFAULT_URL, DEFAULT_DATA, DEFAULT, file()), expected);
    }

    #[test]
    fn commands_say_what_is_elsewhere() {
        let tried = commands("http://127.0.0.1:8081", "my data", "my data/secrets.json", file());
        let elsewhere = "--url http://127.0.0.1:8081 --secrets 'my data/secrets.json'";
        assert_eq!(tried[0], format!("tillwatch send square --count 10 {elsewhere}"));
        assert_eq!(tried[1], format!("tillwatch events {elsewhere}"));
    }

    #[test]
    fn commands_are_given_a_token_that_they_would_not_find() {
        let kept = || Token::Kept("tw_1".to_owned());
        let [_, tried] = commands(DEFAULT_URL, DEFAULT_DATA, "mine.json", kept());
        assert_eq!(tried, "tillwatch events --secrets mine.json");
        let [_, tried] = commands(DEFAULT_URL, "data", "mine.json", kept());
        assert_eq!(tried, "TILLWATCH_TOKEN=tw_1 tillwatch events");
        let environments = Token::Environment("it's mine".to_owned());
        let [_, tried] = commands(DEFAULT_URL, DEFAULT_DATA, DEFAULT, environments);
        assert_eq!(tried, r"TILLWATCH_TOKEN='it'\''s mine' tillwatch events");
        let [_, tried] = commands("http://192.0.2.1:8080", DEFAULT_DATA, DEFAULT, file());
        assert_eq!(tried, "TILLWATCH_TOKEN=tw_1 tillwatch events --url http://192.0.2.1:8080");
    }

    #[test]
    fn what_listens_everywhere_is_reached_at_this_machine() {
        let shown = |text: &str| url(text.parse().unwrap());
        assert_eq!(shown("0.0.0.0:8080"), DEFAULT_URL);
        assert_eq!(shown("[::]:8080"), "http://[::1]:8080");
        assert_eq!(shown("192.0.2.1:80"), "http://192.0.2.1:80");
    }
}
