//! What a run computes on.

use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;

use crate::TrainError;

/// A kind of device; a run uses all that the machine has of it, each for a part of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor, the only kind in every build.
    #[default]
    Cpu,
    /// NVIDIA GPUs, in a build with the feature `cuda`.
    Cuda,
    /// GPUs through Vulkan, Metal or DirectX 12, in a build with the feature `wgpu`.
    Wgpu,
}

impl DeviceKind {
    /// How many of these devices there are.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] where there is none, or the build has no support for them.
    pub fn count(self) -> Result<usize, TrainError> {
        Ok(self.all()?.count())
    }

    pub(crate) fn all(self) -> Result<Devices, TrainError> {
        let refused = |expected: &str| TrainError::Invalid {
            name: "device",
            got: format!("{self:?}").to_lowercase(),
            expected: expected.into(),
        };
        let mut found = match self {
            Self::Cpu => vec![Device::flex()],
            #[cfg(feature = "cuda")]
            Self::Cuda => gpus(DeviceType::Cuda),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => gpus(DeviceType::Wgpu),
            #[cfg(not(all(feature = "cuda", feature = "wgpu")))]
            _ => return Err(refused("cpu, or a build with the feature for this kind")),
        }
        .into_iter();
        let first = found.next().ok_or_else(|| refused("a kind that this machine has"))?;
        Ok(Devices { first, others: found.collect() })
    }
}

/// The cards of a kind, or where there is none, the software that stands in for them.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn gpus(kind: DeviceType) -> Vec<Device> {
    let is_card = |device: &Device| device.identity().is_some_and(|it| it.physical.is_some());
    let (cards, software): (Vec<_>, Vec<_>) =
        Device::enumerate(kind).into_vec().into_iter().partition(is_card);
    if cards.is_empty() { software } else { cards }
}

/// The devices of a run.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    /// Where the weights are updated.
    pub first: Device,
    /// More for gradients.
    pub others: Vec<Device>,
}

impl Devices {
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The device of worker `worker`: they take turns.
    pub fn of(&self, worker: usize) -> &Device {
        match worker % self.count() {
            0 => &self.first,
            i => &self.others[i - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_take_turns_at_the_devices() {
        let cpu = DeviceKind::Cpu.all().unwrap();
        assert_eq!((cpu.count(), cpu.of(0), cpu.of(5)), (1, &Device::flex(), &Device::flex()));
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn what_was_not_built_is_refused() {
        let error = DeviceKind::Wgpu.count().unwrap_err();
        let TrainError::Invalid { name, got, .. } = &error else { panic!("{error}") };
        assert_eq!((*name, got.as_str()), ("device", "wgpu"));
    }
}
