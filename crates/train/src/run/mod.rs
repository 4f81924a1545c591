//! What every training run shares: budget, devices, optimizers, the loop, checkpoints and the log.

mod dashboard;
mod devices;
mod gradients;
mod identity;
mod lock;
mod log;
mod objective;
mod optimizer;
mod optimizer_options;
mod options;
mod params;
mod position;
mod progress;
mod state;
mod threads;
mod trainer;

pub use devices::DeviceKind;
pub(crate) use devices::Devices;
pub(crate) use identity::{Identity, identity};
pub use log::{Record, read_log};
pub(crate) use objective::Objective;
pub use optimizer_options::{Decay, Method, OptimizerOptions};
pub use options::RunOptions;
pub(crate) use threads::map;
pub use trainer::RunSummary;
pub(crate) use trainer::train;
