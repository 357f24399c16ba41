//! The providers' APIs, as far as subscriptions go, and as their documentation has them.

mod google;
mod loyverse;
mod meta;
mod shopify;
mod square;
mod stripe;
mod twilio;
mod zettle;

pub(super) use google::Google;
pub(super) use loyverse::Loyverse;
pub(super) use meta::Meta;
pub(super) use shopify::Shopify;
pub(super) use square::Square;
pub(super) use stripe::Stripe;
pub(super) use twilio::Twilio;
pub(super) use zettle::Zettle;

/// Where a damaged subscription sends to.
const ELSEWHERE: &str = "https://elsewhere.example.com/hook";

/// What every provider asks of a URL; a test's own server has no certificate.
fn is_https(url: Option<&str>) -> bool {
    url.is_some_and(|url| url.starts_with("https://") || url.starts_with("http://127.0.0.1:"))
}
