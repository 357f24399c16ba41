//! SMTP, as far as a check goes: connect, secure, sign in, take leave. No mail is begun.
//!
//! Facts (RFC 5321, 3207, 4954, 3463): on port 587 a server offers `STARTTLS` after `EHLO`, and is asked anew what it can do
//! once the connection is secured; on 465 it is secured from the start. `235` is a sign-in, `535` (Google: `534`) a refusal of
//! the credentials, `454` and `421` pass. A server that offers neither TLS nor `AUTH` any more has been changed, or somebody
//! sits in between: the password is not sent then. Port 25 is where servers hand mail to each other: clouds close it (AWS
//! Lambda among them), and nobody signs in there.

mod server;

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_domain::health::Trouble;

use crate::catalogue::{About, Authentication, Setting, SettingKind};
use crate::checks::Judged;

pub use server::{MailServer, server};

/// The name in paths and settings.
pub const NAME: &str = "smtp";
/// What is asked, for the log.
pub const ENDPOINT: &str = "SMTP AUTH";

pub(crate) const ABOUT: About = About {
    label: "SMTP",
    base_url: None,
    authentication: Authentication::Basic,
    accounts: &[],
    places: &[],
    settings: &[
        Setting::required("host", SettingKind::Text, "the mail server's name, `smtp.example.com`"),
        Setting::optional("port", SettingKind::Number, "its port for signing in: 587, 465, 2525; never 25")
            .with_default("587"),
        Setting::optional(
            "tls",
            SettingKind::Text,
            "`implicit`: secured from the start, as on port 465; `starttls`, as on every other",
        ),
        Setting::required("username", SettingKind::Text, "who signs in"),
        Setting::required("password", SettingKind::Secret, "the password, or an application's own one"),
    ],
};

/// The longest line and the most lines of a reply that are read.
pub const LONGEST_LINE: usize = 1_024;
/// See [`LONGEST_LINE`].
pub const MOST_LINES: usize = 100;

/// A server's reply: its code, and the text of each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// What stands after them on each line.
    pub lines: Vec<String>,
}

impl Reply {
    /// Reads the lines of one reply, without their ends. None, if they are none: what speaks is no SMTP server.
    pub fn read(lines: &[impl AsRef<str>]) -> Option<Self> {
        let mut texts = Vec::new();
        let mut codes = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let (digits, rest) = line.as_ref().split_at_checked(3)?;
            let code: u16 = digits.parse().ok().filter(|code| (200..600).contains(code))?;
            let is_last = at + 1 == lines.len();
            let text = match rest.chars().next() {
                None | Some(' ') if is_last => rest.get(1..).unwrap_or_default(),
                Some('-') if !is_last => &rest[1..],
                _ => return None,
            };
            codes.push(code);
            texts.push(text.to_owned());
        }
        let code = *codes.first()?;
        codes.iter().all(|other| *other == code).then_some(Self { code, lines: texts })
    }

    /// Whether another line follows this one.
    pub fn goes_on(line: &str) -> bool {
        line.as_bytes().get(3) == Some(&b'-')
    }

    /// Whether the server can do it, by its answer to `EHLO`; with what it says of it.
    fn offers(&self, word: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (name, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            name.eq_ignore_ascii_case(word).then_some(rest)
        })
    }

    /// The enhanced code, `5.7.8`, if there is one; else the code.
    fn word(&self) -> String {
        let enhanced = self.lines.first().and_then(|line| line.split(' ').next());
        let is_one = |word: &&str| {
            word.len() <= 9
                && word.split('.').count() == 3
                && word.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit())
        };
        enhanced.filter(is_one).map_or_else(|| self.code.to_string(), |word| format!("{}.{word}", self.code))
    }
}

/// What is to be done next.
pub enum Step {
    /// Send this line and read the reply. It may hold a password: not for the log.
    Send(SecretString),
    /// Secure the connection, and go on with [`Session::secured`].
    Secure,
    /// Send this line; then it is over, whatever is replied, if anything is.
    Leave(SecretString, Judged),
    /// It is over; the connection may be closed.
    Over(Judged),
}

/// Shows no line: one may hold a password.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(_) => f.write_str("Send"),
            Self::Secure => f.write_str("Secure"),
            Self::Leave(_, judged) => f.debug_tuple("Leave").field(judged).finish(),
            Self::Over(judged) => f.debug_tuple("Over").field(judged).finish(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Greeted,
    Asked,
    Securing,
    AskedSecured,
    Naming,
    SigningIn,
}

/// One check's conversation.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    user: String,
    password: SecretString,
    is_secure: bool,
}

const EHLO: &str = "EHLO tillwatch.invalid";

impl Session {
    /// A conversation that begins with the server's greeting; `is_secure`: it is secured from the start.
    pub fn new(user: &str, password: SecretString, is_secure: bool) -> Self {
        Self { phase: Phase::Greeted, user: user.to_owned(), password, is_secure }
    }

