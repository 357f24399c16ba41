//! Where mail is handed in, and who signs in there, as a connection's settings have it.

use std::fmt;
use std::net::IpAddr;

use secrecy::SecretString;

use crate::checks::{Subject, Unchecked};

/// A mail server, and who signs in there. Debug output shows neither the name nor the password.
#[derive(Clone)]
pub struct MailServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is secured from the start.
    pub is_secure: bool,
    /// Who signs in.
    pub username: String,
    /// With what.
    pub password: SecretString,
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, is_secure, .. } = self;
        f.debug_struct("MailServer")
            .field("host", host)
            .field("port", port)
            .field("is_secure", is_secure)
            .finish_non_exhaustive()
    }
}

/// The server of a connection, if its settings make sense.
pub fn server(of: &Subject<'_>) -> Result<MailServer, Unchecked> {
    let host = of.own("host")?;
    let is_one = host.parse::<IpAddr>().is_ok()
        || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if !is_one {
        return Err(Unchecked::Senseless(
            "host",
            "is no host: a name or an address alone, `smtp.example.com`",
        ));
    }
    let port: u16 = match of.own.get("port") {
        None => 587,
        Some(text) => text.parse().unwrap_or(0),
    };
    match port {
        0 => return Err(Unchecked::Senseless("port", "is no port: a number from 1 to 65535")),
        25 => {
            return Err(Unchecked::Senseless(
                "port",
                "is 25, which is closed to all but mail servers (AWS Lambda closes it too): sign in at 587 or 465",
            ));
        }
        _ => {}
    }
    let is_secure = match of.own.get("tls") {
        None => port == 465,
        Some("implicit") => true,
        Some("starttls") => false,
        Some(_) => return Err(Unchecked::Senseless("tls", "is neither `starttls` nor `implicit`")),
    };
    Ok(MailServer {
        host: host.to_owned(),
        port,
        is_secure,
        username: of.own("username")?.to_owned(),
        password: of.own("password")?.to_owned().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Words;

    fn of(more: &[(&str, &str)]) -> Result<MailServer, Unchecked> {
        let usual = [("host", "smtp.example.com"), ("username", "us"), ("password", "hunter2")];
        let (own, shared): (Words, _) = (usual.iter().chain(more).copied().collect(), Words::default());
        server(&Subject { own: &own, shared: &shared })
    }

    #[test]
    fn the_port_says_how_a_connection_is_secured_unless_that_is_said() {
        let how = |more: &[(&str, &str)]| of(more).map(|server| (server.port, server.is_secure)).unwrap();
        assert_eq!(how(&[]), (587, false));
        assert_eq!(how(&[("port", "465")]), (465, true));
        assert_eq!(how(&[("port", "2525"), ("tls", "implicit")]), (2525, true));
        assert_eq!(how(&[("port", "465"), ("tls", "starttls")]), (465, false));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_what_would() {
        for (name, value, wanted) in [
            ("port", "25", "587"),
            ("port", "0", "65535"),
            ("port", "70000", "65535"),
            ("tls", "none", "starttls"),
            ("host", "smtp.example.com:587", "smtp.example.com"),
            ("host", "https://smtp.example.com", "smtp.example.com"),
        ] {
            let error = of(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains(wanted), "{error}");
        }
        assert_eq!(of(&[("password", " ")]).unwrap_err(), Unchecked::Missing("password"));
    }

    #[test]
    fn debug_output_shows_no_password() {
        assert!(!format!("{:?}", of(&[])).contains("hunter2"));
    }
}
