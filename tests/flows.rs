//! Flows through the whole stack, as senders and operators see them.

mod flows {
    pub mod api;
    pub mod faults;
    pub mod receiving;
    pub mod taking_effect;
}