    /// The connection is secured.
    pub fn secured(&mut self) -> Step {
        self.is_secure = true;
        self.say(Phase::AskedSecured, EHLO)
    }

    /// What follows the lines of a reply, without their ends.
    pub fn read(&mut self, lines: &[String]) -> Step {
        match Reply::read(lines) {
            Some(reply) => self.next(&reply),
            None => Step::Over(Judged::of(Trouble::Unreadable, Some("no_smtp"))),
        }
    }

    /// What follows a reply.
    pub fn next(&mut self, reply: &Reply) -> Step {
        match (self.phase, reply.code) {
            (Phase::Greeted, 220) => {
                let phase = if self.is_secure { Phase::AskedSecured } else { Phase::Asked };
                self.say(phase, EHLO)
            }
            (Phase::Asked, 250) if reply.offers("STARTTLS").is_some() => {
                self.say(Phase::Securing, "STARTTLS")
            }
            (Phase::Asked, 250) => Step::Over(Judged::of(Trouble::Refused, Some("no_starttls"))),
            (Phase::Securing, 220) => Step::Secure,
            (Phase::AskedSecured, 250) => self.sign_in(reply),
            (Phase::Naming, 334) => {
                let password = BASE64_STANDARD.encode(self.password.expose_secret());
                self.say(Phase::SigningIn, &password)
            }
            // `AUTH LOGIN` asks twice: for the name, and for the password.
            // Whatever it says to a farewell, we were in: some hang up at once.
            (Phase::SigningIn, 235) => Step::Leave("QUIT".to_owned().into(), Judged::good()),
            (phase, code) => Step::Over(Judged::of(trouble(phase, code), Some(&reply.word()))),
        }
    }

    fn say(&mut self, phase: Phase, line: &str) -> Step {
        self.phase = phase;
        Step::Send(line.to_owned().into())
    }

    fn sign_in(&mut self, offered: &Reply) -> Step {
        let Some(ways) = offered.offers("AUTH") else {
            return Step::Over(Judged::of(Trouble::Refused, Some("no_auth")));
        };
        let offers = |way: &str| ways.split(' ').any(|offered| offered.eq_ignore_ascii_case(way));
        if offers("PLAIN") {
            let secret =
                BASE64_STANDARD.encode(format!("\0{}\0{}", self.user, self.password.expose_secret()));
            return self.say(Phase::SigningIn, &format!("AUTH PLAIN {secret}"));
        }
        if offers("LOGIN") {
            let user = BASE64_STANDARD.encode(&self.user);
            return self.say(Phase::Naming, &format!("AUTH LOGIN {user}"));
        }
        Step::Over(Judged::of(Trouble::Refused, Some("no_common_auth")))
    }
}

/// What to do about what was found, where the trouble's own remedy does not tell: that speaks of tokens.
pub fn advice(judged: &Judged) -> Option<&'static str> {
    match (judged.trouble, judged.code.as_deref()) {
        (Some(Trouble::TokenRefused), _) => Some(
            "the server refuses the user name or the password: correct `username` and `password`, with an application's \
             own password where it asks for a second factor",
        ),
        (_, Some("no_starttls")) => Some(
            "the server offers no TLS here, and the password is not sent without: use port 465 with `tls` `implicit`, or \
             ask whose server it is; if it offered TLS before, somebody may sit in between",
        ),
        (_, Some("no_auth" | "no_common_auth")) => Some(
            "the server offers no way to sign in with a password: check `port`, and ask whose server it is",
        ),
        (_, Some("no_smtp")) => Some("what answers speaks no SMTP: check `host`, `port` and `tls`"),
        _ => None,
    }
}

