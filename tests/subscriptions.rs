//! Webhook subscriptions, made and mended at servers that stand for the providers: they refuse what the real ones refuse,
//! and a test can damage what they hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod subscriptions {
    mod channels;
    mod crash;
    mod damage;
    mod ensure;
    mod fake;
    mod keys;
    mod providers;
    mod setting;
    mod trials;
    mod trouble;
}
