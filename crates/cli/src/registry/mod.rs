//! What the command line can name: strategies, schedules and orders with their parameters.
//!
//! A thing is named as `NAME`, `NAME:VALUE` or `NAME:PARAMETER=VALUE:PARAMETER=VALUE`; values without
//! a name are taken in the order of the table. A new strategy is one more entry in its table.

mod orders;
mod schedules;
mod table;
mod unmaskers;

pub use orders::{OrderName, orders};
pub use schedules::{ScheduleName, schedules};
pub use unmaskers::{Context, Portions, UnmaskerName, unmaskers};
