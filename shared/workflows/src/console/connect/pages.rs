//! Pages for a merchant who signs in anew: a few plain words, nothing of anybody else's, and nothing that runs.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::super::ApiAnswer;
use crate::reconnect::{Begun, Ending};

const STYLE: &str = "body{margin:0;background:#f6f6f4;color:#1d1d1b;font:1.05rem/1.5 system-ui,sans-serif}\
main{max-width:32rem;margin:15vh auto 0;padding:0 1.5rem}h1{font-size:1.5rem;line-height:1.25}\
@media(prefers-color-scheme:dark){body{background:#1d1d1b;color:#f0f0ec}}";

/// What may happen in a page: its own style, and nothing else.
fn policy() -> &'static str {
    static POLICY: OnceLock<String> = OnceLock::new();
    POLICY.get_or_init(|| {
        let style = BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    })
}

/// What every answer here says: that the address, which is a secret, goes nowhere.
fn headers() -> Vec<(&'static str, String)> {
    vec![
        ("content-security-policy", policy().to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("x-frame-options", "DENY".to_owned()),
        ("x-robots-tag", "noindex, nofollow".to_owned()),
    ]
}

/// A text that means nothing in a page.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn page(status: u16, title: &str, text: &[&str]) -> ApiAnswer {
    let title = escaped(title);
    let text: Vec<_> = text.iter().map(|text| format!("<p>{}</p>", escaped(text))).collect();
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{}</main></body></html>\n",
        text.join("")
    );
    let content_type = "text/html; charset=utf-8";
    ApiAnswer { status, content_type, body, allow: None, headers: headers() }
}

const AGAIN: &str = "Open the link that you were sent once more, and try again.";
const NOTHING: &str = "Nothing was changed.";

/// What somebody is told; `provider` only where they know of it.
pub(super) fn of(ending: &Ending, provider: Option<&str>) -> ApiAnswer {
    let provider = provider.and_then(tillwatch_providers::named);
    let label = provider.map_or("the provider", |provider| provider.about().label);
    match ending {
        Ending::Done => page(
            200,
            &format!("{label} is connected again"),
            &["Thank you. There is nothing more to do, and you can close this page."],
        ),
        Ending::Ended => page(
            404,
            "This link holds no more",
            &[
                "It has ended, was taken back, or was not copied whole.",
                "Ask whoever sent it to you for a new one.",
            ],
        ),
        Ending::Used => page(
            410,
            "You have signed in already",
            &["This link was used, and holds no more. There is nothing more to do."],
        ),
        Ending::OtherBrowser => page(
            403,
            "Please begin again in this browser",
            &[
                "You came back in another browser than the one in which you opened the link, or this one keeps no cookies.",
                AGAIN,
            ],
        ),
        Ending::Unproved => page(
            400,
            "That did not work",
            &["What came back from the sign-in could not be believed. It may have taken too long.", AGAIN],
        ),
        Ending::OtherAccount => page(
            409,
            "That is another account",
            &[
                &format!(
                    "You signed in to {label} with another account than the one that is connected here."
                ),
                NOTHING,
                "Open the link that you were sent once more, and sign in with the right account. You may have to sign out first.",
            ],
        ),
        Ending::Denied => page(
            200,
            "You did not agree",
            &[NOTHING, "If that was a mistake, open the link that you were sent once more."],
        ),
        Ending::Barred => page(
            409,
            "Something is not allowed yet",
            &[
                &format!(
                    "{label} does not let everything be read that is needed. Please leave all boxes ticked."
                ),
                NOTHING,
                AGAIN,
            ],
        ),
        Ending::Failed(code) => {
            let word = code.as_ref().map(|code| format!("{label} says: {code}."));
            let mut text = vec!["The sign-in did not come to its end.", NOTHING, AGAIN];
            text.extend(word.as_deref());
            page(502, "That did not work", &text)
        }
        Ending::Busy => page(
            503,
            "Please wait a minute",
            &["The connection is being looked after at this moment.", AGAIN],
        ),
        Ending::Ours => page(
            503,
            "Something is wrong on our side",
            &["Please try again in a few minutes, with the link that you were sent."],
        ),
    }
}

/// Sends somebody to the provider's page.
pub(super) fn onward(begun: &Begun) -> ApiAnswer {
    let Begun { page: to, cookie, browser, lives } = begun;
    let mut answer = page(302, "Please wait", &["You are sent on to sign in."]);
    answer.headers.push(("location", to.clone()));
    // Lax: it must come along when the provider sends the browser back.
    let lives = lives.as_secs();
    let cookie = format!("{cookie}={browser}; Path=/; Max-Age={lives}; Secure; HttpOnly; SameSite=Lax");
    answer.headers.push(("set-cookie", cookie));
    answer
}

/// The same answer, with which a browser forgets a cookie.
pub(super) fn forgetting(mut answer: ApiAnswer, cookie: &str) -> ApiAnswer {
    let cookie = format!("{cookie}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    answer.headers.push(("set-cookie", cookie));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_means_more_than_it_says() {
        let answer = page(200, "<b>\"&'", &["</p><script>"]);
        assert!(answer.body.contains("<h1>&lt;b&gt;&quot;&amp;&#39;</h1><p>&lt;/p&gt;&lt;script&gt;</p>"));
        let (_, policy) = &answer.headers[0];
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
    }

    #[test]
    fn what_a_provider_says_is_shown_as_a_word_and_no_page_asks_for_anything_elsewhere() {
        let endings = [
            Ending::Done,
            Ending::Ended,
            Ending::Used,
            Ending::OtherBrowser,
            Ending::Unproved,
            Ending::OtherAccount,
            Ending::Denied,
            Ending::Barred,
            Ending::Failed(Some("invalid_grant".to_owned())),
            Ending::Busy,
            Ending::Ours,
        ];
        for ending in endings {
            let answer = of(&ending, Some("square"));
            assert!(!answer.body.contains("http") && !answer.body.contains("<script"), "{ending:?}");
        }
        let failed = of(&Ending::Failed(Some("invalid_grant".to_owned())), Some("square"));
        assert!(failed.body.contains("Square says: invalid_grant."));
    }
}
