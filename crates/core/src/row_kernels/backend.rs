//! The back ends: each kernel, compiled for several instruction sets.
//!
//! The only `unsafe` of this crate: calls of functions compiled for more than the target's baseline.
#![allow(unsafe_code)]

use std::fmt;

/// A computation over a row. Its `run` must be `#[inline(always)]`, so that it is compiled for each back end.
pub(super) trait Job {
    type Output;

    /// Runs the computation, with fused multiply-add if `FUSED`.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// A set of vector instructions for row kernels, displayed as `AVX-512`, `AVX2` or `baseline`.
///
/// Everything in this crate uses the [best](Self::detect) one.
// A value exists only if the CPU has the instructions.
#[doc(alias = "SIMD")]
#[doc(alias = "AVX2")]
#[doc(alias = "AVX-512")]
#[doc(alias = "NEON")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend(Instructions);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

/// Whether the baseline has fused multiply-add. Without it, `mul_add` is a slow call.
const BASELINE_FUSES: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Backend {
    /// The best back end of this CPU.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self(Instructions::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Instructions::Avx2);
            }
        }
        Self::baseline()
    }

    /// The instructions of every CPU of the target: SSE2 on x86-64, NEON on 64-bit ARM.
    pub fn baseline() -> Self {
        Self(Instructions::Baseline)
    }

    /// All back ends of this CPU.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::baseline()];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self(Instructions::Avx2));
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self(Instructions::Avx512));
            }
        }
        all
    }

    /// Whether sums use fused multiply-add. Back ends that agree in this return the same bits.
    #[cfg(test)]
    pub(super) fn fuses(self) -> bool {
        self.0 != Instructions::Baseline || BASELINE_FUSES
    }

    /// Runs a computation with these instructions.
    pub(super) fn run<J: Job>(self, job: J) -> J::Output {
        match self.0 {
            // SAFETY: `detect` and `all` make this value only on a CPU that has AVX-512F.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => unsafe { avx512(job) },
            // SAFETY: `detect` and `all` make this value only on a CPU that has AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { avx2(job) },
            Instructions::Baseline => job.run::<BASELINE_FUSES>(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "AVX2",
            Instructions::Baseline => "baseline",
        })
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<J: Job>(job: J) -> J::Output {
    job.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<J: Job>(job: J) -> J::Output {
    job.run::<true>()
}