/// What an unexpected reply means.
fn trouble(phase: Phase, code: u16) -> Trouble {
    match (phase, code) {
        (Phase::SigningIn | Phase::Naming, 500..=599) => Trouble::TokenRefused,
        (_, 400..=499) => Trouble::ProviderError,
        (_, 554) if phase == Phase::Greeted => Trouble::Refused,
        (_, 500..=599) => Trouble::Refused,
        _ => Trouble::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::read(&text.lines().collect::<Vec<_>>()).unwrap_or_else(|| panic!("a reply: {text}"))
    }

    /// What is said, line by line, to a server that replies so; and what is said of it at the end.
    fn talk(is_secure: bool, replies: &[&str]) -> (Vec<String>, Judged) {
        let mut session = Session::new("us", "hunter2".to_owned().into(), is_secure);
        let mut said = Vec::new();
        for text in replies {
            match session.next(&reply(text)) {
                Step::Send(line) => said.push(line.expose_secret().to_owned()),
                Step::Secure => {
                    said.push("(secures)".to_owned());
                    let Step::Send(line) = session.secured() else { panic!("it goes on") };
                    said.push(line.expose_secret().to_owned());
                }
                Step::Leave(line, judged) => {
                    said.push(line.expose_secret().to_owned());
                    return (said, judged);
                }
                Step::Over(judged) => return (said, judged),
            }
        }
        panic!("it comes to an end: {said:?}")
    }

    const HELLO: &str = "250-mail.example.com\n250-SIZE 35882577\n250 STARTTLS";
    const SECURED: &str = "250-mail.example.com\n250 AUTH LOGIN PLAIN XOAUTH2";

    #[test]
    fn a_server_is_greeted_secured_signed_in_to_and_left() {
        let (said, judged) = talk(false, &["220 hi", HELLO, "220 go", SECURED, "235 2.7.0 ok"]);
        let plain = "AUTH PLAIN AHVzAGh1bnRlcjI=";
        assert_eq!(said, [EHLO, "STARTTLS", "(secures)", EHLO, plain, "QUIT"]);
        assert_eq!(judged, Judged::good());
        let (said, _) = talk(true, &["220 hi", SECURED, "235 ok"]);
        assert_eq!(said, [EHLO, plain, "QUIT"]);
    }

    #[test]
    fn the_older_way_asks_for_the_password_apart() {
        let login = "250-mail.example.com\n250 AUTH=LOGIN";
        let (said, judged) = talk(true, &["220 hi", login, "334 UGFzc3dvcmQ6", "235 ok"]);
        assert_eq!(said, [EHLO, "AUTH LOGIN dXM=", "aHVudGVyMg==", "QUIT"]);
        assert_eq!(judged, Judged::good());
    }

    #[test]
    fn the_password_is_never_sent_to_who_offers_no_tls() {
        let (said, judged) = talk(false, &["220 hi", "250-mail.example.com\n250 AUTH PLAIN"]);
        assert_eq!(
            (said, judged),
            (vec![EHLO.to_owned()], Judged::of(Trouble::Refused, Some("no_starttls")))
        );
    }

    #[test]
    fn refusals_of_the_credentials_are_told_from_trouble_that_passes() {
        for (answer, wanted, word) in [
            ("535 5.7.8 Username and Password not accepted", Trouble::TokenRefused, "535.5.7.8"),
            ("534-5.7.14 Please log in\n534 5.7.14 with your browser", Trouble::TokenRefused, "534.5.7.14"),
            ("454 4.7.0 Temporary authentication failure", Trouble::ProviderError, "454.4.7.0"),
            ("421 Too many connections", Trouble::ProviderError, "421"),
        ] {
            let (_, judged) = talk(true, &["220 hi", SECURED, answer]);
            assert_eq!(judged, Judged::of(wanted, Some(word)), "{answer}");
        }
        let (_, judged) = talk(false, &["421 4.3.2 Service not available"]);
        assert_eq!(judged.trouble, Some(Trouble::ProviderError));
        let (_, judged) = talk(true, &["220 hi", "250-mail.example.com\n250 SIZE 1"]);
        assert_eq!(judged.code.as_deref(), Some("no_auth"));
    }

    #[test]
    fn what_there_is_to_do_is_told_where_the_remedy_speaks_of_tokens() {
        let (_, refused) = talk(true, &["220 hi", SECURED, "535 5.7.8 no"]);
        assert!(advice(&refused).unwrap().contains("`password`"));
        let (_, open) = talk(false, &["220 hi", "250-mail.example.com\n250 AUTH PLAIN"]);
        assert!(advice(&open).unwrap().contains("`implicit`"));
        let (_, busy) = talk(true, &["421 4.3.2 busy"]);
        assert_eq!((advice(&busy), advice(&Judged::good())), (None, None));
        let Step::Over(judged) = Session::new("us", "x".to_owned().into(), true).read(&["SSH-2.0".into()])
        else {
            panic!("it is over")
        };
        assert!(judged.trouble == Some(Trouble::Unreadable) && advice(&judged).is_some());
    }

    #[test]
    fn what_is_no_reply_is_none() {
        for text in
            ["HTTP/1.1 400 Bad Request", "22", "220-a\n221 b", "220 a\n220 b", "220-a", "999 a", "ab\u{20ac}"]
        {
            assert_eq!(Reply::read(&text.lines().collect::<Vec<_>>()), None, "{text}");
        }
        assert_eq!(Reply::read(&[""; 0]), None);
        assert!(Reply::goes_on("250-a") && !Reply::goes_on("250 a") && !Reply::goes_on("2"));
    }

    #[test]
    fn debug_output_shows_no_password() {
        let mut session = Session::new("us", "hunter2".to_owned().into(), true);
        session.next(&reply("220 hi"));
        let step = session.next(&reply(SECURED));
        assert!(!format!("{session:?} {step:?}").contains("hunter2"));
    }
}
