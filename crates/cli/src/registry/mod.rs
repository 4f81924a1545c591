//! What the command line can name: strategies, schedules and orders with their parameters.
//!
//! A thing is named as `NAME`, `NAME:VALUE` or `NAME:PARAMETER=VALUE:PARAMETER=VALUE`; values without
//! a name are taken in the order of the table. A new strategy is one more entry, and one line of the table in
//! `unmaskers`, which says what it takes.

mod orders;
mod part;
mod schedules;
mod spec;
mod table;
mod unmaskers;

pub use orders::{OrderName, orders};
pub use part::{Part, Uses, refuse_unused};
pub use schedules::{ScheduleName, schedules};
pub use unmaskers::{Context, Portions, UnmaskerName, unmaskers};
