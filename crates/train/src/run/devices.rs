//! The devices of a run.

use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;

use crate::error::TrainError;

/// A kind of device. A run uses all devices of its kind, each for a part of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The processor. All builds support it.
    #[default]
    Cpu,
    /// NVIDIA GPUs. Requires the feature `cuda`.
    Cuda,
    /// GPUs through Vulkan, Metal or DirectX 12. Requires the feature `wgpu`.
    #[doc(alias = "Vulkan")]
    #[doc(alias = "Metal")]
    Wgpu,
}

impl DeviceKind {
    /// Counts the devices of this kind.
    ///
    /// # Errors
    ///
    /// [`TrainError::Invalid`] if there is none, or if the build does not support the kind.
    pub fn count(self) -> Result<usize, TrainError> {
        Ok(self.all()?.count())
    }

    pub(crate) fn all(self) -> Result<Devices, TrainError> {
        let unsupported = |expected: &str| TrainError::Invalid {
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
            _ => return Err(unsupported("cpu, or a build with the feature for this kind")),
        }
        .into_iter();
        let first = found.next().ok_or_else(|| unsupported("a kind that this machine has"))?;
        Ok(Devices { first, others: found.collect() })
    }
}

/// The physical devices of a kind, or software emulations if there are none.
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
    /// The device that updates the weights.
    pub first: Device,
    /// Further devices that compute gradients.
    pub others: Vec<Device>,
}

impl Devices {
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The device of worker `worker`. Devices are assigned in turn.
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
    fn devices_are_assigned_to_workers_in_turn() {
        let cpu = DeviceKind::Cpu.all().unwrap();
        assert_eq!((cpu.count(), cpu.of(0), cpu.of(5)), (1, &Device::flex(), &Device::flex()));
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_kind_without_its_feature_is_rejected() {
        let error = DeviceKind::Wgpu.count().unwrap_err();
        let TrainError::Invalid { name, got, .. } = &error else { panic!("{error}") };
        assert_eq!((*name, got.as_str()), ("device", "wgpu"));
    }
}
