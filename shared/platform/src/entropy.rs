//! Random numbers, from the operating system.

/// `N` random bytes.
///
/// # Panics
/// If the operating system has no entropy to give, which Linux does not report once it has started.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A random number for spreading waits.
pub fn jitter() -> u32 {
    u32::from_be_bytes(bytes())
}
